#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "controld/identity/audit.h"
#include "controld/identity/room.h"
#include "controld/rest/produce.h"
#include "controld/store/chain.h"

#include <stdlib.h>
#include <string.h>

/* A time of the query string; 0 or -1. */
static int audit_time(const struct request *rq, const char *name, int64_t *out, struct err *e)
{
	const char *text = request_query(rq, name);

	if (text == NULL || clock_parse_rfc3339(text, out) == 0)
		return 0;
	err_set(e, ERR_VALIDATION, name, "%s: must be a time as in 2026-11-22T10:00:00Z", name);
	return err_detail(e, "format", text);
}

int audit_cursor(const struct page *page, int64_t *before_seq, struct err *e)
{
	*before_seq = INT64_MAX;
	if (page->after[0] == '\0' || str_to_i64(page->after, 1, INT64_MAX, before_seq) == 0)
		return 0;
	err_set(e, ERR_VALIDATION, "cursor", "cursor: must be one that a list gave");
	return err_detail(e, "format", page->after);
}

static int audit_take(const struct request *rq, struct audit_filter *f, struct err *e)
{
	const struct identity *who = request_identity(rq);

	*f = (struct audit_filter){
		.tenant_id = who->system_admin ? identity_query(rq, "tenant_id") : who->tenant_id,
		.kind = identity_query(rq, "kind"),
		.op = identity_query(rq, "op"),
		.subject = identity_query(rq, "subject"),
		.actor = identity_query(rq, "actor"),
		.until_ms = INT64_MAX,
	};
	return audit_time(rq, "since", &f->since_ms, e) != 0 ? -1 : audit_time(rq, "until", &f->until_ms, e);
}

static int audit_read(struct db *db, struct identity_list *l, struct err *e)
{
	struct audit_filter f;

	if (audit_take(l->rq, &f, e) != 0 || audit_cursor(&l->page, &f.before_seq, e) != 0)
		return -1;
	f.limit = l->rows;
	return audit_list(db, &f, l->items, e);
}

/* ---- everything, as a file ----------------------------------------------------------------------------------------- */

#define EXPORT_ROWS 1000 /* of one piece, which is one short transaction */

/* What was asked for, copied: the request goes before the answer does. */
struct audit_exporting {
	struct store *store;
	struct audit_filter filter;
	struct audit_piece piece;
	char *texts[5];
};

static void exporting_free(void *state)
{
	struct audit_exporting *x = state;

	for (size_t i = 0; i < ARRAY_LEN(x->texts); i++)
		free(x->texts[i]);
	free(x);
}

static int exporting_next(void *state, struct buf *out, bool *more, struct err *e)
{
	struct audit_exporting *x = state;
	int64_t last = 0;
	struct db *db;
	int rc;

	if (store_read_begin(x->store, &db, e) != 0)
		return -1;
	rc = audit_export(db, &x->filter, &x->piece, out, &last, e);
	store_read_end(db);
	*more = last != 0;
	x->piece.after_seq = last;
	return rc;
}

static int exporting_keep(struct audit_exporting *x, const struct audit_filter *f, struct err *e)
{
	const char **const kept[] = { &x->filter.tenant_id, &x->filter.kind, &x->filter.op, &x->filter.subject,
		&x->filter.actor };

	x->filter = *f;
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		if ((x->texts[i] = strdup(*kept[i])) == NULL)
			return err_set(e, ERR_NOMEM, NULL, "audit: out of memory");
		*kept[i] = x->texts[i];
	}
	x->filter.limit = EXPORT_ROWS;
	x->piece.bytes = PRODUCE_PIECE;
	return 0;
}

/* Up to what is there now: an export of a log that grows ends. */
static int exporting_begin(struct audit_exporting *x, struct err *e)
{
	struct db *db;
	int rc;

	if (store_read_begin(x->store, &db, e) != 0)
		return -1;
	rc = audit_newest(db, &x->piece.until_seq, e);
	store_read_end(db);
	return rc;
}

