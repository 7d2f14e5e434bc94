#include "controld/notify/webhook.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/notify/notify.h"
#include "controld/store/changes.h"
#include "controld/store/erasure.h"
#include "controld/store/reseal.h"
#include "controld/store/secrets.h"

#include <string.h>

#define ROWS                                                                                                          \
	"SELECT w.id, w.tenant_id, w.name, w.format, w.url_shown, w.events, w.enabled, w.paused, w.from_seq, "        \
	"w.version, w.created_ms, w.updated_ms, q.waiting, q.dropped, q.failures, q.last_status, q.last_ok_ms, "      \
	"q.last_error, w.type, w.description, w.url, w.secret FROM webhooks w JOIN webhook_queues q ON q.webhook_id " \
	"= w.id "
#define COL_URL    20
#define COL_SECRET 21

enum {
	SQL_INSERT,
	SQL_INSERT_QUEUE,
	SQL_UPDATE,
	SQL_START,
	SQL_DELETE,
	SQL_DELETE_QUEUE,
	SQL_DELETE_DELIVERIES,
	SQL_GET,
	SQL_LIST,
	SQL_COUNT,
	SQL_PAUSE,
	SQL_WAITING,
	SQL_PAUSED,
	SQL_ERASE_DELIVERIES,
	SQL_ERASE_QUEUES,
	SQL_ERASE,
	SQL_STALE_URL,
	SQL_RESEAL_URL,
	SQL_STALE_SECRET,
	SQL_RESEAL_SECRET,
};
static const char stale_url[] = "SELECT id, url FROM webhooks WHERE substr(url, 1, 5) <> ?1 ORDER BY id LIMIT ?2";
static const char reseal_url[] = "UPDATE webhooks SET url = ?2 WHERE id = ?1 AND url = ?3";
static const char stale_secret[] =
	"SELECT id, secret FROM webhooks WHERE substr(secret, 1, 5) <> ?1 ORDER BY id LIMIT ?2";
static const char reseal_secret[] = "UPDATE webhooks SET secret = ?2 WHERE id = ?1 AND secret = ?3";
static const char *const sql[] = {
	[SQL_INSERT] =
		"INSERT INTO webhooks (id, tenant_id, name, format, url, url_shown, secret, events, enabled, paused, "
		"from_seq, version, created_ms, updated_ms, type, description) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, "
		"?9, "
		"'', ?10, 1, ?11, ?11, ?12, ?13)",
	[SQL_INSERT_QUEUE] =
		"INSERT INTO webhook_queues (webhook_id, waiting, dropped, failures, due_ms, take, held_until_ms, "
		"last_status, last_error, last_ok_ms) VALUES (?1, 0, 0, 0, 0, 0, 0, 0, '', 0)",
	[SQL_UPDATE] = "UPDATE webhooks SET name = ?3, format = ?4, url = ?5, url_shown = ?6, secret = ?7, events = "
		       "?8, enabled "
		       "= ?9, paused = ?10, from_seq = ?11, updated_ms = ?12, type = ?13, description = ?14, "
		       "version = version + 1 WHERE id = ?1 AND version = ?2",
	[SQL_START] = "UPDATE webhook_queues SET failures = 0, due_ms = 0 WHERE webhook_id = ?1",
	[SQL_DELETE] = "DELETE FROM webhooks WHERE id = ?1",
	[SQL_DELETE_QUEUE] = "DELETE FROM webhook_queues WHERE webhook_id = ?1",
	[SQL_DELETE_DELIVERIES] = "DELETE FROM webhook_deliveries WHERE webhook_id = ?1",
	[SQL_GET] = ROWS "WHERE (?1 = '' OR w.tenant_id = ?1) AND w.id = ?2",
	[SQL_LIST] = ROWS "WHERE (?1 = '' OR w.tenant_id = ?1) AND w.id > ?2 ORDER BY w.id LIMIT ?3",
	[SQL_COUNT] = "SELECT count(*) FROM webhooks WHERE tenant_id = ?1",
	[SQL_PAUSE] =
		"UPDATE webhooks SET paused = ?2, updated_ms = ?3, version = version + 1 WHERE id = ?1 AND paused = ''",
	[SQL_WAITING] = "SELECT CAST(coalesce(sum(waiting), 0) AS BIGINT) FROM webhook_queues WHERE waiting > 0",
	[SQL_PAUSED] = "SELECT count(*) FROM webhooks WHERE paused <> ''",
	/* what waits for one of the platform's is in its count: it is blanked (delivery.c) */
	[SQL_ERASE_DELIVERIES] =
		"DELETE FROM webhook_deliveries WHERE id IN (SELECT id FROM webhook_deliveries WHERE "
		"tenant_id = ?1 AND (state <> 'pending' OR webhook_id IN (SELECT id FROM webhooks WHERE "
		"tenant_id = ?1)) LIMIT ?2)",
	[SQL_ERASE_QUEUES] =
		"DELETE FROM webhook_queues WHERE webhook_id IN (SELECT id FROM webhooks WHERE tenant_id = ?1)",
	[SQL_ERASE] = "DELETE FROM webhooks WHERE tenant_id = ?1",
	[SQL_STALE_URL] = stale_url,
	[SQL_RESEAL_URL] = reseal_url,
	[SQL_STALE_SECRET] = stale_secret,
	[SQL_RESEAL_SECRET] = reseal_secret,
};
const struct sql_table webhook_sql = { "webhook", sql, ARRAY_LEN(sql) };
const struct sealed_column webhook_sealed[] = {
	{ "webhooks.url", "webhook-url:", false, stale_url, reseal_url },
	{ "webhooks.secret", "webhook-secret:", false, stale_secret, reseal_secret },
};
const size_t webhook_sealed_n = ARRAY_LEN(webhook_sealed);

