#include "controld/tunnels/mapping_port.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/tunnels/api.h"
#include "controld/tunnels/mapping_change.h"
#include "controld/tunnels/port.h"

#define PAGE 500

enum { SQL_PICKED, SQL_SETTLE };
static const char *const sql[] = {
	[SQL_PICKED] = "SELECT id, tenant_id, group_id, node_id, seq, port_picks, updated_ms FROM mappings "
		       "WHERE port_picks > 0 AND active = 1 AND id > ?1 ORDER BY id LIMIT ?2",
	[SQL_SETTLE] = "UPDATE mappings SET port_picks = 0 WHERE id = ?1 AND seq = ?2",
};
const struct sql_table mapping_port_sql = { "mapping_port", sql, ARRAY_LEN(sql) };

/* ---- claiming and moving ------------------------------------------------------------------------------------------ */
/* What holds its ports: the relays of a group, or the machine of a client, which has its own. */
struct holder {
	char of[PROTO_ID_SIZE + sizeof "client:"];
};

static struct port_place place_of(const struct mapping *m, struct holder *h)
{
	const bool own = m->conf.source_client[0] != '\0';

	str_fmt(h->of, sizeof h->of, "%s%s", own ? "client:" : "", own ? m->conf.source_client : m->group_id);
	return (struct port_place){ m->tenant_id, h->of, mapping_transport_name(&m->conf), m->conf.bind };
}

int mapping_port_claim(struct db *tx, const struct tunnels_conf *conf, struct mapping *m, struct err *e)
{
	struct holder holder;
	const struct port_place at = place_of(m, &holder);
	struct mapping_conf *c = &m->conf;
	const struct port_wish wish = {
		.min = conf->port_min,
		.max = conf->port_max,
		.n = (uint16_t)(c->port_last - c->port_first + 1),
	};

	if (c->port_first == 0) {
		if (port_pick(tx, &at, &wish, &c->port_first, e) != 0)
			return -1;
		c->port_last = (uint16_t)(c->port_first + wish.n - 1);
		m->port_picks = 1;
	}
	return port_claim(tx, &at, m->id, c->port_first, c->port_last, e);
}

static bool must_move(struct mapping_statuses *s, unsigned picks, const struct mapping_version *v)
{
	return picks > 0 && picks < MAPPING_PICKS_MAX && mapping_statuses_refused(s, v, ERR_ADDR_IN_USE);
}

bool mapping_port_must_move(struct mapping_statuses *s, const struct mapping *m)
{
	const struct mapping_version v = { m->id, m->group_id, m->node_id, m->seq };

	return must_move(s, m->port_picks, &v);
}

/*
 * Picked while the old ones are still held, so the new ones are others. Each time an eighth of the range further on: past
 * a stretch that another program holds, and in a small range past every port that was tried.
 */
static int pick_others(struct db *tx, const struct tunnels_conf *conf, struct mapping *m, struct err *e)
{
	struct holder holder;
	const struct port_place at = place_of(m, &holder);
	struct mapping_conf *c = &m->conf;
	const uint16_t n = (uint16_t)(c->port_last - c->port_first + 1);
	const uint32_t span = (uint32_t)(conf->port_max - conf->port_min) + 1;
	const uint32_t step = MAX(span / MAPPING_PICKS_MAX, n);
	const uint32_t from = c->port_first > conf->port_min ? (uint32_t)(c->port_first - conf->port_min) : 0;
	const struct port_wish wish = {
		.min = conf->port_min,
		.max = conf->port_max,
		.n = n,
		.start = (uint16_t)(conf->port_min + (from + step) % span),
	};

	if (port_pick(tx, &at, &wish, &c->port_first, e) != 0 || port_release(tx, m->id, e) != 0)
		return -1;
	c->port_last = (uint16_t)(c->port_first + n - 1);
	m->port_picks++;
	return port_claim(tx, &at, m->id, c->port_first, c->port_last, e);
}

/* A mapping as it was when a relay's refusal was seen. */
struct picked {
	char id[PROTO_ID_SIZE], tenant_id[PROTO_ID_SIZE];
	int64_t seq;
};

struct move {
	struct tunnels *t;
	const struct picked *seen;
	struct mapping_actor by;
	struct mapping m; /* as it is now */
	uint16_t from;    /* 0: did not move */
};

static int work_move(struct db *tx, void *arg, struct err *e)
{
	struct move *mv = arg;
	struct mapping *m = &mv->m;
	struct traffic ignored;
	uint16_t from;
	bool range;

	mapping_fini(m); /* of a run before this one */
	mv->from = 0;
	if (mapping_get(tx, mv->seen->tenant_id, mv->seen->id, m, &ignored, e) != 0)
		return -1;
	if (m->seq != mv->seen->seq || !mapping_serves(m, mv->by.now_ms) || !mapping_port_must_move(mv->t->statuses, m))
		return 0;
	from = m->conf.port_first;
	range = m->conf.port_last > from;
	if (pick_others(tx, &mv->t->conf, m, e) != 0)
		return -1;
	m->version++;
	m->updated_ms = mv->by.now_ms;
	if (mapping_log(tx, m, "update", range ? "source_port,source_port_end" : "source_port", &mv->by, e) != 0 ||
		mapping_update(tx, m, e) != 0)
		return -1;
	mv->from = from;
	return 0;
}

