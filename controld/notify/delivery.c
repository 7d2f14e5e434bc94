#include "controld/notify/delivery.h"

#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "controld/store/changes.h"
#include "controld/store/erasure.h"

#include <stdlib.h>
#include <string.h>

#define READER  "webhooks"
#define BLANKED "-" /* what a text is about that says so no more */
#define SET_BACK(time) \
	"CASE WHEN " time " <= ?1 THEN " time " WHEN " time " - ?2 - ?3 > ?1 THEN ?1 ELSE " time " - ?2 END"

#define NOT_OF(list) list " NOT LIKE '%,' || w.tenant_id || ',%'"

enum {
	SQL_BEGIN_READER,
	SQL_OFFSET,
	SQL_MOVE_OFFSET,
	SQL_COUNT_IN,
	SQL_COUNT_DROPPED,
	SQL_INSERT,
	SQL_DUE,
	SQL_NEXT,
	SQL_TAKE,
	SQL_RELEASE,
	SQL_RELEASE_ALL,
	SQL_SET_BACK,
	SQL_HEAD,
	SQL_QUEUE_DONE,
	SQL_QUEUE_AGAIN,
	SQL_END,
	SQL_AGAIN,
	SQL_INSERT_TEST,
	SQL_LIST,
	SQL_PRUNE,
	SQL_OF_SUBJECT,
	SQL_OF_TENANT,
	SQL_BLANK,
};
static const char *const sql[] = {
	[SQL_BEGIN_READER] = "INSERT INTO log_readers (name, seq) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
	[SQL_OFFSET] = "SELECT seq FROM log_readers WHERE name = ?1",
	[SQL_MOVE_OFFSET] = "UPDATE log_readers SET seq = ?3 WHERE name = ?1 AND seq = ?2",
	[SQL_COUNT_IN] = "UPDATE webhook_queues SET waiting = waiting + 1 WHERE webhook_id = ?1 AND waiting < ?2",
	[SQL_COUNT_DROPPED] = "UPDATE webhook_queues SET dropped = dropped + 1 WHERE webhook_id = ?1",
	[SQL_INSERT] =
		"INSERT INTO webhook_deliveries (id, webhook_id, tenant_id, seq, event, state, body, attempts, status, "
		"latency_ms, error, created_ms, ended_ms, subject) VALUES (?1, ?2, ?3, ?4, ?5, 'pending', ?6, 0, 0, 0, "
		"'', ?7, 0, ?8)",
	[SQL_DUE] = "SELECT q.webhook_id, q.take, w.tenant_id FROM webhook_queues q JOIN webhooks w ON w.id = "
		    "q.webhook_id WHERE "
		    "q.waiting "
		    "> 0 AND q.due_ms <= ?1 AND q.held_until_ms <= ?1 AND w.enabled = 1 AND w.paused = '' AND " NOT_OF(
			    "?2") " ORDER BY "
				  "q.due_ms "
				  "LIMIT 1",
	[SQL_NEXT] =
		"SELECT min(CASE WHEN q.due_ms > q.held_until_ms THEN q.due_ms ELSE q.held_until_ms END) FROM "
		"webhook_queues q JOIN webhooks w ON w.id = q.webhook_id WHERE q.waiting > 0 AND w.enabled = 1 AND "
		"w.paused = '' AND " NOT_OF("?1"),
	[SQL_TAKE] =
		"UPDATE webhook_queues SET take = take + 1, held_until_ms = ?3 WHERE webhook_id = ?1 AND take = ?2",
	/* due again from now: those that wait longer have their turn first */
	[SQL_RELEASE] =
		"UPDATE webhook_queues SET held_until_ms = 0, due_ms = CASE WHEN due_ms < ?3 THEN ?3 ELSE due_ms END "
		"WHERE webhook_id = ?1 AND take = ?2",
	[SQL_RELEASE_ALL] = "UPDATE webhook_queues SET held_until_ms = 0 WHERE held_until_ms > 0",
	[SQL_SET_BACK] = "UPDATE webhook_queues SET due_ms = " SET_BACK("due_ms") ", held_until_ms = " SET_BACK(
		"held_until_ms") " WHERE due_ms > ?1 OR held_until_ms > ?1",
	[SQL_HEAD] = "SELECT id, seq, event, body, attempts FROM webhook_deliveries WHERE webhook_id = ?1 AND state = "
		     "'pending' ORDER BY seq LIMIT 1",
	[SQL_QUEUE_DONE] =
		"UPDATE webhook_queues SET waiting = waiting - 1, failures = 0, due_ms = ?7, held_until_ms = ?3, "
		"last_status = ?4, last_error = ?5, last_ok_ms = CASE WHEN last_ok_ms < ?6 THEN ?6 ELSE last_ok_ms END "
		"WHERE "
		"webhook_id = ?1 AND take = ?2",
	[SQL_QUEUE_AGAIN] =
		"UPDATE webhook_queues SET failures = failures + 1, due_ms = ?3, held_until_ms = 0, last_status = ?4, "
		"last_error = ?5 WHERE webhook_id = ?1 AND take = ?2",
	[SQL_END] = "UPDATE webhook_deliveries SET state = ?2, body = '', attempts = attempts + 1, status = ?3, "
		    "latency_ms = "
		    "?4, error = ?5, ended_ms = ?6 WHERE id = ?1",
	[SQL_AGAIN] = "UPDATE webhook_deliveries SET attempts = attempts + 1, status = ?2, latency_ms = ?3, error = ?4 "
		      "WHERE id "
		      "= ?1",
	[SQL_INSERT_TEST] =
		"INSERT INTO webhook_deliveries (id, webhook_id, tenant_id, seq, event, state, body, attempts, status, "
		"latency_ms, error, created_ms, ended_ms) VALUES (?1, ?2, ?3, 0, ?4, ?5, '', 1, ?6, ?7, ?8, ?9, ?9)",
	[SQL_LIST] = "SELECT id, event, seq, state, attempts, status, latency_ms, error, created_ms, ended_ms FROM "
		     "webhook_deliveries WHERE webhook_id = ?1 AND (?2 = '' OR id < ?2) ORDER BY id DESC LIMIT ?3",
	[SQL_PRUNE] =
		"DELETE FROM webhook_deliveries WHERE id IN (SELECT id FROM webhook_deliveries WHERE ended_ms > 0 AND "
		"ended_ms < ?1 LIMIT ?2)",
	[SQL_OF_SUBJECT] = "SELECT id, body FROM webhook_deliveries WHERE subject = ?1 AND state = 'pending' ORDER BY "
			   "seq LIMIT ?2",
	[SQL_OF_TENANT] =
		"SELECT id, body FROM webhook_deliveries WHERE tenant_id = ?1 AND state = 'pending' AND subject <> "
		"'" BLANKED "' ORDER BY seq LIMIT ?2",
	[SQL_BLANK] =
		"UPDATE webhook_deliveries SET body = ?2, subject = '" BLANKED "' WHERE id = ?1 AND state = 'pending'",
};
const struct sql_table delivery_sql = { "webhook delivery", sql, ARRAY_LEN(sql) };

