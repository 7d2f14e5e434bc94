#include "controld/tunnels/traffic_boots.h"

#include "common/base/str.h"
#include "controld/tunnels/traffic.h"

#include <stdlib.h>

/* Claiming fails (no row changes) for a number that is stored already and for a boot that has ended. */
enum { SQL_CLAIM, SQL_NEW, SQL_KNOWN, SQL_PRUNE, SQL_LIVING, SQL_END };
static const char *const sql[] = {
	[SQL_CLAIM] =
		"UPDATE meter_boots SET number = ?3, ended = ?4, updated_ms = ?5 WHERE node_id = ?1 AND boot = ?2 AND "
		"number < ?3 AND ended = 0 RETURNING 1",
	[SQL_NEW] =
		"INSERT INTO meter_boots (tenant_id, node_id, boot, number, ended, updated_ms) SELECT '', ?1, ?2, "
		"CAST(?3 AS BIGINT), CAST(?4 AS BIGINT), CAST(?5 AS BIGINT) WHERE (SELECT count(*) FROM meter_boots "
		"WHERE node_id = ?1 AND ended = 0) < ?6 ON CONFLICT (node_id, boot) DO NOTHING",
	[SQL_KNOWN] = "SELECT 1 FROM meter_boots WHERE node_id = ?1 AND boot = ?2",
	[SQL_PRUNE] = "DELETE FROM meter_boots WHERE node_id = ?1 AND ended = 1 AND boot NOT IN (SELECT boot "
		      "FROM meter_boots "
		      "WHERE node_id = ?1 AND ended = 1 ORDER BY updated_ms DESC, boot LIMIT ?2)",
	[SQL_LIVING] = "SELECT boot FROM meter_boots WHERE node_id = ?1 AND ended = 0",
	[SQL_END] = "UPDATE meter_boots SET ended = 1, updated_ms = ?3 WHERE node_id = ?1 AND boot = ?2",
};
const struct sql_table traffic_boots_sql = { "traffic_boots", sql, ARRAY_LEN(sql) };

static int64_t report_number(const struct traffic_report *r)
{
	return (int64_t)MIN(r->m->number, (uint64_t)INT64_MAX);
}

bool traffic_is_heartbeat(const struct traffic_report *r)
{
	return r->m->boot[0] == '\0';
}

static int boot_known(struct db *tx, const struct traffic_report *r, bool *known, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(tx, &q, sql[SQL_KNOWN], e, bind_s(r->node_id), bind_s(r->m->boot)) != 0)
		return -1;
	rc = query_next(q, e);
	*known = rc == 1;
	query_end(q);
	return rc < 0 ? -1 : 0;
}

/* A boot that was not there; a relay has few living ones, and those that ended long ago come back no more. */
static int claim_new(struct db *tx, struct traffic_report *r, int64_t now_ms, struct err *e)
{
	bool known = false;
	int n = db_exec(tx, sql[SQL_NEW], e, bind_s(r->node_id), bind_s(r->m->boot), bind_i(report_number(r)),
		bind_i(r->m->last), bind_i(now_ms), bind_i(TRAFFIC_BOOTS_MAX));

	r->stored = n > 0;
	if (n > 0) {
		n = db_post(tx, sql[SQL_PRUNE], e, bind_s(r->node_id), bind_i(TRAFFIC_BOOTS_KEPT));
		return n != 0 ? n : traffic_open_node(tx, r->node_id, e);
	}
	if (n == 0) {
		n = boot_known(tx, r, &known, e);
		r->refused = n == 0 && !known;
	}
	return n;
}

static int on_claimed(void *arg, size_t i, struct query *q, struct err *e)
{
	struct traffic_report **claimed = arg;

	(void)q;
	(void)e;
	claimed[i]->stored = true;
	return 0;
}

int traffic_boots_claim(struct db *tx, struct traffic_report *all, size_t n, int64_t now_ms, struct err *e)
{
	struct db_each each = { .sql = sql[SQL_CLAIM], .width = 5, .row = on_claimed };
	struct traffic_report **claims = calloc(n, sizeof(struct traffic_report *));
	struct bind *values = calloc(n, each.width * sizeof *values);
	int rc = -1;

	if (claims == NULL || values == NULL) {
		err_set(e, ERR_NOMEM, NULL, "reports: out of memory");
		goto out;
	}
	for (size_t i = 0; i < n; i++) {
		struct bind *b = values + each.n * each.width;
		struct traffic_report *r = &all[i];

		r->stored = traffic_is_heartbeat(r);
		if (r->stored)
			continue;
		b[0] = bind_s(r->node_id);
		b[1] = bind_s(r->m->boot);
		b[2] = bind_i(report_number(r));
		b[3] = bind_i(r->m->last);
		b[4] = bind_i(now_ms);
		claims[each.n++] = r;
	}
	each.values = values;
	each.arg = claims;
	rc = db_each(tx, &each, e);
	for (size_t i = 0; i < each.n && rc == 0; i++)
		if (!claims[i]->stored)
			rc = claim_new(tx, claims[i], now_ms, e);
out:
	free(claims);
	free(values);
	return rc;
}

int traffic_boots_living(struct db *tx, const char *node_id, char boot[PROTO_ID_SIZE], struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(tx, &q, sql[SQL_LIVING], e, bind_s(node_id)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		str_copy(boot, PROTO_ID_SIZE, query_text(q, 0));
	query_end(q);
	return rc;
}

int traffic_boots_end(struct db *tx, const char *node_id, const char *boot, int64_t now_ms, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_END], e, bind_s(node_id), bind_s(boot), bind_i(now_ms)), 0);
}
