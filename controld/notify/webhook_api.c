/* The routes of webhooks. */
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "controld/identity/identity.h"
#include "controld/notify/room.h"
#include "controld/notify/webhook_edit.h"

#include <inttypes.h>
#include <string.h>

#define JSON_TYPE "application/json; charset=utf-8"

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

static int api_create(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct webhook_edit x;

	webhook_edit_new(&x, rq, request_identity(rq)->tenant_id);
	if (webhook_edit_take(feature, &x, e) != 0 || webhook_edit_create(feature, &x, e) != 0)
		return -1;
	reply_webhook(rp, 201, &x.w, x.secret_made);
	return 0;
}

/* The row as it is, to be changed. */
static int begin(struct notify *n, struct webhook_edit *x, const struct request *rq, struct err *e)
{
	char etag[32];

	if (webhook_edit_read(n, x, rq, tenant_of(rq), request_param(rq, "id"), e) != 0)
		return -1;
	(void)str_fmt(etag, sizeof etag, "v%" PRId64, x->w.version);
	return request_if_match(rq, etag, e);
}

static int api_update(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct webhook_edit x;

	if (begin(feature, &x, rq, e) != 0 || webhook_edit_take(feature, &x, e) != 0 ||
		webhook_edit_update(feature, &x, e) != 0)
		return -1;
	reply_webhook(rp, 200, &x.w, false);
	return 0;
}

static int api_delete(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct webhook_edit x;

	if (begin(feature, &x, rq, e) != 0 || webhook_edit_delete(feature, &x, e) != 0)
		return -1;
	reply_empty(rp, 204);
	return 0;
}

/* ---- testing ----------------------------------------------------------------------------------------------------- */

static int api_test(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct webhook_test t;
	struct webhook w;
	struct buf *b;

	if (read_one(feature, rq, &w, e) != 0 || webhook_edit_test(feature, &w, &t, e) != 0)
		return -1;
	b = reply_open(rp, 200, JSON_TYPE);
	jsonw_object(b, NULL);
	jsonw_str(b, "id", t.id);
	jsonw_bool(b, "delivered", t.attempt.verdict == VERDICT_DELIVERED);
	jsonw_int(b, "status", t.attempt.status);
	jsonw_int(b, "latency_ms", t.attempt.latency_ms);
	jsonw_str_or_null(b, "error", t.attempt.error);
	jsonw_end_object(b);
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
		.help = "http or https; its query, of Discord its token, is shown as ***" },
	{ .name = "format",
		.type = SCHEMA_STRING,
		.choices = format_names,
		.help = "of bodies; default: discord for its URLs, else generic" },
	{ .name = "type", .type = SCHEMA_STRING, .choices = webhook_types, .help = "what people sort them by" },
	{ .name = "description", .type = SCHEMA_STRING, .max = WEBHOOK_DESCRIPTION_MAX },
	{ .name = "scope",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_READ_ONLY,
		.help = "TENANT, or ADMIN: the platform's (/api/admin/settings/webhooks)" },
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
	{ POST, "/api/webhooks/{id}/test", ADMIN, LANE_AWAY, NULL, NULL, NULL, 200, ROUTE_PER_MINUTE(30), api_test,
		"Send a test now and say what came of it", "Webhooks" },
	{ GET, "/api/webhooks/{id}/deliveries", ADMIN, LANE_DB, &page_query, NULL, NULL, 200, 0, api_deliveries,
		"List what was sent, the newest first", "Webhooks" },
};
const size_t webhook_rows_n = ARRAY_LEN(webhook_rows);
