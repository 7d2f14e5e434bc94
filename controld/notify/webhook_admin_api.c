/* The platform's view of webhooks: all there are, and those that hear of every tenant. Ids come in the body. */
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "controld/identity/identity.h"
#include "controld/notify/room.h"
#include "controld/notify/webhook_edit.h"

#include <string.h>

#define JSON_TYPE "application/json; charset=utf-8"
#define LIST_MAX  500

/* ---- printing ---------------------------------------------------------------------------------------------------- */

static void print(struct buf *b, const char *key, const struct webhook *w, bool secret)
{
	jsonw_object(b, key);
	jsonw_str(b, "id", w->id);
	jsonw_str(b, "name", w->name);
	jsonw_str(b, "webhookUrl", w->url_shown);
	jsonw_str(b, "type", w->type);
	jsonw_str(b, "scope", webhook_scope(w));
	jsonw_str_or_null(b, "tenantId", w->tenant_id);
	jsonw_str(b, "description", w->description);
	jsonw_str(b, "format", w->format);
	webhook_print_events(b, w->events);
	if (secret)
		jsonw_str(b, "secret", w->secret);
	jsonw_bool(b, "enabled", w->enabled);
	jsonw_str(b, "status", webhook_status(w));
	jsonw_str_or_null(b, "pausedReason", w->paused);
	jsonw_int(b, "waiting", w->waiting);
	jsonw_int(b, "dropped", w->dropped);
	jsonw_int(b, "failures", w->failures);
	jsonw_int(b, "lastStatus", w->last_status);
	jsonw_str_or_null(b, "lastError", w->last_error);
	jsonw_time(b, "lastDeliveredAt", w->last_ok_ms);
	jsonw_time(b, "createdAt", w->created_ms);
	jsonw_time(b, "updatedAt", w->updated_ms);
	jsonw_end_object(b);
}

static void reply_one(struct reply *rp, int status, const struct webhook_edit *x, const char *message)
{
	struct buf *b = reply_open(rp, status, JSON_TYPE);

	jsonw_object(b, NULL);
	jsonw_bool(b, "success", true);
	print(b, "data", &x->w, x->secret_made);
	jsonw_str(b, "message", message);
	jsonw_end_object(b);
}

/* ---- the routes -------------------------------------------------------------------------------------------------- */

struct listing {
	struct buf *out;
	int64_t n;
};

static int on_listed(const struct webhook *w, void *arg)
{
	struct listing *l = arg;

	l->n++;
	print(l->out, NULL, w, false);
	return 0;
}

static int api_list(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct notify *n = feature;
	struct listing l = { .n = 0 };
	struct db *db;
	int rc;

	(void)rq;
	if (store_read_begin(n->conf.store, &db, e) != 0)
		return -1;
	l.out = reply_open(rp, 200, JSON_TYPE);
	jsonw_object(l.out, NULL);
	jsonw_bool(l.out, "success", true);
	jsonw_array(l.out, "data");
	rc = webhook_list(db, "", "", LIST_MAX, on_listed, &l, e);
	store_read_end(db);
	jsonw_end_array(l.out);
	jsonw_int(l.out, "total", l.n);
	jsonw_end_object(l.out);
	return rc;
}

static int api_create(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	const char *scope = json_string_value(json_object_get(request_body(rq), "scope"));
	struct webhook_edit x;

	webhook_edit_new(&x, rq, str_eq(scope, WEBHOOK_TENANT) ? request_identity(rq)->tenant_id : "");
	(void)str_copy(x.w.type, sizeof x.w.type, "SYSTEM");
	if (webhook_edit_take(feature, &x, e) != 0 || webhook_edit_create(feature, &x, e) != 0)
		return -1;
	reply_one(rp, 201, &x, "Webhook created");
	return 0;
}

static int begin(struct notify *n, struct webhook_edit *x, const struct request *rq, struct err *e)
{
	return webhook_edit_read(n, x, rq, "", json_string_value(json_object_get(request_body(rq), "id")), e);
}

