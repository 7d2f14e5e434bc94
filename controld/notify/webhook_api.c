/* The routes of webhooks. */
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "controld/identity/identity.h"
#include "controld/notify/room.h"
#include "controld/out/outbound.h"
#include "controld/store/changes.h"

#include <inttypes.h>
#include <string.h>

#define JSON_TYPE    "application/json; charset=utf-8"
#define SECRET_BYTES 24
#define TEST_TOPIC   "webhook.test"

static void reply_webhook(struct reply *rp, int status, const struct webhook *w, bool secret)
{
	reply_etag(rp, w->version);
	webhook_print(reply_open(rp, status, JSON_TYPE), w, secret);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* The tenant whose webhooks the caller may see: "" for all. */
static const char *tenant_of(const struct request *rq)
{
	const struct identity *who = request_identity(rq);

	return who->system_admin ? "" : who->tenant_id;
}

struct listing {
	struct buf *out;
	unsigned limit, n;
	char last[RAND_ID_SIZE];
	bool more;
};

static int on_listed(const struct webhook *w, void *arg)
{
	struct listing *l = arg;

	if (l->n == l->limit) {
		l->more = true;
		return 1;
	}
	l->n++;
	(void)str_copy(l->last, sizeof l->last, w->id);
	webhook_print(l->out, w, false);
	return 0;
}

static void list_begin(struct listing *l, struct reply *rp, const struct page *page)
{
	l->limit = page->limit;
	l->out = reply_open(rp, 200, JSON_TYPE);
	jsonw_object(l->out, NULL);
	jsonw_array(l->out, "items");
}

static void list_end(struct listing *l)
{
	jsonw_end_array(l->out);
	jsonw_str(l->out, "next_cursor", l->more ? l->last : NULL);
	jsonw_end_object(l->out);
}

static int api_list(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct notify *n = feature;
	struct listing l = { 0 };
	struct page page;
	struct db *db;
	int rc;

	if (request_page(rq, &page, e) != 0 || store_read_begin(n->conf.store, &db, e) != 0)
		return -1;
	list_begin(&l, rp, &page);
	rc = webhook_list(db, tenant_of(rq), page.after, page.limit + 1, on_listed, &l, e);
	store_read_end(db);
	list_end(&l);
	return rc;
}

static int read_one(struct notify *n, const struct request *rq, struct webhook *out, struct err *e)
{
	struct db *db;
	int rc;

	if (store_read_begin(n->conf.store, &db, e) != 0)
		return -1;
	rc = webhook_get(db, tenant_of(rq), request_param(rq, "id"), out, e);
	store_read_end(db);
	return rc;
}

static int api_get(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct webhook w;

	if (read_one(feature, rq, &w, e) != 0)
		return -1;
	reply_webhook(rp, 200, &w, false);
	return 0;
}

static int api_deliveries(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct notify *n = feature;
	struct listing l = { 0 };
	struct webhook w;
	struct page page;
	struct db *db;
	int rc;

	if (request_page(rq, &page, e) != 0 || read_one(n, rq, &w, e) != 0 ||
		store_read_begin(n->conf.store, &db, e) != 0)
		return -1;
	list_begin(&l, rp, &page);
	rc = delivery_print_list(db, w.id, page.after, page.limit, l.out, l.last, &l.more, e);
	store_read_end(db);
	list_end(&l);
	return rc;
}

/* ---- changing ---------------------------------------------------------------------------------------------------- */

struct changing {
	const struct request *rq;
	struct webhook w;
	const char *op;
	bool restart; /* it was off: what happened meanwhile is not for it */
};

static int log_change(struct db *tx, struct changing *c, int64_t *seq, struct err *e)
{
	struct change change = { .time_ms = c->w.updated_ms,
		.actor = request_identity(c->rq)->actor,
		.request_id = request_id(c->rq),
		.op = c->op,
		.fields = "" };

	return webhook_log(tx, &c->w, &change, seq, e);
}

static void take_text(const json_t *body, const char *name, char *dst, size_t size)
{
	const char *s = json_string_value(json_object_get(body, name));

	if (s != NULL)
		(void)str_copy(dst, size, s);
}

/* Who knows what stands behind the ? can often post there. */
static void show_url(struct webhook *w)
{
	const size_t n = strcspn(w->url, "?");

	(void)str_fmt(w->url_shown, sizeof w->url_shown, "%.*s%s", (int)MIN(n, sizeof w->url_shown - 5), w->url,
		w->url[n] == '?' ? "?***" : "");
}

/* What was sent, checked. */
static int take(const struct notify *n, struct webhook *w, const json_t *body, struct err *e)
{
	const json_t *events = json_object_get(body, "events"), *enabled = json_object_get(body, "enabled");

	take_text(body, "name", w->name, sizeof w->name);
	take_text(body, "format", w->format, sizeof w->format);
	take_text(body, "secret", w->secret, sizeof w->secret);
	if (enabled != NULL) {
		w->enabled = json_is_true(enabled);
		w->paused[0] = '\0';
		w->failures = 0;
	}
	if (events != NULL && topic_list_take(events, w->events, sizeof w->events, e) != 0)
		return -1;
	/* printed clients send back what they were shown */
	if (json_object_get(body, "url") != NULL &&
		!str_eq(json_string_value(json_object_get(body, "url")), w->url_shown)) {
		take_text(body, "url", w->url, sizeof w->url);
		if (guard_check_url(outbound_guard(n->conf.outbound), "url", w->url, e) != 0)
			return -1;
		show_url(w);
	}
	return 0;
}

static int work_create(struct db *tx, void *arg, struct err *e)
{
	struct changing *c = arg;
	int64_t n;

	if (webhook_count(tx, c->w.tenant_id, &n, e) != 0)
		return -1;
	if (n >= WEBHOOKS_MAX)
		return err_set(e, ERR_CONFLICT, NULL, "the tenant has %d webhooks, which is the most", WEBHOOKS_MAX);
	return log_change(tx, c, &c->w.from_seq, e) != 0 ? -1 : webhook_insert(tx, &c->w, e);
}

static void make_secret(struct webhook *w)
{
	uint8_t bytes[SECRET_BYTES];
	char text[2 * SECRET_BYTES + 1];

	rand_bytes(bytes, sizeof bytes);
	str_hex(text, bytes, sizeof bytes);
	(void)str_fmt(w->secret, sizeof w->secret, "whs_%s", text);
}

static int api_create(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct notify *n = feature;
	struct changing c = { .rq = rq, .op = "create" };
	bool made;

	rand_id(c.w.id, "whk");
	(void)str_copy(c.w.tenant_id, sizeof c.w.tenant_id, request_identity(rq)->tenant_id);
	(void)str_copy(c.w.format, sizeof c.w.format, "generic");
	c.w.enabled = true;
	c.w.version = 1;
	c.w.created_ms = c.w.updated_ms = clock_wall_ms();
	if (take(n, &c.w, request_body(rq), e) != 0)
		return -1;
	if ((made = c.w.secret[0] == '\0'))
		make_secret(&c.w);
	if (store_write(n->conf.store, STORE_LOGGED, work_create, &c, e) != 0)
		return -1;
	reply_webhook(rp, 201, &c.w, made);
	return 0;
}

/* The row as it is, to be changed. */
static int begin(struct notify *n, struct changing *c, struct err *e)
{
	char etag[32];

	if (read_one(n, c->rq, &c->w, e) != 0)
		return -1;
	(void)str_fmt(etag, sizeof etag, "v%" PRId64, c->w.version);
	c->w.updated_ms = clock_wall_ms();
	return request_if_match(c->rq, etag, e);
}

static int work_update(struct db *tx, void *arg, struct err *e)
{
	struct changing *c = arg;
	int64_t seq;

	if (log_change(tx, c, &seq, e) != 0)
		return -1;
	if (c->restart)
		c->w.from_seq = seq;
	return webhook_update(tx, &c->w, e);
}

static int api_update(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct notify *n = feature;
	struct changing c = { .rq = rq, .op = "update" };
	bool was;

	if (begin(n, &c, e) != 0)
		return -1;
	was = c.w.enabled;
	if (take(n, &c.w, request_body(rq), e) != 0)
		return -1;
	c.restart = c.w.enabled && !was;
	if (store_write(n->conf.store, STORE_LOGGED, work_update, &c, e) != 0)
		return -1;
	c.w.version++;
	reply_webhook(rp, 200, &c.w, false);
	return 0;
}

static int work_delete(struct db *tx, void *arg, struct err *e)
{
	struct changing *c = arg;

	return webhook_delete(tx, c->w.id, e) != 0 ? -1 : log_change(tx, c, NULL, e);
}

static int api_delete(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct notify *n = feature;
	struct changing c = { .rq = rq, .op = "delete" };

	if (begin(n, &c, e) != 0 || store_write(n->conf.store, STORE_LOGGED, work_delete, &c, e) != 0)
		return -1;
	reply_empty(rp, 204);
	return 0;
}

/* ---- testing ----------------------------------------------------------------------------------------------------- */

struct testing {
	struct webhook w;
	struct delivery d;
	struct attempt attempt;
	struct delivery_result result;
};

static int work_note_test(struct db *tx, void *arg, struct err *e)
{
	struct testing *t = arg;

	return delivery_note_test(tx, &t->w, &t->d, &t->result, e);
}

static void test_body(struct testing *t)
{
	static const uint8_t log_id[CHANGES_LOG_ID_SIZE];
	struct buf shown;

	buf_init(&shown, CHANGES_OBJECT_MAX);
	webhook_print(&shown, &t->w, false);
	topic_body(&t->d.body,
		&(struct change){ .time_ms = clock_wall_ms(),
			.tenant = t->w.tenant_id,
			.actor = "system",
			.kind = "webhook",
			.subject = t->w.id,
			.fields = "",
			.object = buf_cstr(&shown) },
		TEST_TOPIC, log_id);
	buf_free(&shown);
}

static void reply_test(struct reply *rp, const struct testing *t)
{
	struct buf *b = reply_open(rp, 200, JSON_TYPE);

	jsonw_object(b, NULL);
	jsonw_str(b, "id", t->d.id);
	jsonw_bool(b, "delivered", t->attempt.verdict == VERDICT_DELIVERED);
	jsonw_int(b, "status", t->attempt.status);
	jsonw_int(b, "latency_ms", t->attempt.latency_ms);
	jsonw_str_or_null(b, "error", t->attempt.error);
	jsonw_end_object(b);
}

static int api_test(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct notify *n = feature;
	const struct attempt_conf conf = { n->conf.outbound, n->conf.timeout_ms, notify_is_stopping, n };
	struct testing t = { 0 };
	int rc;

	if (read_one(n, rq, &t.w, e) != 0)
		return -1;
	rand_id(t.d.id, "dlv");
	(void)str_copy(t.d.topic, sizeof t.d.topic, TEST_TOPIC);
	buf_init(&t.d.body, TOPIC_BODY_MAX);
	test_body(&t);
	attempt_make(&t.attempt, &conf, &t.w, &t.d);
	t.result = (struct delivery_result){ .state = t.attempt.verdict == VERDICT_DELIVERED ? "delivered" : "failed",
		.status = t.attempt.status,
		.latency_ms = t.attempt.latency_ms,
		.now_ms = clock_wall_ms(),
		.error = t.attempt.error };
	rc = store_write(n->conf.store, STORE_OPERATIONAL, work_note_test, &t, e);
	buf_free(&t.d.body);
	if (rc != 0)
		return -1;
	reply_test(rp, &t);
	return 0;
}

/* ---- schema and routes ------------------------------------------------------------------------------------------- */

static const struct schema_field fields[] = {
	{ .name = "id", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY },
	{ .name = "tenant_id", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY },
	{ .name = "name", .type = SCHEMA_STRING, .max = WEBHOOK_NAME_MAX },
	{ .name = "url",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_REQUIRED,
		.min = 1,
		.max = GUARD_URL_MAX,
		.help = "http or https; its query is shown as ***" },
	{ .name = "format", .type = SCHEMA_STRING, .choices = format_names, .help = "of bodies; default generic" },
	{ .name = "events",
		.type = SCHEMA_ARRAY,
		.flags = SCHEMA_REQUIRED,
		.min = 1,
		.max = 50,
		.item_type = SCHEMA_STRING,
		.help = "*, kind.* or kind.verb, such as mapping.created" },
	{ .name = "secret",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_SECRET,
		.min = WEBHOOK_SECRET_MIN,
		.max = WEBHOOK_SECRET_MAX,
		.help = "what bodies are signed with; without it one is made and shown this once" },
	{ .name = "enabled",
		.type = SCHEMA_BOOL,
		.help = "default true; setting it ends a pause; while false, nothing is kept for it" },
	{ .name = "status", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY, .help = "active, paused, disabled" },
	{ .name = "paused_reason", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY | SCHEMA_NULLABLE },
	{ .name = "waiting", .type = SCHEMA_INT, .flags = SCHEMA_READ_ONLY, .help = "deliveries" },
	{ .name = "dropped", .type = SCHEMA_INT, .flags = SCHEMA_READ_ONLY, .help = "because too many waited" },
	{ .name = "failures", .type = SCHEMA_INT, .flags = SCHEMA_READ_ONLY, .help = "in a row" },
	{ .name = "last_status", .type = SCHEMA_INT, .flags = SCHEMA_READ_ONLY },
	{ .name = "last_error", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY | SCHEMA_NULLABLE },
	{ .name = "last_delivered_at", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY | SCHEMA_NULLABLE },
	{ .name = "created_at", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY },
	{ .name = "updated_at", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY },
	{ .name = "version", .type = SCHEMA_INT, .flags = SCHEMA_READ_ONLY },
};
static const struct schema schema = { "Webhook", fields, ARRAY_LEN(fields), false };

static const struct schema_field page_fields[] = {
	{ .name = "limit", .type = SCHEMA_INT, .min = 1, .max = 200 },
	{ .name = "cursor", .type = SCHEMA_STRING },
};
static const struct schema page_query = { NULL, page_fields, ARRAY_LEN(page_fields), false };

#define GET    "GET"
#define POST   "POST"
#define PUT    "PUT"
#define DELETE "DELETE"
#define ADMIN  PERM_TENANT_ADMIN /* whoever is told sees what administrators see */

const struct route webhook_rows[] = {
	{ GET, "/api/webhooks", ADMIN, LANE_DB, &page_query, NULL, NULL, 200, 0, api_list, "List webhooks",
		"Webhooks" },
	{ POST, "/api/webhooks", ADMIN, LANE_DB, NULL, &schema, &schema, 201, 0, api_create,
		"Have changes posted to a URL", "Webhooks" },
	{ GET, "/api/webhooks/{id}", ADMIN, LANE_DB, NULL, NULL, &schema, 200, 0, api_get,
		"Show one webhook and how it stands", "Webhooks" },
	{ PUT, "/api/webhooks/{id}", ADMIN, LANE_DB, NULL, &schema, &schema, 200, ROUTE_PARTIAL, api_update,
		"Change the members that are sent", "Webhooks" },
	{ DELETE, "/api/webhooks/{id}", ADMIN, LANE_DB, NULL, NULL, NULL, 204, 0, api_delete,
		"Delete a webhook, with what waits for it", "Webhooks" },
	{ POST, "/api/webhooks/{id}/test", ADMIN, LANE_SLOW, NULL, NULL, NULL, 200, 0, api_test,
		"Send a test now and say what came of it", "Webhooks" },
	{ GET, "/api/webhooks/{id}/deliveries", ADMIN, LANE_DB, &page_query, NULL, NULL, 200, 0, api_deliveries,
		"List what was sent, the newest first", "Webhooks" },
};
const size_t webhook_rows_n = ARRAY_LEN(webhook_rows);