/* ---- the reader -------------------------------------------------------------------------------------------------- */

int delivery_begin_reader(struct db *tx, struct err *e)
{
	uint8_t log_id[CHANGES_LOG_ID_SIZE];
	int64_t last;

	if (changes_last(tx, &last, log_id, e) != 0)
		return -1;
	return MIN(db_exec(tx, sql[SQL_BEGIN_READER], e, bind_s(READER), bind_i(last)), 0);
}

int delivery_offset(struct db *db, int64_t *seq, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_OFFSET], e, bind_s(READER)) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1)
		*seq = query_int(q, 0);
	query_end(q);
	return rc == 1 ? 0 : rc == 0 ? err_set(e, ERR_STORAGE, NULL, "webhooks: the log has no offset") : -1;
}

int delivery_move_offset(struct db *tx, int64_t from, int64_t to, struct err *e)
{
	return db_exec(tx, sql[SQL_MOVE_OFFSET], e, bind_s(READER), bind_i(from), bind_i(to));
}

int delivery_queue(struct db *tx, const struct delivery_order *o, struct err *e)
{
	char id[RAND_ID_SIZE];
	int rc = db_exec(tx, sql[SQL_COUNT_IN], e, bind_s(o->webhook_id), bind_i(o->waiting_max));

	if (rc == 0)
		return MIN(db_exec(tx, sql[SQL_COUNT_DROPPED], e, bind_s(o->webhook_id)), 0);
	if (rc < 0)
		return -1;
	rand_id(id, "dlv");
	return db_exec(tx, sql[SQL_INSERT], e, bind_s(id), bind_s(o->webhook_id), bind_s(o->tenant_id), bind_i(o->seq),
		bind_s(o->topic), bind_s(o->body), bind_i(o->now_ms), bind_s(o->subject));
}