/* A webhook does not change sides: what waits for it was meant for who made it. */
static int api_update(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	const char *scope = json_string_value(json_object_get(request_body(rq), "scope"));
	struct webhook_edit x;

	if (begin(feature, &x, rq, e) != 0)
		return -1;
	if (scope != NULL && !str_eq(scope, webhook_scope(&x.w)))
		return err_set(e, ERR_VALIDATION, "scope", "scope: is %s and cannot be changed", webhook_scope(&x.w));
	if (webhook_edit_take(feature, &x, e) != 0 || webhook_edit_update(feature, &x, e) != 0)
		return -1;
	reply_one(rp, 200, &x, "Webhook updated");
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

static int api_test(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct webhook_edit x;
	struct webhook_test t;
	bool delivered;
	struct buf *b;

	if (begin(feature, &x, rq, e) != 0 || webhook_edit_test(feature, &x.w, &t, e) != 0)
		return -1;
	delivered = t.attempt.verdict == VERDICT_DELIVERED;
	b = reply_open(rp, 200, JSON_TYPE);
	jsonw_object(b, NULL);
	jsonw_bool(b, "success", delivered);
	jsonw_object(b, "data");
	jsonw_str(b, "id", t.id);
	jsonw_bool(b, "delivered", delivered);
	jsonw_int(b, "status", t.attempt.status);
	jsonw_int(b, "latencyMs", t.attempt.latency_ms);
	jsonw_str_or_null(b, "error", t.attempt.error);
	jsonw_end_object(b);
	jsonw_str(b, "message", delivered ? "Test message sent" : "The test message was not taken");
	jsonw_end_object(b);
	return 0;
}

/* ---- schemas and routes ------------------------------------------------------------------------------------------ */

static const char *const scopes[] = { WEBHOOK_PLATFORM, WEBHOOK_TENANT, NULL };

#define NAME                                                                   \
	{                                                                      \
		.name = "name", .type = SCHEMA_STRING, .max = WEBHOOK_NAME_MAX \
	}
#define URL(more)                                                                                             \
	{                                                                                                     \
		.name = "webhookUrl", .type = SCHEMA_STRING, .flags = (more), .min = 1, .max = GUARD_URL_MAX, \
		.help = "http or https; its secret part is shown as ***"                                      \
	}
#define TYPE                                                                             \
	{                                                                                \
		.name = "type", .type = SCHEMA_STRING, .choices = webhook_types,         \
		.help = "says what it hears of when there are no events; default SYSTEM" \
	}
#define SCOPE                                                                              \
	{                                                                                  \
		.name = "scope", .type = SCHEMA_STRING, .choices = scopes,                 \
		.help = "ADMIN, the default: changes of all tenants; TENANT: of one's own" \
	}
#define DESCRIPTION                                                                          \
	{                                                                                    \
		.name = "description", .type = SCHEMA_STRING, .max = WEBHOOK_DESCRIPTION_MAX \
	}
#define FORMAT                                                                                                  \
	{                                                                                                       \
		.name = "format", .type = SCHEMA_STRING, .choices = format_names, .help = "default: as the URL" \
	}
#define ENABLED                                        \
	{                                              \
		.name = "enabled", .type = SCHEMA_BOOL \
	}
#define EVENTS                                                                                 \
	{                                                                                      \
		.name = "events", .type = SCHEMA_ARRAY, .max = 50, .item_type = SCHEMA_STRING, \
		.help = "*, kind.* or kind.verb, such as sync.completed"                       \
	}
#define SECRET                                                                                              \
	{                                                                                                   \
		.name = "secret", .type = SCHEMA_STRING, .flags = SCHEMA_SECRET, .min = WEBHOOK_SECRET_MIN, \
		.max = WEBHOOK_SECRET_MAX, .help = "what bodies are signed with"                            \
	}
#define ID                                                                                         \
	{                                                                                          \
		.name = "id", .type = SCHEMA_STRING, .flags = SCHEMA_REQUIRED, .min = 1, .max = 64 \
	}

static const struct schema_field create_fields[] = { NAME, URL(SCHEMA_REQUIRED), TYPE, SCOPE, DESCRIPTION, FORMAT,
	ENABLED, EVENTS, SECRET };
static const struct schema create_schema = { "AdminWebhook", create_fields, ARRAY_LEN(create_fields), false };
static const struct schema_field update_fields[] = { ID, NAME, URL(0), TYPE, SCOPE, DESCRIPTION, FORMAT, ENABLED,
	EVENTS, SECRET };
static const struct schema update_schema = { "AdminWebhookChange", update_fields, ARRAY_LEN(update_fields), false };
static const struct schema_field id_fields[] = { ID };
static const struct schema id_schema = { "AdminWebhookId", id_fields, ARRAY_LEN(id_fields), false };

#define PATH "/api/admin/settings/webhooks"

const struct route webhook_admin_rows[] = {
	{ "GET", PATH, PERM_SYSTEM, LANE_DB, NULL, NULL, NULL, 200, 0, api_list, "List all webhooks", "Admin" },
	{ "POST", PATH, PERM_SYSTEM, LANE_DB, NULL, &create_schema, NULL, 201, 0, api_create,
		"Have changes of the platform posted to a URL, Discord's for example", "Admin" },
	{ "PUT", PATH, PERM_SYSTEM, LANE_DB, NULL, &update_schema, NULL, 200, 0, api_update,
		"Change the members that are sent", "Admin" },
	{ "DELETE", PATH, PERM_SYSTEM, LANE_DB, NULL, &id_schema, NULL, 204, 0, api_delete,
		"Delete a webhook, with what waits for it", "Admin" },
	{ "PATCH", PATH, PERM_SYSTEM, LANE_AWAY, NULL, &id_schema, NULL, 200, 0, api_test,
		"Send a test now and say what came of it", "Admin" },
};
const size_t webhook_admin_rows_n = ARRAY_LEN(webhook_admin_rows);
