#include "controld/store/changes.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "controld/store/chain.h"
#include "controld/store/changes_row.h"
#include "controld/store/db.h"
#include "controld/store/erasure.h"

#include <stdio.h>
#include <string.h>

#define CHANGES_FIELDS_MAX 1024

static const char sql_last[] = "SELECT coalesce(max(seq), 0) FROM changes";
static const char sql_first[] = "SELECT coalesce(min(seq), 0) FROM changes";
static const char sql_append[] =
	"INSERT INTO changes(seq, tx, time_ms, tenant_id, actor, request_id, kind, op, subject, fields, object, "
	"digest, chain) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
/* The transaction that the limit falls into, and the row that follows it: a read of a few rows looks at these rows only,
 * however long the log is. */
static const char sql_tx_at[] = "SELECT tx FROM changes WHERE seq > ?1 ORDER BY seq LIMIT 1 OFFSET ?2";
static const char sql_tx_at_kind[] =
	"SELECT tx FROM changes WHERE kind = ?3 AND seq > ?1 ORDER BY seq LIMIT 1 OFFSET ?2";
static const char sql_tx_next[] = "SELECT seq FROM changes WHERE seq > ?1 AND tx > ?1 ORDER BY seq LIMIT 1";
static const char sql_read[] = "SELECT " CHANGES_COLUMNS " FROM changes WHERE seq > ?1 AND seq <= ?2 ORDER BY seq";
static const char sql_read_kind[] =
	"SELECT " CHANGES_COLUMNS " FROM changes WHERE kind = ?3 AND seq > ?1 AND seq <= ?2 ORDER BY seq";
static const char sql_oldest[] =
	"SELECT seq, time_ms, chain, (SELECT max(seq) FROM changes) FROM changes WHERE seq > ?1 ORDER BY seq LIMIT ?2";
static const char sql_prune[] = "DELETE FROM changes WHERE seq <= ?1";
static const char sql_newest[] = "SELECT seq, chain FROM changes ORDER BY seq DESC LIMIT 1";
static const char sql_blank_subject[] =
	"UPDATE changes SET object = NULL WHERE seq IN (SELECT seq FROM changes WHERE subject = ?1 AND seq > ?2 AND "
	"object IS NOT NULL ORDER BY seq LIMIT ?3) RETURNING seq";
static const char sql_blank_tenant[] =
	"UPDATE changes SET object = NULL WHERE seq IN (SELECT seq FROM changes WHERE tenant_id = ?1 AND seq > ?2 AND "
	"object IS NOT NULL ORDER BY seq LIMIT ?3) RETURNING seq";
static const char sql_log_id[] = "SELECT value FROM meta WHERE key = 'log_id'";
static const char sql_set_log_id[] = "INSERT INTO meta(key, value) VALUES ('log_id', ?1) "
				     "ON CONFLICT (key) DO UPDATE SET value = excluded.value";

static const char *const changes_statements[] = { sql_last, sql_first, sql_append, sql_tx_at, sql_tx_at_kind,
	sql_tx_next, sql_read, sql_read_kind, sql_oldest, sql_prune, sql_newest, sql_blank_subject, sql_blank_tenant,
	sql_log_id, sql_set_log_id };
const struct sql_table changes_sql = { "changes", changes_statements, ARRAY_LEN(changes_statements) };

static int query_one_int(struct db *db, const char *sql, int64_t *out, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql, e) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1)
		*out = query_int(q, 0);
	query_end(q);
	return rc == 1 ? 0 : -1;
}

/* ---- appending --------------------------------------------------------------------------------------------------- */

static const char *text_or_empty(const char *s)
{
	return s != NULL ? s : "";
}

/* An object that is too long is left out and says so among the fields: the reader fetches it by its id. */
static const char *change_object(const struct change *c, char fields[CHANGES_FIELDS_MAX])
{
	bool cut = c->object != NULL && strlen(c->object) > CHANGES_OBJECT_MAX;
	const char *names = text_or_empty(c->fields);

	(void)str_fmt(fields, CHANGES_FIELDS_MAX, "%s%s%s", names, cut && *names ? "," : "", cut ? "cut" : "");
	return cut ? "{}" : c->object;
}

