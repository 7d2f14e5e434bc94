#include "common/base/clock.h"
#include "common/base/str.h"
#include "controld/clients/client.h"
#include "controld/clients/clients.h"
#include "controld/clients/room.h"

/* What clients.h gives to fleet/ and tunnels/: clients as the relays see them. */

enum { SQL_ONE, SQL_ALL, SQL_IDS_OF_USER, SQL_IDS_OF_TENANT };
static const char *const sql[] = {
	[SQL_ONE] = "SELECT " CLIENT_COLUMNS " FROM clients c WHERE c.id = ?1",
	[SQL_ALL] = "SELECT " CLIENT_COLUMNS " FROM clients c",
	[SQL_IDS_OF_USER] = "SELECT id FROM clients WHERE user_id = ?1",
	[SQL_IDS_OF_TENANT] = "SELECT id FROM clients WHERE tenant_id = ?1",
};
const struct sql_table client_placed_sql = { "client_placed", sql, ARRAY_LEN(sql) };

/* One that is switched off stays on the relays, which tell its agent why it is not let in. */
static int give(const struct client *c, int64_t now_ms, client_placed_fn fn, void *arg)
{
	struct client_placed p = { .seq = c->seq, .conf = c->conf };

	client_id_print(p.id, c->id);
	p.present = !c->deleting && (c->conf.expires_ms == 0 || c->conf.expires_ms > now_ms);
	p.conf.enabled = c->active && c->owner_active;
	str_copy(p.conf.tenant, sizeof p.conf.tenant, c->tenant_id);
	return fn(&p, arg);
}

static int give_rows(struct query *q, size_t *n, client_placed_fn fn, void *arg, struct err *e)
{
	const int64_t now_ms = clock_wall_ms();
	struct client c;
	int rc;

	for (*n = 0; (rc = query_next(q, e)) == 1; ++*n) {
		rc = client_load(&c, q, e);
		if (rc == 0)
			rc = give(&c, now_ms, fn, arg);
		if (rc != 0)
			break;
	}
	query_end(q);
	return rc;
}

int client_placed_get(struct db *db, const char *id, client_placed_fn fn, void *arg, struct err *e)
{
	struct client_placed gone = { .present = false };
	struct query *q;
	int64_t number;
	size_t n = 0;

	if (client_id_parse(id, &number) == 0) {
		if (db_query(db, &q, sql[SQL_ONE], e, bind_i(number)) != 0 || give_rows(q, &n, fn, arg, e) != 0)
			return -1;
	}
	if (n > 0)
		return 0;
	str_copy(gone.id, sizeof gone.id, id);
	return fn(&gone, arg);
}

int client_placed_all(struct db *db, client_placed_fn fn, void *arg, struct err *e)
{
	struct query *q;
	size_t n;

	if (db_query(db, &q, sql[SQL_ALL], e) != 0)
		return -1;
	return give_rows(q, &n, fn, arg, e);
}

int client_ids_of(struct db *db, const char *kind, const char *subject, int (*fn)(const char *id, void *arg), void *arg,
	struct err *e)
{
	const bool user = str_eq(kind, "user");
	char id[PROTO_ID_SIZE];
	struct query *q;
	int rc;

	if (!user && !str_eq(kind, "tenant"))
		return 0;
	if (db_query(db, &q, sql[user ? SQL_IDS_OF_USER : SQL_IDS_OF_TENANT], e, bind_s(subject)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		client_id_print(id, query_int(q, 0));
		rc = fn(id, arg);
		if (rc != 0)
			break;
	}
	query_end(q);
	return rc;
}

int client_moved(struct db *tx, int64_t id, const struct client_actor *by, struct err *e)
{
	struct client c;
	struct query *q;
	int rc;

	if (db_query(tx, &q, sql[SQL_ONE], e, bind_i(id)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1 && client_load(&c, q, e) != 0)
		rc = -1;
	query_end(q);
	if (rc != 1 || c.deleting) /* nobody is to be told of it any more */
		return MIN(rc, 0);
	if (client_log(tx, &c, "update", "groups", by, e) != 0)
		return -1;
	return client_update(tx, &c, e);
}
