#include "controld/certs/ticket_keys.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/certs/room.h"
#include "controld/store/changes.h"
#include "controld/store/secrets.h"
#include "proto/ticket_conf.h"

#include <string.h>

/* All keys are one secret, in the form that relays get; the row beside it says when to look at it again, and which change it was. */
#define SECRET_TICKETS "tls-tickets"

enum { SQL_GET, SQL_PUT };
static const char *const sql[] = {
	[SQL_GET] = "SELECT due_ms, seq FROM ticket_keys WHERE id = 1",
	[SQL_PUT] =
		"INSERT INTO ticket_keys (id, due_ms, seq) VALUES (1, ?1, ?2) ON CONFLICT (id) DO UPDATE SET due_ms = "
		"excluded.due_ms, seq = excluded.seq",
};
const struct sql_table ticket_keys_sql = { "ticket_keys", sql, ARRAY_LEN(sql) };

static int row(struct db *db, int64_t *due_ms, int64_t *seq, struct err *e)
{
	struct query *q;
	int rc;

	*due_ms = *seq = 0;
	if (db_query(db, &q, sql[SQL_GET], e) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1) {
		*due_ms = query_int(q, 0);
		*seq = query_int(q, 1);
	}
	query_end(q);
	return MIN(rc, 0);
}

int ticket_keys_due(struct store *s, int64_t now_ms, bool *due, struct err *e)
{
	int64_t due_ms, seq;
	struct db *db;
	int rc;

	if (store_read_begin(s, &db, e) != 0)
		return -1;
	rc = row(db, &due_ms, &seq, e);
	store_read_end(db);
	*due = due_ms <= now_ms;
	return rc;
}

int ticket_keys_placed(struct db *db, struct ticket_conf *out, int64_t *seq, struct err *e)
{
	int64_t due_ms;
	struct buf plain;
	struct err why;
	int rc;

	memset(out, 0, sizeof *out);
	if (row(db, &due_ms, seq, e) != 0)
		return -1;
	buf_init(&plain, SECRETS_MAX);
	rc = secrets_get(db, SECRET_TICKETS, &plain, &why);
	if (rc != 0 && why.code == ERR_NOT_FOUND)
		rc = 0;
	else if (rc != 0 && e != NULL)
		*e = why;
	else if (rc == 0 && ticket_conf_decode(out, plain.data, plain.len) != 0)
		rc = err_set(e, ERR_INTERNAL, NULL, "ticket keys: what is stored cannot be read");
	if (plain.data != NULL)
		seal_wipe(plain.data, plain.len);
	buf_free(&plain);
	return rc;
}

/* ---- rotating ----------------------------------------------------------------------------------------------------- */

static void make_key(struct ticket_conf *c, int64_t from_ms)
{
	struct ticket_key *k = &c->keys[c->n++];

	rand_bytes(k->name, sizeof k->name);
	rand_bytes(k->cipher, sizeof k->cipher);
	rand_bytes(k->mac, sizeof k->mac);
	k->from_ms = from_ms;
	k->until_ms = from_ms + 2 * TICKET_KEY_STEP_MS;
}

static void drop_ended(struct ticket_conf *c, int64_t now_ms)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < c->n; i++)
		if (c->keys[i].until_ms > now_ms)
			c->keys[kept++] = c->keys[i];
	seal_wipe(&c->keys[kept], (c->n - kept) * sizeof c->keys[0]);
	c->n = kept;
}

/* The last one begins more than a step from now, so everybody has it long before. */
static void fill(struct ticket_conf *c, int64_t now_ms)
{
	int64_t last = 0;

	drop_ended(c, now_ms);
	for (uint32_t i = 0; i < c->n; i++)
		last = MAX(last, c->keys[i].from_ms);
	if (last == 0 || last + TICKET_KEY_STEP_MS < now_ms) /* the first, or after a long time without anybody */
		last = now_ms - TICKET_KEY_STEP_MS;
	while (last <= now_ms + TICKET_KEY_STEP_MS && c->n < TICKET_KEYS_MAX)
		make_key(c, last += TICKET_KEY_STEP_MS);
}

/* When the last key is no more than a step away, or one has ended. */
static int64_t next_due(const struct ticket_conf *c)
{
	int64_t due = INT64_MAX, last = 0;

	for (uint32_t i = 0; i < c->n; i++) {
		due = MIN(due, c->keys[i].until_ms);
		last = MAX(last, c->keys[i].from_ms);
	}
	return MIN(due, last - TICKET_KEY_STEP_MS);
}

static int store_keys(struct db *tx, const struct ticket_conf *c, int64_t seq, struct err *e)
{
	struct buf plain;
	int rc;

	buf_init(&plain, SECRETS_MAX);
	ticket_conf_encode(c, &plain);
	rc = plain.failed ? err_set(e, ERR_NOMEM, NULL, "ticket keys: out of memory")
	                  : secrets_put(tx, SECRET_TICKETS, plain.data, plain.len, e);
	if (plain.data != NULL)
		seal_wipe(plain.data, plain.len);
	buf_free(&plain);
	return rc != 0 ? -1 : MIN(db_exec(tx, sql[SQL_PUT], e, bind_i(next_due(c)), bind_i(seq)), 0);
}

int ticket_keys_rotate(struct db *tx, int64_t now_ms, struct err *e)
{
	const struct change how = { .time_ms = now_ms,
		.tenant = "",
		.actor = "system",
		.kind = "ticket_keys",
		.op = "update",
		.subject = TICKETS_ID,
		.fields = "" };
	struct ticket_conf c;
	int64_t due_ms, seq;
	int rc;

	if (row(tx, &due_ms, &seq, e) != 0)
		return -1;
	if (due_ms > now_ms) /* another one was quicker */
		return 0;
	if (ticket_keys_placed(tx, &c, &seq, e) != 0)
		return -1;
	fill(&c, now_ms);
	rc = changes_append(tx, &how, &seq, e);
	if (rc == 0)
		rc = store_keys(tx, &c, seq, e);
	seal_wipe(&c, sizeof c);
	return rc;
}