/* Nobody else appends while this transaction runs, so its first one alone has to look. */
static int know_newest(struct db *tx, struct err *e)
{
	struct query *q;
	int rc;

	if (tx->last_seq != 0)
		return 0;
	tx->last_chain[0] = '\0';
	if (db_query(tx, &q, sql_newest, e) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1) {
		tx->last_seq = query_int(q, 0);
		(void)str_copy(tx->last_chain, sizeof tx->last_chain, query_text(q, 1));
	}
	query_end(q);
	return MIN(rc, 0);
}

/* The row as it is written; texts are borrowed. */
static struct change change_row(const struct change *c, int64_t seq, int64_t tx, const char *fields, const char *object)
{
	return (struct change){ .seq = seq,
		.tx = tx,
		.time_ms = c->time_ms ? c->time_ms : clock_wall_ms(),
		.tenant = text_or_empty(c->tenant),
		.actor = text_or_empty(c->actor),
		.request_id = text_or_empty(c->request_id),
		.kind = c->kind,
		.op = c->op,
		.subject = text_or_empty(c->subject),
		.fields = fields,
		.object = object };
}

int changes_append(struct db *tx, const struct change *c, int64_t *seq, struct err *e)
{
	char fields[CHANGES_FIELDS_MAX], digest[CHAIN_SIZE], chain[CHAIN_SIZE];
	const char *object = change_object(c, fields);
	struct change row;

	if (!tx->logged)
		return err_set(
			e, ERR_INTERNAL, NULL, "change of %s %s: not in a logged transaction", c->kind, c->subject);
	if (know_newest(tx, e) != 0)
		return -1;
	row = change_row(c, tx->last_seq + 1, tx->tx_seq != 0 ? tx->tx_seq : tx->last_seq + 1, fields, object);
	chain_digest(digest, object);
	chain_next(chain, tx->last_chain, &row, digest);
	if (db_post(tx, sql_append, e, bind_i(row.seq), bind_i(row.tx), bind_i(row.time_ms), bind_s(row.tenant),
		    bind_s(row.actor), bind_s(row.request_id), bind_s(row.kind), bind_s(row.op), bind_s(row.subject),
		    bind_s(fields), bind_s(object), bind_s(digest), bind_s(chain)) != 0)
		return -1;
	tx->tx_seq = row.tx;
	tx->last_seq = row.seq;
	memcpy(tx->last_chain, chain, sizeof chain);
	db_note_kind(tx, c->kind);
	if (seq != NULL)
		*seq = row.seq;
	return 0;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* A number of the first row, or `none` when there is no row. */
static int read_number(struct query *q, int64_t none, int64_t *out, struct err *e)
{
	const int rc = query_next(q, e);

	*out = rc == 1 ? query_int(q, 0) : none;
	query_end(q);
	return rc < 0 ? -1 : 0;
}

/* The last sequence that a read of `limit` rows may hand out without splitting a transaction. */
static int read_bound(struct db *db, int64_t after, unsigned limit, const char *kind, int64_t *bound, struct err *e)
{
	struct query *q;
	int64_t tx, next;
	int rc;

	rc = kind ? db_query(db, &q, sql_tx_at_kind, e, bind_i(after), bind_i((int64_t)limit - 1), bind_s(kind))
	          : db_query(db, &q, sql_tx_at, e, bind_i(after), bind_i((int64_t)limit - 1));
	if (rc != 0 || read_number(q, 0, &tx, e) != 0)
		return -1;
	*bound = INT64_MAX;
	if (tx == 0) /* fewer are left */
		return 0;
	if (db_query(db, &q, sql_tx_next, e, bind_i(tx)) != 0 || read_number(q, INT64_MAX, &next, e) != 0)
		return -1;
	*bound = next == INT64_MAX ? next : next - 1;
	return 0;
}

int changes_read(
	struct db *db, int64_t after, unsigned limit, const char *kind, changes_fn fn, void *arg, struct err *e)
{
	struct query *q;
	int64_t bound;
	int rc;

	if (read_bound(db, after, limit > 0 ? limit : 1, kind, &bound, e) != 0)
		return -1;
	rc = kind ? db_query(db, &q, sql_read_kind, e, bind_i(after), bind_i(bound), bind_s(kind))
	          : db_query(db, &q, sql_read, e, bind_i(after), bind_i(bound));
	if (rc != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		const struct change c = changes_row(q);

		if (fn(&c, arg) != 0) {
			rc = 0;
			break;
		}
	}
	query_end(q);
	return rc;
}

/* ---- the log itself ---------------------------------------------------------------------------------------------- */

int changes_first(struct db *db, int64_t *seq, struct err *e)
{
	return query_one_int(db, sql_first, seq, e);
}

static int log_id_read(struct db *db, uint8_t log_id[CHANGES_LOG_ID_SIZE], struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql_log_id, e) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1 && str_unhex(log_id, CHANGES_LOG_ID_SIZE, query_text(q, 0)) == CHANGES_LOG_ID_SIZE)
		rc = 0;
	else if (rc >= 0)
		rc = err_set(e, ERR_STORAGE, NULL, "change log: the database has no log id");
	query_end(q);
	return rc;
}

