#include "controld/tunnels/mapping_reply.h"

#include "common/base/clock.h"
#include "common/base/jsonw.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/clients/client_status.h"
#include "controld/rest/park.h"
#include "controld/tunnels/api.h"
#include "controld/tunnels/mapping_host.h"
#include "controld/tunnels/mapping_port.h"

#include <stdlib.h>

#define JSON_TYPE "application/json; charset=utf-8"

/* Of a client at one end. */
static const char *end_status(struct tunnels *t, int64_t client_id)
{
	if (client_id == 0 || t->conf.clients == NULL)
		return NULL;
	return client_status_name(client_statuses_of(t->conf.clients, client_id));
}

void mapping_find_status(struct tunnels *t, const struct mapping *m, int64_t now_ms, struct mapping_live *live)
{
	static const char *const names[] = {
		[MAPPING_STATUS_PENDING] = "pending",
		[MAPPING_STATUS_ACTIVE] = "active",
		[MAPPING_STATUS_ERROR] = "error",
	};

	live->error = NULL;
	live->source = end_status(t, mapping_source(m));
	live->target = end_status(t, mapping_client(m));
	live->url[0] = '\0';
	live->status = "inactive";
	if (m->active && m->owner_active && m->over_quota) {
		live->status = "error";
		live->error = json_pack("{s:{s:s, s:s}}", "quota", "code", err_api(ERR_QUOTA_EXCEEDED), "message",
			"the user's traffic quota of this month is used up; /api/v1/users/{id}/quota says when the "
			"next begins");
	}
	mapping_host_url(t, m, live->url);
	if (mapping_serves(m, now_ms))
		live->status =
			names[mapping_statuses_get(t->statuses, m->id, m->group_id, m->node_id, m->seq, &live->error)];
}

int mapping_reply(struct tunnels *t, struct reply *rp, int status, const struct mapping *m, const struct traffic *tr,
	struct err *e)
{
	struct mapping_live live = { .traffic = *tr };
	struct buf *b = reply_open(rp, status, JSON_TYPE);

	mapping_find_status(t, m, clock_wall_ms(), &live);
	mapping_print(b, NULL, m, &live);
	json_decref(live.error);
	reply_etag(rp, m->version);
	return b->failed ? err_set(e, ERR_NOMEM, NULL, "mapping %s: out of memory", m->id) : 0;
}

static void free_waiting(void *state)
{
	struct mapping_waiting *w = state;

	mapping_watch_free(w->watch);
	mapping_fini(&w->m);
	free(w);
}

/* Takes over the lists of *m and the watch. */
static int move_waiting(struct mapping_waiting **out, struct mapping_waiting *from, struct err *e)
{
	*out = malloc(sizeof **out);
	if (*out == NULL)
		return err_set(e, ERR_NOMEM, NULL, "mapping %s: out of memory", from->m.id);
	**out = *from;
	from->m.conf = (struct mapping_conf){ .enabled = false };
	from->watch = NULL;
	return 0;
}

static int watch(struct mapping_waiting *w, struct err *e)
{
	const struct mapping_version v = { w->m.id, w->m.group_id, w->m.node_id, w->m.seq };

	mapping_watch_free(w->watch);
	w->watch = NULL;
	return mapping_watch_new(&w->watch, w->t->statuses, &v, e);
}

/* Ports that were picked and that a relay found taken are answered with others. */
static bool move_ports(struct request *rq, struct mapping_waiting *w)
{
	const int64_t seq = w->m.seq;
	struct err e;

	if (!mapping_port_must_move(w->t->statuses, &w->m))
		return false;
	if (mapping_port_move(w->t, &w->m, request_id(rq), &e) == 0)
		return w->m.seq != seq;
	log_warn("mapping_port_not_moved", log_s("mapping", w->m.id), log_err(&e));
	return false;
}

static int on_settled(void *feature, struct request *rq, struct reply *rp, void *state, struct err *e);

/* An answer now or later; takes w. */
static int reply_when_settled(struct request *rq, struct reply *rp, struct mapping_waiting *w, struct err *e)
{
	char key[PROTO_ID_SIZE + sizeof "mapping:"];
	int rc;

	str_fmt(key, sizeof key, "mapping:%s", w->m.id);
	do {
		const uint64_t ticket = park_ticket(w->t->parks, key);
		const uint64_t now_ms = clock_mono_ms();

		rc = watch(w, e);
		if (rc == 0 && w->until_ms > now_ms && mapping_serves(&w->m, clock_wall_ms()) &&
			!mapping_watch_settled(w->watch)) {
			reply_park(rp, key, ticket, w->until_ms - now_ms, on_settled, w, free_waiting);
			return 0;
		}
	} while (rc == 0 && move_ports(rq, w));
	if (rc == 0)
		rc = mapping_reply(w->t, rp, w->status, &w->m, &w->traffic, e);
	free_waiting(w);
	return rc;
}

static int on_settled(void *feature, struct request *rq, struct reply *rp, void *state, struct err *e)
{
	struct mapping_waiting *w = state, *again;

	if (!move_ports(rq, w))
		return mapping_reply(feature, rp, w->status, &w->m, &w->traffic, e);
	if (move_waiting(&again, w, e) != 0)
		return -1;
	return reply_when_settled(rq, rp, again, e);
}

int mapping_reply_settled(struct request *rq, struct reply *rp, struct mapping_waiting *from, struct err *e)
{
	struct mapping_waiting *w;

	return move_waiting(&w, from, e) == 0 ? reply_when_settled(rq, rp, w, e) : -1;
}