/* On success *mv->m is to be released. */
static int move(struct move *mv, struct err *e)
{
	mv->by = (struct mapping_actor){ "system", mv->by.request_id, clock_wall_ms() };
	if (store_write(mv->t->store, STORE_LOGGED, work_move, mv, e) != 0) {
		mapping_fini(&mv->m);
		return -1;
	}
	if (mv->from != 0)
		log_info("mapping_port_moved", log_s("mapping", mv->m.id), log_u("from", mv->from),
			log_u("to", mv->m.conf.port_first));
	return 0;
}

int mapping_port_move(struct tunnels *t, struct mapping *m, const char *request_id, struct err *e)
{
	struct picked seen = { .seq = m->seq };
	struct move mv = { .t = t, .seen = &seen, .by.request_id = request_id };

	str_copy(seen.id, sizeof seen.id, m->id);
	str_copy(seen.tenant_id, sizeof seen.tenant_id, m->tenant_id);
	if (move(&mv, e) != 0)
		return -1;
	mapping_fini(m);
	*m = mv.m;
	return 0;
}

/* ---- from time to time -------------------------------------------------------------------------------------------- */
struct page_of_picked {
	struct tunnels *t;
	int64_t now_ms;
	char last[PROTO_ID_SIZE];
	struct picked settled[PAGE], taken[PAGE];
	size_t n, n_settled, n_taken;
};

static void sort_one(struct page_of_picked *p, struct query *q)
{
	const struct mapping_version v = { query_text(q, 0), query_text(q, 2), query_text(q, 3), query_int(q, 4) };
	struct mapping_statuses *statuses = p->t->statuses;
	struct picked one = { .seq = v.seq };

	str_copy(one.id, sizeof one.id, v.mapping_id);
	str_copy(one.tenant_id, sizeof one.tenant_id, query_text(q, 1));
	str_copy(p->last, sizeof p->last, one.id);
	p->n++;
	if (must_move(statuses, (unsigned)query_int(q, 5), &v))
		p->taken[p->n_taken++] = one;
	else if (query_int(q, 6) <= p->now_ms - MAPPING_SETTLE_MS &&
		 mapping_statuses_get(statuses, v.mapping_id, v.group_id, v.node_id, v.seq, NULL) ==
			 MAPPING_STATUS_ACTIVE)
		p->settled[p->n_settled++] = one;
}

static int read_page(struct page_of_picked *p, struct err *e)
{
	struct query *q;
	struct db *db;
	int rc;

	p->n = p->n_settled = p->n_taken = 0;
	if (store_read_begin(p->t->store, &db, e) != 0)
		return -1;
	rc = db_query(db, &q, sql[SQL_PICKED], e, bind_s(p->last), bind_i(PAGE));
	if (rc == 0) {
		while ((rc = query_next(q, e)) == 1)
			sort_one(p, q);
		query_end(q);
	}
	store_read_end(db);
	return rc;
}

static int work_settle(struct db *tx, void *arg, struct err *e)
{
	const struct page_of_picked *p = arg;

	for (size_t i = 0; i < p->n_settled; i++)
		if (db_exec(tx, sql[SQL_SETTLE], e, bind_s(p->settled[i].id), bind_i(p->settled[i].seq)) < 0)
			return -1;
	return 0;
}

/* One whose ports cannot move keeps its error; the others are not held up by it. */
static void move_taken(struct page_of_picked *p)
{
	for (size_t i = 0; i < p->n_taken; i++) {
		struct move mv = { .t = p->t, .seen = &p->taken[i], .by.request_id = "" };
		struct err e;

		if (move(&mv, &e) == 0)
			mapping_fini(&mv.m);
		else
			log_warn("mapping_port_not_moved", log_s("mapping", p->taken[i].id), log_err(&e));
	}
}

int mapping_port_tick(struct tunnels *t, int64_t now_ms, struct err *e)
{
	struct page_of_picked *p = calloc(1, sizeof *p);
	int rc;

	if (p == NULL)
		return err_set(e, ERR_NOMEM, NULL, "mapping ports: out of memory");
	p->t = t;
	p->now_ms = now_ms;
	do {
		rc = read_page(p, e);
		if (rc == 0 && p->n_settled > 0)
			rc = store_write(t->store, STORE_OPERATIONAL, work_settle, p, e);
		if (rc == 0)
			move_taken(p);
	} while (rc == 0 && p->n == PAGE);
	free(p);
	return rc;
}
