#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/identity/audit.h"
#include "controld/identity/room.h"

/* A time of the query string; 0 or -1. */
static int audit_time(const struct request *rq, const char *name, int64_t *out, struct err *e)
{
	const char *text = request_query(rq, name);

	if (text == NULL || clock_parse_rfc3339(text, out) == 0)
		return 0;
	err_set(e, ERR_VALIDATION, name, "%s: must be a time as in 2026-11-22T10:00:00Z", name);
	return err_detail(e, "format", text);
}

/* The cursor is the number of the last row seen. */
static int audit_cursor(const struct page *page, int64_t *before_seq, struct err *e)
{
	*before_seq = INT64_MAX;
	if (page->after[0] == '\0' || str_to_i64(page->after, 1, INT64_MAX, before_seq) == 0)
		return 0;
	err_set(e, ERR_VALIDATION, "cursor", "cursor: must be one that a list gave");
	return err_detail(e, "format", page->after);
}

static int audit_read(struct db *db, struct identity_list *l, struct err *e)
{
	const struct identity *who = request_identity(l->rq);
	struct audit_filter f = {
		.tenant_id = who->system_admin ? identity_query(l->rq, "tenant_id") : who->tenant_id,
		.kind = identity_query(l->rq, "kind"),
		.op = identity_query(l->rq, "op"),
		.subject = identity_query(l->rq, "subject"),
		.actor = identity_query(l->rq, "actor"),
		.until_ms = INT64_MAX,
		.limit = l->rows,
	};

	if (audit_cursor(&l->page, &f.before_seq, e) != 0 || audit_time(l->rq, "since", &f.since_ms, e) != 0 ||
		audit_time(l->rq, "until", &f.until_ms, e) != 0)
		return -1;
	return audit_list(db, &f, l->items, e);
}

static int on_audit_list(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return identity_list(rq, rp, feature, "seq", audit_read, e);
}

static const struct schema_field audit_query_fields[] = {
	{ .name = "limit", .type = SCHEMA_INT, .min = 1, .max = 200 },
	{ .name = "cursor", .type = SCHEMA_STRING },
	{ .name = "kind", .type = SCHEMA_STRING, .max = 64, .help = "user, tenant, api_key, login, mapping, ..." },
	{ .name = "op", .type = SCHEMA_STRING, .max = 64, .help = "create, update, delete, login, login_failed, ..." },
	{ .name = "subject", .type = SCHEMA_STRING, .max = 64, .help = "id of the object" },
	{ .name = "actor", .type = SCHEMA_STRING, .max = 64, .help = "user id, key:<id>, node:<id>, system" },
	{ .name = "since", .type = SCHEMA_STRING, .format = SCHEMA_FORMAT_TIME },
	{ .name = "until", .type = SCHEMA_STRING, .format = SCHEMA_FORMAT_TIME, .help = "before this time" },
	{ .name = "tenant_id", .type = SCHEMA_STRING, .max = 64, .help = "system administrators only" },
};
static const struct schema audit_query_schema = { NULL, audit_query_fields, ARRAY_LEN(audit_query_fields), false };

const struct route audit_routes[] = {
	{ "GET", "/api/v1/audit", PERM_TENANT_ADMIN, LANE_DB, &audit_query_schema, NULL, NULL, 200, 0, on_audit_list,
		"Who did what, newest first", "audit" },
};
const size_t audit_routes_n = ARRAY_LEN(audit_routes);