/* ---- what is sealed ---------------------------------------------------------------------------------------------- */

struct sealed {
	struct buf url, secret;
};

static void sealed_fini(struct sealed *s)
{
	buf_free(&s->url);
	buf_free(&s->secret);
}

/* Sealed for this row, so that it opens in no other. */
static void context_of(char context[64], const char *what, const char *id)
{
	(void)str_fmt(context, 64, "webhook-%s:%s", what, id);
}

static int seal(struct db *tx, const struct webhook *w, struct sealed *out, struct err *e)
{
	char context[64];

	buf_init(&out->url, GUARD_URL_MAX + SECRETS_OVERHEAD);
	buf_init(&out->secret, WEBHOOK_SECRET_MAX + SECRETS_OVERHEAD);
	context_of(context, "url", w->id);
	if (secrets_seal(tx, context, w->url, strlen(w->url), &out->url, e) != 0)
		return -1;
	context_of(context, "secret", w->id);
	return secrets_seal(tx, context, w->secret, strlen(w->secret), &out->secret, e);
}

static int unseal_one(struct db *db, struct query *q, int col, const char *context, struct buf *plain, struct err *e)
{
	size_t n;
	const void *p = query_blob(q, col, &n);

	buf_reset(plain);
	return secrets_unseal(db, context, p, n, plain, e);
}