int changes_last(struct db *db, int64_t *seq, uint8_t log_id[CHANGES_LOG_ID_SIZE], struct err *e)
{
	if (log_id_read(db, log_id, e) != 0)
		return -1;
	return query_one_int(db, sql_last, seq, e);
}

int changes_new_log(struct db *tx, struct err *e)
{
	uint8_t id[CHANGES_LOG_ID_SIZE];
	char hex[2 * CHANGES_LOG_ID_SIZE + 1];

	rand_bytes(id, sizeof id);
	str_hex(hex, id, sizeof id);
	return db_exec(tx, sql_set_log_id, e, bind_s(hex)) < 0 ? -1 : 0;
}

struct pruning {
	int64_t last; /* row that may go; 0: none may */
	int64_t n;
	char chain[CHAIN_SIZE];
};

/* The log is cut at its beginning: what must stay keeps what is behind it. Numbers have no gap, so how many rows there are
 * follows from the newest. */
static int find_old(struct db *tx, const struct changes_keep *k, unsigned limit, struct pruning *p, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(tx, &q, sql_oldest, e, bind_i(0), bind_i(limit)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		const int64_t seq = query_int(q, 0), time_ms = query_int(q, 1), newest = query_int(q, 3);

		if (seq >= newest || (time_ms >= k->before_ms && (time_ms >= k->rows_ms || seq > newest - k->rows_max)))
			break;
		p->last = seq;
		p->n++;
		(void)str_copy(p->chain, sizeof p->chain, query_text(q, 2));
	}
	query_end(q);
	return MIN(rc, 0);
}

int changes_prune(struct db *tx, const struct changes_keep *k, unsigned limit, int64_t *removed, struct err *e)
{
	struct pruning p = { .last = 0 };

	*removed = 0;
	if (find_old(tx, k, limit, &p, e) != 0)
		return -1;
	if (p.n == 0)
		return 0;
	if (db_exec(tx, sql_prune, e, bind_i(p.last)) < 0 || chain_anchor(tx, p.chain, e) != 0)
		return -1;
	*removed = p.n;
	return 0;
}

static int erase(
	struct db *tx, const struct erase_owner *o, unsigned limit, int64_t *position, unsigned *n, struct err *e)
{
	const char *sql = o->tenant ? sql_blank_tenant : sql_blank_subject;
	int64_t last = *position;
	struct query *q;
	int rc;

	*n = 0;
	if (db_query(tx, &q, sql, e, bind_s(o->id), bind_i(*position), bind_i(limit)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		last = MAX(last, query_int(q, 0));
		++*n;
	}
	query_end(q);
	*position = last;
	return rc;
}

const struct erasure changes_erasure = { "change", "changes", erase };