/* ---- serving ----------------------------------------------------------------------------------------------------- */

int delivery_next_due(struct db *db, const char *not_of, int64_t *next_ms, struct err *e)
{
	struct query *q;
	int rc;

	*next_ms = 0;
	if (db_query(db, &q, sql[SQL_NEXT], e, bind_s(not_of)) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1)
		*next_ms = query_is_null(q, 0) ? 0 : MAX(query_int(q, 0), 1);
	query_end(q);
	return MIN(rc, 0);
}

int delivery_take(struct db *tx, const struct delivery_turn *turn, struct delivery_hold *out, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(tx, &q, sql[SQL_DUE], e, bind_i(turn->now_ms), bind_s(turn->not_of)) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1) {
		(void)str_copy(out->webhook_id, sizeof out->webhook_id, query_text(q, 0));
		out->take = query_int(q, 1);
		(void)str_copy(out->tenant_id, sizeof out->tenant_id, query_text(q, 2));
	}
	query_end(q);
	if (rc <= 0)
		return rc;
	rc = db_exec(tx, sql[SQL_TAKE], e, bind_s(out->webhook_id), bind_i(out->take), bind_i(turn->until_ms));
	out->take++;
	return rc;
}

int delivery_release(struct db *tx, const struct delivery_hold *h, int64_t now_ms, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_RELEASE], e, bind_s(h->webhook_id), bind_i(h->take), bind_i(now_ms)), 0);
}

int delivery_release_all(struct db *tx, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_RELEASE_ALL], e), 0);
}

int delivery_set_back(struct db *tx, const struct set_back *s, struct err *e)
{
	return db_exec(tx, sql[SQL_SET_BACK], e, bind_i(s->now_ms), bind_i(s->by_ms), bind_i(s->most_ms));
}

int delivery_head(struct db *db, const char *webhook_id, struct delivery *d, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_HEAD], e, bind_s(webhook_id)) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1) {
		const char *body = query_text(q, 3);

		(void)str_copy(d->id, sizeof d->id, query_text(q, 0));
		d->seq = query_int(q, 1);
		(void)str_copy(d->topic, sizeof d->topic, query_text(q, 2));
		d->attempts = query_int(q, 4);
		buf_reset(&d->body);
		buf_put(&d->body, body, strlen(body));
	}
	query_end(q);
	return rc;
}

static int note_again(struct db *tx, const struct delivery_result *r, struct err *e)
{
	const int n = db_exec(tx, sql[SQL_QUEUE_AGAIN], e, bind_s(r->hold->webhook_id), bind_i(r->hold->take),
		bind_i(r->due_ms), bind_i(r->status), bind_s(r->error));

	if (n <= 0)
		return n;
	return db_exec(tx, sql[SQL_AGAIN], e, bind_s(r->id), bind_i(r->status), bind_i(r->latency_ms),
		       bind_s(r->error)) < 0
	               ? -1
	               : 1;
}

int delivery_note(struct db *tx, const struct delivery_result *r, struct err *e)
{
	int n;

	if (str_eq(r->state, "pending"))
		return note_again(tx, r, e);
	n = db_exec(tx, sql[SQL_QUEUE_DONE], e, bind_s(r->hold->webhook_id), bind_i(r->hold->take), bind_i(r->until_ms),
		bind_i(r->status), bind_s(r->error), bind_i(str_eq(r->state, "delivered") ? r->now_ms : 0),
		bind_i(r->due_ms));
	if (n <= 0)
		return n;
	return db_exec(tx, sql[SQL_END], e, bind_s(r->id), bind_s(r->state), bind_i(r->status), bind_i(r->latency_ms),
		       bind_s(r->error), bind_i(r->now_ms)) < 0
	               ? -1
	               : 1;
}