static int unseal(struct db *db, struct query *q, struct webhook *w, struct err *e)
{
	char context[64];
	struct buf plain;
	int rc;

	buf_init(&plain, GUARD_URL_MAX + SEAL_OVERHEAD);
	context_of(context, "url", w->id);
	if ((rc = unseal_one(db, q, COL_URL, context, &plain, e)) == 0) {
		(void)str_copy(w->url, sizeof w->url, buf_cstr(&plain));
		context_of(context, "secret", w->id);
		rc = unseal_one(db, q, COL_SECRET, context, &plain, e);
	}
	if (rc == 0) {
		(void)str_copy(w->secret, sizeof w->secret, buf_cstr(&plain));
		seal_wipe(plain.data, plain.len);
	}
	buf_free(&plain);
	return rc;
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

int webhook_insert(struct db *tx, const struct webhook *w, struct err *e)
{
	struct sealed s;
	int rc = seal(tx, w, &s, e);

	if (rc == 0)
		rc = db_exec(tx, sql[SQL_INSERT], e, bind_s(w->id), bind_s(w->tenant_id), bind_s(w->name),
			bind_s(w->format), bind_b(s.url.data, s.url.len), bind_s(w->url_shown),
			bind_b(s.secret.data, s.secret.len), bind_s(w->events), bind_i(w->enabled), bind_i(w->from_seq),
			bind_i(w->created_ms), bind_s(w->type), bind_s(w->description));
	if (rc >= 0)
		rc = db_exec(tx, sql[SQL_INSERT_QUEUE], e, bind_s(w->id));
	sealed_fini(&s);
	return MIN(rc, 0);
}

int webhook_update(struct db *tx, const struct webhook *w, struct err *e)
{
	struct sealed s;
	int rc = seal(tx, w, &s, e);

	if (rc == 0)
		rc = db_exec(tx, sql[SQL_UPDATE], e, bind_s(w->id), bind_i(w->version), bind_s(w->name),
			bind_s(w->format), bind_b(s.url.data, s.url.len), bind_s(w->url_shown),
			bind_b(s.secret.data, s.secret.len), bind_s(w->events), bind_i(w->enabled), bind_s(w->paused),
			bind_i(w->from_seq), bind_i(w->updated_ms), bind_s(w->type), bind_s(w->description));
	sealed_fini(&s);
	if (rc == 0)
		return err_set(e, ERR_CONFLICT, NULL, "webhook %s was changed at the same time", w->id);
	return rc < 0 ? -1 : MIN(db_exec(tx, sql[SQL_START], e, bind_s(w->id)), 0);
}

int webhook_delete(struct db *tx, const char *id, struct err *e)
{
	if (db_exec(tx, sql[SQL_DELETE_DELIVERIES], e, bind_s(id)) < 0 ||
		db_exec(tx, sql[SQL_DELETE_QUEUE], e, bind_s(id)) < 0)
		return -1;
	return MIN(db_exec(tx, sql[SQL_DELETE], e, bind_s(id)), 0);
}

static void load(struct webhook *w, struct query *q)
{
	int c = 0;

	memset(w, 0, sizeof *w);
	(void)str_copy(w->id, sizeof w->id, query_text(q, c++));
	(void)str_copy(w->tenant_id, sizeof w->tenant_id, query_text(q, c++));
	(void)str_copy(w->name, sizeof w->name, query_text(q, c++));
	(void)str_copy(w->format, sizeof w->format, query_text(q, c++));
	(void)str_copy(w->url_shown, sizeof w->url_shown, query_text(q, c++));
	(void)str_copy(w->events, sizeof w->events, query_text(q, c++));
	w->enabled = query_int(q, c++) != 0;
	(void)str_copy(w->paused, sizeof w->paused, query_text(q, c++));
	w->from_seq = query_int(q, c++);
	w->version = query_int(q, c++);
	w->created_ms = query_int(q, c++);
	w->updated_ms = query_int(q, c++);
	w->waiting = query_int(q, c++);
	w->dropped = query_int(q, c++);
	w->failures = query_int(q, c++);
	w->last_status = query_int(q, c++);
	w->last_ok_ms = query_int(q, c++);
	(void)str_copy(w->last_error, sizeof w->last_error, query_text(q, c++));
	(void)str_copy(w->type, sizeof w->type, query_text(q, c++));
	(void)str_copy(w->description, sizeof w->description, query_text(q, c));
}

int webhook_get(struct db *db, const char *tenant_id, const char *id, struct webhook *out, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_GET], e, bind_s(tenant_id), bind_s(id)) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1) {
		load(out, q);
		rc = unseal(db, q, out, e);
	} else if (rc == 0) {
		rc = err_set(e, ERR_NOT_FOUND, NULL, "there is no webhook '%.40s'", id);
	}
	query_end(q);
	return rc;
}

int webhook_list(struct db *db, const char *tenant_id, const char *after, unsigned limit, webhook_fn fn, void *arg,
	struct err *e)
{
	struct webhook w;
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_LIST], e, bind_s(tenant_id), bind_s(after), bind_i(limit)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		load(&w, q);
		if (fn(&w, arg) != 0)
			break;
	}
	query_end(q);
	return MIN(rc, 0);
}

static int number(struct db *db, int statement, const char *key, int64_t *n, struct err *e)
{
	struct query *q;
	int rc = key != NULL ? db_query(db, &q, sql[statement], e, bind_s(key)) : db_query(db, &q, sql[statement], e);

	if (rc != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1)
		*n = query_int(q, 0);
	query_end(q);
	return rc == 1 ? 0 : -1;
}

int webhook_count(struct db *db, const char *tenant_id, int64_t *n, struct err *e)
{
	return number(db, SQL_COUNT, tenant_id, n, e);
}

