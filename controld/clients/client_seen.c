#include "controld/clients/client_seen.h"

#include "controld/clients/client.h"
#include "controld/clients/room.h"

#define BATCH    200         /* rows of one transaction */
#define EVERY_MS (60 * 1000) /* of a client that stays */

/* A relay may name clients that are not there: they get no row. */
enum { SQL_PUT, SQL_GET, SQL_DELETE };
static const char *const sql[] = {
	[SQL_PUT] =
		"INSERT INTO client_seen (client_id, tenant_id, seen_ms, node_id, address, agent_version) SELECT id, "
		"tenant_id, CAST(?2 AS BIGINT), ?3, ?4, ?5 FROM clients WHERE id = ?1 ON CONFLICT (client_id) DO "
		"UPDATE SET seen_ms = "
		"excluded.seen_ms, node_id = excluded.node_id, address = excluded.address, agent_version = "
		"excluded.agent_version",
	[SQL_GET] = "SELECT seen_ms FROM client_seen WHERE client_id = ?1",
	[SQL_DELETE] = "DELETE FROM client_seen WHERE client_id = ?1",
};
const struct sql_table client_seen_sql = { "client_seen", sql, ARRAY_LEN(sql) };

struct batch {
	struct client_sign signs[BATCH];
	size_t n;
};

static int work_write(struct db *tx, void *arg, struct err *e)
{
	const struct batch *b = arg;

	for (size_t i = 0; i < b->n; i++) {
		const struct client_sign *s = &b->signs[i];
		int64_t id;

		if (client_id_parse(s->client, &id) == 0 &&
			db_exec(tx, sql[SQL_PUT], e, bind_i(id), bind_i(s->seen_ms), bind_s(s->node_id),
				bind_s(s->address), bind_s(s->version)) < 0)
			return -1;
	}
	return 0;
}

int client_seen_write(struct store *store, struct client_statuses *statuses, int64_t now_ms, struct err *e)
{
	struct batch b;

	do {
		b.n = client_statuses_due(statuses, b.signs, BATCH, now_ms, EVERY_MS);
		if (b.n > 0 && store_write(store, STORE_OPERATIONAL, work_write, &b, e) != 0)
			return -1;
	} while (b.n == BATCH);
	return 0;
}

int client_seen_live(
	struct db *db, struct client_statuses *statuses, int64_t id, struct client_live *out, struct err *e)
{
	struct query *q;
	int rc;

	out->status = CLIENT_OFFLINE;
	out->n = out->n_down = out->more = out->more_down = 0;
	out->seen_ms = 0;
	if (statuses != NULL)
		client_statuses_get(statuses, id, out);
	if (out->seen_ms != 0)
		return 0;
	if (db_query(db, &q, sql[SQL_GET], e, bind_i(id)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		out->seen_ms = query_int(q, 0);
	query_end(q);
	return MIN(rc, 0);
}

int client_seen_delete(struct db *tx, int64_t id, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_DELETE], e, bind_i(id)), 0);
}
