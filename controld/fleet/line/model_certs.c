#include "controld/fleet/line/model_certs.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/certs/certs.h"
#include "controld/fleet/group.h"
#include "controld/fleet/line/model.h"
#include "proto/update.h"

#include <stdlib.h>

#define GROUPS_MAX 256 /* that one certificate stands in */

struct places {
	char ids[GROUPS_MAX][PROTO_ID_SIZE];
	const char *list[GROUPS_MAX];
	size_t n;
};

struct reading {
	const struct model_balancer *m;
	int rc;
	struct err *e;
};

static int on_place(const char *group_id, void *arg)
{
	struct places *p = arg;

	if (p->n == GROUPS_MAX) {
		log_error("certificate_in_too_many_groups", log_s("group", group_id));
		return 0;
	}
	(void)str_copy(p->ids[p->n], sizeof p->ids[0], group_id);
	p->list[p->n] = p->ids[p->n];
	p->n++;
	return 0;
}

static int on_group(const struct group *g, void *arg)
{
	return on_place(g->id, arg);
}

/* The body is in m->body, and is wiped: it holds keys. */
static int spread(const struct model_balancer *m, struct model_put *put, const struct places *p, struct err *e)
{
	int rc = 0;

	put->body = m->body->data;
	put->n = m->body->len;
	if (m->rev > 0)
		rc = model_spread(m->model, put, p->list, p->n, m->rev, e);
	for (size_t i = 0; m->rev == 0 && i < p->n && rc == 0; i++) {
		put->group = p->list[i];
		rc = model_load(m->model, put, e);
	}
	if (m->body->data != NULL)
		seal_wipe(m->body->data, m->body->len);
	return rc;
}

/* ---- certificates -------------------------------------------------------------------------------------------------- */

static int on_certificate(const struct certificate_placed *c, void *arg)
{
	struct reading *g = arg;
	const struct model_balancer *m = g->m;
	struct model_put put = { .kind = OBJECT_CERT,
		.id = c->id,
		.group = "",
		.node = "",
		.spread = true,
		.seq = MAX((uint64_t)c->seq, m->seq),
		.since = (uint64_t)c->seq };
	struct places places = { .n = 0 };

	buf_reset(m->body);
	if (c->present) {
		cert_conf_encode(&c->conf, m->body);
		g->rc = certificate_groups(m->db, c->id, on_place, &places, g->e);
	}
	if (m->body->failed) {
		log_error("certificate_not_encoded", log_s("certificate", c->id));
		places.n = 0;
	}
	if (g->rc == 0)
		g->rc = spread(m, &put, &places, g->e);
	return g->rc;
}

int model_certs_one(const struct model_balancer *m, const char *id, struct err *e)
{
	struct reading g = { .m = m, .e = e };

	return certificate_placed_get(m->db, id, on_certificate, &g, e) != 0 || g.rc != 0 ? -1 : 0;
}

/* ---- answers to CAs ------------------------------------------------------------------------------------------------ */

static int on_answer(const struct answer_placed *a, void *arg)
{
	struct reading *g = arg;
	const struct model_balancer *m = g->m;
	struct model_put put = { .kind = OBJECT_ACME,
		.id = a->id,
		.group = "",
		.node = "",
		.spread = true,
		.seq = MAX((uint64_t)a->seq, m->seq),
		.since = (uint64_t)a->seq };
	struct places places = { .n = 0 };

	buf_reset(m->body);
	if (a->body != NULL) {
		buf_put(m->body, a->body, a->n);
		g->rc = answer_groups(m->db, a->id, on_place, &places, g->e);
	}
	if (m->body->failed) {
		log_error("answer_not_encoded", log_s("answer", a->id));
		places.n = 0;
	}
	if (g->rc == 0)
		g->rc = spread(m, &put, &places, g->e);
	return g->rc;
}

int model_certs_answer(const struct model_balancer *m, const char *id, struct err *e)
{
	struct reading g = { .m = m, .e = e };

	return answer_placed_get(m->db, id, on_answer, &g, e) != 0 || g.rc != 0 ? -1 : 0;
}

/* There are few at a time: while orders are under way. */
struct answer_ids {
	char (*of)[PROTO_ID_SIZE];
	size_t n, room;
};

static int on_answer_id(const char *id, void *arg)
{
	struct answer_ids *ids = arg;

	if (ids->n == ids->room) {
		const size_t room = ids->room * 2 + 16;
		void *of = realloc(ids->of, room * sizeof *ids->of);

		if (of == NULL)
			return -1;
		ids->of = of;
		ids->room = room;
	}
	return str_copy(ids->of[ids->n++], PROTO_ID_SIZE, id);
}

static int load_answers(const struct model_balancer *m, struct err *e)
{
	struct answer_ids ids = { .n = 0 };
	int rc = answer_placed_ids(m->db, on_answer_id, &ids, e);

	for (size_t i = 0; i < ids.n && rc == 0; i++)
		rc = model_certs_answer(m, ids.of[i], e);
	free(ids.of);
	return rc;
}

/* ---- ticket keys ---------------------------------------------------------------------------------------------------- */

int model_certs_tickets(const struct model_balancer *m, struct err *e)
{
	const struct group_query all = { .after = "", .name = "", .limit = UINT32_MAX };
	struct model_put put = { .kind = OBJECT_TICKETS, .id = TICKETS_ID, .group = "", .node = "", .spread = true };
	struct places places = { .n = 0 };
	struct ticket_conf conf;
	int64_t seq;

	if (ticket_keys_placed(m->db, &conf, &seq, e) != 0 || group_list(m->db, &all, on_group, &places, e) != 0)
		return -1;
	put.seq = MAX((uint64_t)seq, m->seq);
	put.since = (uint64_t)seq;
	buf_reset(m->body);
	ticket_conf_encode(&conf, m->body);
	seal_wipe(&conf, sizeof conf);
	return spread(m, &put, &places, e);
}

int model_certs_load(const struct model_balancer *m, struct err *e)
{
	struct reading g = { .m = m, .e = e };

	if (certificate_placed_all(m->db, on_certificate, &g, e) != 0 || g.rc != 0)
		return -1;
	return load_answers(m, e) != 0 ? -1 : model_certs_tickets(m, e);
}