int webhook_totals(struct db *db, int64_t *waiting, int64_t *paused, struct err *e)
{
	return number(db, SQL_WAITING, NULL, waiting, e) != 0 ? -1 : number(db, SQL_PAUSED, NULL, paused, e);
}

int webhook_pause(struct db *tx, const char *id, const char *why, int64_t now_ms, struct err *e)
{
	return db_exec(tx, sql[SQL_PAUSE], e, bind_s(id), bind_s(why), bind_i(now_ms));
}

/* Those of the tenant, whoever made them. */
static int erase_tenant(struct db *tx, const struct erase_owner *o, unsigned limit, unsigned *n, struct err *e)
{
	const int rc = db_exec(tx, sql[SQL_ERASE_DELIVERIES], e, bind_s(o->id), bind_i(limit));

	if (rc < 0)
		return -1;
	*n = (unsigned)rc;
	if (*n >= limit)
		return 0;
	if (db_exec(tx, sql[SQL_ERASE_QUEUES], e, bind_s(o->id)) < 0)
		return -1;
	return MIN(db_exec(tx, sql[SQL_ERASE], e, bind_s(o->id)), 0);
}

static int erase(
	struct db *tx, const struct erase_owner *o, unsigned limit, int64_t *position, unsigned *n, struct err *e)
{
	(void)position;
	*n = 0;
	return o->tenant ? erase_tenant(tx, o, limit, n, e) : 0;
}

const struct erasure webhook_erasure = { "webhook", "webhooks,webhook_queues", erase };

/* ---- printing ---------------------------------------------------------------------------------------------------- */

void webhook_print_events(struct buf *b, const char *events)
{
	jsonw_array(b, "events");
	while (*events != '\0') {
		char one[WEBHOOK_EVENTS_MAX + 1];
		const size_t n = strcspn(events, ",");

		(void)str_fmt(one, sizeof one, "%.*s", (int)n, events);
		jsonw_str(b, NULL, one);
		events += n + (events[n] == ',');
	}
	jsonw_end_array(b);
}

const char *webhook_scope(const struct webhook *w)
{
	return w->tenant_id[0] == '\0' ? WEBHOOK_PLATFORM : WEBHOOK_TENANT;
}

const char *webhook_status(const struct webhook *w)
{
	if (!w->enabled)
		return "disabled";
	return w->paused[0] != '\0' ? "paused" : "active";
}

static void print_own(struct buf *b, const struct webhook *w)
{
	jsonw_str(b, "id", w->id);
	jsonw_str(b, "tenant_id", w->tenant_id);
	jsonw_str(b, "name", w->name);
	jsonw_str(b, "url", w->url_shown);
	jsonw_str(b, "format", w->format);
	jsonw_str(b, "type", w->type);
	jsonw_str(b, "scope", webhook_scope(w));
	jsonw_str(b, "description", w->description);
	webhook_print_events(b, w->events);
	jsonw_bool(b, "enabled", w->enabled);
	jsonw_str(b, "status", webhook_status(w));
	jsonw_str_or_null(b, "paused_reason", w->paused);
	jsonw_time(b, "created_at", w->created_ms);
	jsonw_time(b, "updated_at", w->updated_ms);
	jsonw_int(b, "version", w->version);
}

void webhook_print(struct buf *b, const struct webhook *w, bool secret)
{
	jsonw_object(b, NULL);
	print_own(b, w);
	if (secret)
		jsonw_str(b, "secret", w->secret);
	jsonw_int(b, "waiting", w->waiting);
	jsonw_int(b, "dropped", w->dropped);
	jsonw_int(b, "failures", w->failures);
	jsonw_int(b, "last_status", w->last_status);
	jsonw_str_or_null(b, "last_error", w->last_error);
	jsonw_time(b, "last_delivered_at", w->last_ok_ms);
	jsonw_end_object(b);
}

int webhook_log(struct db *tx, const struct webhook *w, struct change *c, int64_t *seq, struct err *e)
{
	struct buf b;
	int rc;

	buf_init(&b, CHANGES_OBJECT_MAX * 2);
	jsonw_object(&b, NULL);
	print_own(&b, w);
	jsonw_end_object(&b);
	c->tenant = w->tenant_id;
	c->kind = "webhook";
	c->subject = w->id;
	c->object = b.failed ? NULL : buf_cstr(&b);
	rc = changes_append(tx, c, seq, e);
	buf_free(&b);
	return rc;
}