int delivery_note_test(struct db *tx, const struct webhook *w, const struct delivery *d,
	const struct delivery_result *r, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_INSERT_TEST], e, bind_s(d->id), bind_s(w->id), bind_s(w->tenant_id),
			   bind_s(d->topic), bind_s(r->state), bind_i(r->status), bind_i(r->latency_ms),
			   bind_s(r->error), bind_i(r->now_ms)),
		0);
}

/* ---- the log of them --------------------------------------------------------------------------------------------- */

static void print(struct buf *b, struct query *q)
{
	jsonw_object(b, NULL);
	jsonw_str(b, "id", query_text(q, 0));
	jsonw_str(b, "event", query_text(q, 1));
	jsonw_int(b, "seq", query_int(q, 2));
	jsonw_str(b, "state", query_text(q, 3));
	jsonw_int(b, "attempts", query_int(q, 4));
	jsonw_int(b, "status", query_int(q, 5));
	jsonw_int(b, "latency_ms", query_int(q, 6));
	jsonw_str_or_null(b, "error", query_text(q, 7));
	jsonw_time(b, "created_at", query_int(q, 8));
	jsonw_time(b, "ended_at", query_int(q, 9));
	jsonw_end_object(b);
}

int delivery_print_list(struct db *db, const char *webhook_id, const char *before, unsigned limit, struct buf *b,
	char last[RAND_ID_SIZE], bool *more, struct err *e)
{
	struct query *q;
	unsigned n = 0;
	int rc;

	*more = false;
	if (db_query(db, &q, sql[SQL_LIST], e, bind_s(webhook_id), bind_s(before), bind_i((int64_t)limit + 1)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		if (n++ == limit) {
			*more = true;
			break;
		}
		(void)str_copy(last, RAND_ID_SIZE, query_text(q, 0));
		print(b, q);
	}
	query_end(q);
	return MIN(rc, 0);
}

int delivery_prune(struct db *tx, int64_t before_ms, unsigned limit, unsigned *n, struct err *e)
{
	const int rc = db_exec(tx, sql[SQL_PRUNE], e, bind_i(before_ms), bind_i(limit));

	*n = rc > 0 ? (unsigned)rc : 0;
	return MIN(rc, 0);
}

/* ---- who goes for good ------------------------------------------------------------------------------------------- */

#define BLANKED_AT_ONCE 50

struct waiting {
	char id[RAND_ID_SIZE];
	char *body;
};

static int read_waiting(
	struct db *tx, const struct erase_owner *o, struct waiting w[BLANKED_AT_ONCE], size_t *n, struct err *e)
{
	struct query *q;
	int rc;

	*n = 0;
	if (db_query(tx, &q, sql[o->tenant ? SQL_OF_TENANT : SQL_OF_SUBJECT], e, bind_s(o->id),
		    bind_i(BLANKED_AT_ONCE)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1 && *n < BLANKED_AT_ONCE) {
		struct waiting *one = &w[(*n)++];

		(void)str_copy(one->id, sizeof one->id, query_text(q, 0));
		one->body = topic_blank(query_text(q, 1));
	}
	query_end(q);
	return MIN(rc, 0);
}

static int blank(
	struct db *tx, const struct erase_owner *o, unsigned limit, int64_t *position, unsigned *n, struct err *e)
{
	struct waiting w[BLANKED_AT_ONCE];
	size_t found;
	int rc = read_waiting(tx, o, w, &found, e);

	(void)position;
	for (size_t i = 0; i < found; i++) {
		if (rc == 0 && w[i].body == NULL)
			rc = err_set(e, ERR_NOMEM, NULL, "webhook delivery %s: out of memory", w[i].id);
		if (rc == 0)
			rc = MIN(db_exec(tx, sql[SQL_BLANK], e, bind_s(w[i].id), bind_s(w[i].body)), 0);
		free(w[i].body);
	}
	*n = found == BLANKED_AT_ONCE ? limit : 0; /* to be called again while there may be more */
	return rc;
}

const struct erasure delivery_erasure = { "webhook delivery", "webhook_deliveries", blank };