static int on_audit_export(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	static const struct produce_ops ops = { exporting_next, exporting_free };
	const char *after = request_query(rq, "after");
	struct audit_exporting *x;
	struct audit_filter f;
	int64_t after_seq = 0;

	if (audit_take(rq, &f, e) != 0)
		return -1;
	if (after != NULL && str_to_i64(after, 0, INT64_MAX, &after_seq) != 0) {
		err_set(e, ERR_VALIDATION, "after", "after: must be the number of a row");
		return err_detail(e, "format", after);
	}
	if ((x = calloc(1, sizeof *x)) == NULL)
		return err_set(e, ERR_NOMEM, NULL, "audit: out of memory");
	x->store = ((struct identity_service *)feature)->store;
	x->piece.after_seq = after_seq;
	if (exporting_keep(x, &f, e) != 0 || exporting_begin(x, e) != 0 ||
		reply_produce(rp, "application/x-ndjson", &ops, x, e) != 0)
		goto fail;
	return 0;
fail:
	exporting_free(x);
	return -1;
}

static int on_audit_verify(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct identity_service *s = feature;
	struct chain_report r;
	struct db *db;
	struct buf *b;
	int rc;

	(void)rq;
	if (store_read_begin(s->store, &db, e) != 0)
		return -1;
	rc = chain_verify(db, &r, e);
	store_read_end(db);
	if (rc != 0)
		return -1;
	b = reply_open(rp, 200, "application/json; charset=utf-8");
	jsonw_object(b, NULL);
	jsonw_bool(b, "intact", r.broken_at == 0);
	jsonw_uint(b, "rows", r.rows);
	jsonw_uint(b, "unchained", r.unchained);
	jsonw_uint(b, "erased", r.erased);
	jsonw_int(b, "first", r.first);
	jsonw_int(b, "last", r.last);
	jsonw_str_or_null(b, "head", r.head);
	if (r.broken_at != 0)
		jsonw_int(b, "broken_at", r.broken_at);
	else
		jsonw_null(b, "broken_at");
	jsonw_str_or_null(b, "why", r.why);
	jsonw_end_object(b);
	return 0;
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
static const struct schema_field audit_export_fields[] = {
	{ .name = "after", .type = SCHEMA_STRING, .max = 20, .help = "number of a row: those beyond it" },
	{ .name = "kind", .type = SCHEMA_STRING, .max = 64, .help = "user, tenant, api_key, login, mapping, ..." },
	{ .name = "op", .type = SCHEMA_STRING, .max = 64, .help = "create, update, delete, login, login_failed, ..." },
	{ .name = "subject", .type = SCHEMA_STRING, .max = 64, .help = "id of the object" },
	{ .name = "actor", .type = SCHEMA_STRING, .max = 64, .help = "user id, key:<id>, node:<id>, system" },
	{ .name = "since", .type = SCHEMA_STRING, .format = SCHEMA_FORMAT_TIME },
	{ .name = "until", .type = SCHEMA_STRING, .format = SCHEMA_FORMAT_TIME, .help = "before this time" },
	{ .name = "tenant_id", .type = SCHEMA_STRING, .max = 64, .help = "system administrators only" },
};
static const struct schema audit_export_schema = { NULL, audit_export_fields, ARRAY_LEN(audit_export_fields), false };

static const struct schema audit_query_schema = { NULL, audit_query_fields, ARRAY_LEN(audit_query_fields), false };

const struct route audit_routes[] = {
	{ "GET", "/api/v1/audit", PERM_TENANT_ADMIN, LANE_DB, &audit_query_schema, NULL, NULL, 200, 0, on_audit_list,
		"Who did what, newest first", "audit" },
	{ "GET", "/api/v1/audit/export", PERM_TENANT_ADMIN, LANE_SLOW, &audit_export_schema, NULL, NULL, 200,
		ROUTE_NDJSON | ROUTE_PER_MINUTE(12), on_audit_export,
		"All of it as NDJSON, oldest first, with the hashes of the chain", "audit" },
	{ "GET", "/api/v1/audit/verify", PERM_SYSTEM, LANE_SLOW, NULL, NULL, NULL, 200, ROUTE_PER_MINUTE(12),
		on_audit_verify, "Whether the log is as it was written", "audit" },
};
const size_t audit_routes_n = ARRAY_LEN(audit_routes);
