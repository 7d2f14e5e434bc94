#include "controld/rest/errors.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/str.h"

#include <jansson.h>
#include <string.h>

/* ---- status ------------------------------------------------------------------------------------------------------ */

int errors_status(const struct err *items, size_t n)
{
	bool missing = false;

	for (size_t i = 0; i < n; i++) {
		if (err_http(items[i].code) == err_http(ERR_VALIDATION))
			return err_http(ERR_VALIDATION);
		missing |= items[i].code == ERR_MISSING_FIELD;
	}
	return missing ? err_http(ERR_MISSING_FIELD) : err_http(n > 0 ? items[0].code : ERR_INTERNAL);
}

const char *errors_phrase(int status)
{
	static const struct {
		int status;
		const char *phrase;
	} phrases[] = {
		{ 200, "OK" },
		{ 201, "Created" },
		{ 202, "Accepted" },
		{ 204, "No Content" },
		{ 303, "See Other" },
		{ 304, "Not Modified" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 406, "Not Acceptable" },
		{ 409, "Conflict" },
		{ 412, "Precondition Failed" },
		{ 413, "Content Too Large" },
		{ 415, "Unsupported Media Type" },
		{ 422, "Unprocessable Content" },
		{ 429, "Too Many Requests" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 507, "Insufficient Storage" },
	};

	for (size_t i = 0; i < ARRAY_LEN(phrases); i++)
		if (phrases[i].status == status)
			return phrases[i].phrase;
	return "Status";
}

/* Several things that are wrong with the input, each in its own way, have the code that stands for all of these. */
static const char *errors_code(const struct err *items, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (items[i].code != items[0].code && err_http(items[i].code) == err_http(ERR_VALIDATION))
			return err_api(ERR_VALIDATION);
	return err_api(items[0].code);
}

/* ---- envelope ---------------------------------------------------------------------------------------------------- */

/* What a person typed may be cut inside a character; JSON must be UTF-8 all the same. */
static json_t *errors_text(const char *s)
{
	size_t n = strlen(s);

	for (size_t cut = 0; cut < 4 && n > 0 && !str_is_utf8(s, n); cut++)
		n--;
	return str_is_utf8(s, n) ? json_stringn(s, n) : json_string("");
}

static json_t *errors_detail(const struct err *e)
{
	return json_pack("{s:o, s:o, s:o, s:o}", "field", errors_text(e->field), "constraint",
		errors_text(e->constraint), "provided_value", e->value[0] != '\0' ? errors_text(e->value) : json_null(),
		"message", errors_text(e->msg));
}

static json_t *errors_details(const struct err *items, size_t n)
{
	json_t *all;

	if (n == 1)
		return items[0].field[0] != '\0' ? errors_detail(&items[0]) : json_object();
	all = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(all, errors_detail(&items[i]));
	return all;
}

static json_t *errors_message(const struct err *items, size_t n, size_t dropped)
{
	if (n == 1 && dropped == 0)
		return errors_text(items[0].msg[0] != '\0' ? items[0].msg : err_api(items[0].code));
	return json_sprintf("%zu things are wrong with this request; the first: %.200s", n + dropped, items[0].msg);
}

static int errors_write(const char *text, size_t n, void *out)
{
	buf_put(out, text, n);
	return 0;
}

void errors_render(struct buf *out, const struct err *items, size_t n, size_t dropped, const struct errors_context *ctx)
{
	const char *code = errors_code(items, n);
	char now[CLOCK_RFC3339_SIZE];
	json_t *body;

	clock_rfc3339(now, ctx->now_ms);
	body = json_pack("{s:b, s:b, s:s, s:o, s:o, s:s, s:s, s:o}", "success", 0, "error", 1, "code", code, "message",
		errors_message(items, n, dropped), "details", errors_details(items, n), "timestamp", now, "request_id",
		ctx->request_id, "documentation_url", json_sprintf("%s/docs/errors/%s", ctx->base_url, code));
	if (body == NULL || json_dump_callback(body, errors_write, out, JSON_COMPACT) != 0) {
		/* Out of memory: what can be said without any. */
		buf_reset(out);
		buf_printf(out, "{\"success\":false,\"error\":true,\"code\":\"%s\",\"request_id\":\"%s\"}", code,
			ctx->request_id);
	}
	json_decref(body);
}

/* ---- the page about a code --------------------------------------------------------------------------------------- */

static const struct errors_hint {
	const char *code;
	const char *hint;
} errors_hints[] = {
	{ "AUTHENTICATION_FAILED", "Check email and password, or send Authorization: Bearer or X-API-Key." },
	{ "INVALID_TOKEN", "The token is malformed, revoked or not ours. Log in again." },
	{ "TOKEN_EXPIRED", "Use the refresh token at /auth/refresh, or log in again." },
	{ "INSUFFICIENT_PERMISSIONS", "Your role does not allow this. Ask an administrator of the tenant." },
	{ "VALIDATION_ERROR", "Each entry of details names a field, what was given and what is allowed." },
	{ "BAD_REQUEST", "The request could not be read; the message says what about it." },
	{ "RATE_LIMIT_EXCEEDED", "Wait as long as Retry-After says." },
	{ "OVERLOADED", "Too much waits already. Wait as long as Retry-After says." },
	{ "PRECONDITION_FAILED", "Somebody changed the object meanwhile. Read it again and repeat the change." },
	{ "IDEMPOTENCY_CONFLICT", "This Idempotency-Key was used for another request. Use a new key." },
	{ "STORAGE_ERROR", "The database cannot answer or its disk is full. /health says more." },
	{ "OUTCOME_UNKNOWN",
		"The connection to the database broke while the change was being stored: it may be there or not. "
		"Look before you repeat it; with the same Idempotency-Key you get this answer again." },
	{ "POOL_NOT_FOUND", "Check the spelling of the pool's name; GET /api/pools lists them." },
	{ "POOL_ALREADY_EXISTS", "Use another name, or change that pool with PUT." },
	{ "BACKEND_NOT_FOUND", "Check the id; GET /api/backends lists them." },
	{ "INVALID_ALGORITHM", "Use one of round_robin, weighted_round_robin, least_connections, random_two, ip_hash, "
			       "consistent_hash, peak_ewma, adaptive_ai." },
	{ "HEALTH_CHECK_FAILED", "Check path, interval, timeout and expected_status of the health check." },
	{ "PORT_ALREADY_IN_USE", "Another mapping has this port. Choose one, or 0 for a free one." },
};

static const char *errors_hint(const char *code)
{
	for (size_t i = 0; i < ARRAY_LEN(errors_hints); i++)
		if (str_eq(errors_hints[i].code, code))
			return errors_hints[i].hint;
	return "The message of the answer names what is wrong.";
}

int errors_page(struct buf *out, const char *code)
{
#define X(name, wire, api, http, retry) { api, http, retry },
	static const struct {
		const char *api;
		int http;
		int retry;
	} codes[] = { ERR_CODES(X) };
#undef X

	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		if (!str_eq(codes[i].api, code))
			continue;
		buf_printf(out,
			"<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>%s</title></head>\n"
			"<body><h1>%s</h1>\n<p>HTTP status %d. %s</p>\n<p>%s</p>\n</body></html>\n",
			codes[i].api, codes[i].api, codes[i].http,
			codes[i].retry != 0 ? "The same request may succeed later."
					    : "The same request will not succeed unchanged.",
			errors_hint(code));
		return 0;
	}
	return -1;
}
