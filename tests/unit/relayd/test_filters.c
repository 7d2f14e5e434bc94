/* Each filter by itself: cases in tables, then what takes more than one step. */
#include "common/base/err.h"
#include "common/net/addr.h"
#include "proto/route_parts.h"
#include "relayd/filter/cors.h"
#include "relayd/filter/error_page.h"
#include "relayd/filter/gzip.h"
#include "relayd/filter/header_rules.h"
#include "relayd/filter/redirect.h"
#include "relayd/filter/request_rate.h"
#include "relayd/filter/rewrite.h"
#include "relayd/filter/trace.h"
#include "tests/unit/relayd/heads.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <zlib.h>
/* after those: */
#include <cmocka.h>

#define ASK                                                                                                        \
	"GET /a/b?q=1 HTTP/1.1\r\nHost: a.example\r\nX-One: 1\r\nX-Two: 2\r\nX-One: 3\r\nCookie: x=9; sid=abc\r\n" \
	"Cookie: late=z\r\n\r\n"

struct stage {
	struct http_head head, answer;
	struct filter_view view;
	struct addr client;
	struct edit edits;
};

static void stage_set(struct stage *s, const char *ask)
{
	memset(s, 0, sizeof *s);
	head_read(&s->head, ask, false);
	assert_int_equal(addr_parse(&s->client, "192.0.2.7:999"), 0);
	s->view = (struct filter_view){ .head = &s->head,
		.host = http_head_part(&s->head, s->head.host),
		.path = http_head_path(&s->head),
		.query = http_head_part(&s->head, s->head.query),
		.client = &s->client,
		.takes_gzip = gzip_taken(&s->head),
		.likes = (uint8_t)error_page_likes(&s->head),
		.route = "rte_1",
		.request_id = text_span("id-1"),
		.trace = text_span("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01") };
	for (uint16_t i = 0; i < s->head.n; i++)
		if (s->head.fields[i].id == HTTP_NAME_ORIGIN)
			s->view.origin = http_field_value(&s->head, &s->head.fields[i]);
	edit_reset(&s->edits);
}

static void answer_set(struct stage *s, const char *answer)
{
	head_read(&s->answer, answer, true);
	s->view.answer = &s->answer;
	s->view.status = s->answer.status;
	edit_reset(&s->edits);
}

/* "name: value|..." of all that was put in. */
static const char *added(const struct edit *e)
{
	static char text[4096];
	size_t n = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < e->n_added; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, "%s%s: %.*s", i > 0 ? "|" : "", e->added[i].name,
			(int)e->added[i].value.n, e->added[i].value.p);
	return text;
}

static bool removes(const struct edit *e, const char *name)
{
	const enum http_name id = http_name_find((const uint8_t *)name, strlen(name));

	for (unsigned i = 0; i < e->n_removed; i++)
		if (strcmp(e->removed_names[i], name) == 0)
			return true;
	return id != HTTP_NAME_UNKNOWN && (e->removed >> id & 1) != 0;
}

/* ---- texts ---- */

static void test_texts(void **state)
{
	static struct stage s;
	size_t from;

	(void)state;
	stage_set(&s, ASK);
	text_field(&s.edits, "x-three", text_span(" \tv "));
	from = text_begin(&s.edits);
	text_str(&s.edits, "w");
	text_u64(&s.edits, UINT64_MAX);
	text_set(&s.edits, "x-three", text_since(&s.edits, from));
	text_set(&s.edits, "x-two", text_span(""));
	assert_string_equal(added(&s.edits), "x-three: w18446744073709551615|x-two: ");
	assert_true(removes(&s.edits, "x-two"));
	assert_false(s.edits.failed);
	text_token(&s.edits, NULL, HTTP_NAME_VARY, "Origin");
	text_token(&s.edits, NULL, HTTP_NAME_VARY, "origin");
	text_token(&s.edits, NULL, HTTP_NAME_VARY, "Accept");
	assert_string_equal(added(&s.edits), "x-three: w18446744073709551615|x-two: |vary: Origin|vary: Accept");
}

static void test_texts_cannot_end_a_line(void **state)
{
	static const struct {
		const char *name, *value;
	} cases[] = { { "x", "a\r\nB: c" }, { "x", "a\nb" }, { "x y", "a" }, { "", "a" }, { "x:", "a" },
		{ "x", "\x7f" } };
	static struct stage s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		stage_set(&s, ASK);
		text_field(&s.edits, cases[i].name, text_span(cases[i].value));
		assert_true(s.edits.failed);
		assert_int_equal(s.edits.n_added, 0);
	}
	stage_set(&s, ASK);
	for (unsigned i = 0; i <= EDIT_FIELDS_MAX; i++)
		text_field(&s.edits, "x", text_span("y"));
	assert_true(s.edits.failed);
	stage_set(&s, ASK);
	for (unsigned i = 0; i <= EDIT_TEXT_MAX; i++)
		text_str(&s.edits, "x");
	assert_true(s.edits.failed);
}

/* ---- templates ---- */

static void test_template(void **state)
{
	static const struct {
		const char *text, *want; /* NULL: it is none */
	} cases[] = {
		{ "", "" },
		{ "plain", "plain" },
		{ "https://{host}{path}{query}", "https://a.example/a/b?q=1" },
		{ "{method} {scheme} {client_ip} {route}", "GET http 192.0.2.7 rte_1" },
		{ "{request_id}/{trace_id}", "id-1/0af7651916cd43dd8448eb211c80319c" },
		{ "{header:x-one}{header:X-Two}{header:nope}.", "12." },
		{ "{cookie:sid}{cookie:late}{cookie:si}{cookie:x}", "abcz9" },
		{ "{answer:Server}-", "-" },
		{ "{status}", "0" },
		{ "a{{b}}", "a{b}}" },
		{ "{{{host}", "{a.example" },
		{ "}", "}" },
		{ "{host", NULL },
		{ "{nothing}", NULL },
		{ "{}", NULL },
		{ "{host:x}", NULL },
		{ "{header}", NULL },
		{ "{header:}", NULL },
		{ "{header:a b}", NULL },
		{ "{HOST}", NULL },
		{ "{host}{host}{host}{host}{host}{host}{host}{host}{host}{host}{host}{host}{host}{host}{host}{host}{"
		  "host}",
			NULL },
	};
	static struct stage s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct template t;
		struct err e = { .code = ERR_NONE };
		struct http_span got;
		const int r = template_read(&t, cases[i].text, &e);

		stage_set(&s, ASK);
		if ((r == 0) != (cases[i].want != NULL))
			fail_msg("%s: %d %s", cases[i].text, r, e.msg);
		if (r != 0)
			continue;
		got = template_fill(&t, &s.view, &s.edits);
		if (!span_is(got, cases[i].want))
			fail_msg("%s: %.*s", cases[i].text, (int)got.n, got.p);
		assert_int_equal(template_is_plain(&t), strchr(cases[i].text, '{') == NULL || i == 9);
	}
}

static void test_header_rules(void **state)
{
	static const struct route_rule rules[] = {
		{ ROUTE_RULE_SET, "x-one", "{client_ip}" },
		{ ROUTE_RULE_ADD, "x-two", "more" },
		{ ROUTE_RULE_REMOVE, "cookie", "" },
		{ ROUTE_RULE_SET, "content-length", "5" }, /* left out, as the next two */
		{ ROUTE_RULE_REMOVE, "host", "" },
		{ ROUTE_RULE_SET, "connection", "x" },
		{ ROUTE_RULE_SET, "x-three", "a" },
		{ ROUTE_RULE_REMOVE, "x-three", "" },
	};
	static const struct route_rule bad[] = { { ROUTE_RULE_SET, "x-one", "{what}" } };
	static struct stage s;
	struct header_rules r;
	struct err e = { .code = ERR_NONE };

	(void)state;
	stage_set(&s, ASK);
	assert_int_equal(header_rules_init(&r, rules, ARRAY_LEN(rules), &e), 0);
	assert_int_equal(r.n, 5);
	header_rules_run(&r, &s.view, &s.edits);
	header_rules_fini(&r);
	assert_string_equal(added(&s.edits), "x-one: 192.0.2.7|x-two: more");
	assert_true(removes(&s.edits, "x-one") && removes(&s.edits, "cookie"));
	assert_false(
		removes(&s.edits, "host") || removes(&s.edits, "content-length") || removes(&s.edits, "connection"));
	assert_int_equal(header_rules_init(&r, bad, 1, &e), -1);
	assert_non_null(strstr(e.msg, "{what}"));
}

/* ---- redirects, rewriting ---- */

static void test_redirect(void **state)
{
	static const struct {
		const char *to, *want; /* NULL: it fails */
	} cases[] = {
		{ "https://www.{host}{path}{query}", "https://www.a.example/a/b?q=1" },
		{ "/moved", "/moved" },
		{ "/{header:x-one}", "/1" },
		{ "/{header:x-bad}", NULL },
		{ "{header:none}", NULL },
	};
	static struct stage s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct redirect r = { .status = 302 };
		struct err e = { .code = ERR_NONE };

		stage_set(&s, "GET /a/b?q=1 HTTP/1.1\r\nHost: a.example\r\nX-One: 1\r\nX-Bad: a b\r\n\r\n");
		assert_int_equal(template_read(&r.to, cases[i].to, &e), 0);
		redirect_answer(&r, &s.view, &s.edits);
		assert_int_equal(s.edits.failed, cases[i].want == NULL);
		if (cases[i].want == NULL)
			continue;
		assert_int_equal(s.edits.status, 302);
		assert_string_equal(s.edits.added[0].name, "location");
		assert_true(span_is(s.edits.added[0].value, cases[i].want));
	}
}

static void test_rewrite(void **state)
{
	static const struct {
		const char *path, *prefix, *by, *want;
	} cases[] = {
		{ "/api/v1/x", "/api", "", "/v1/x" },
		{ "/api", "/api", "", "/" },
		{ "/api/", "/api", "", "/" },
		{ "/api", "/api", "/v2", "/v2" },
		{ "/api/x", "/api", "/v2", "/v2/x" },
		{ "/api/x", "/api", "/v2/", "/v2/x" },
		{ "/api/x", "/api/", "/v2", "/v2/x" },
		{ "/api/x", "/api/", "/v2/", "/v2/x" },
		{ "/x", "", "/v2", "/v2/x" },
		{ "/x", "/", "/v2", "/v2/x" },
		{ "/", "/", "/", "/" },
		{ "/", "/", "/a", "/a" },
	};
	static struct stage s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		stage_set(&s, ASK);
		s.view.path = text_span(cases[i].path);
		rewrite_path(&s.edits, &s.view, text_span(cases[i].prefix), text_span(cases[i].by));
		if (!span_is(s.edits.path, cases[i].want))
			fail_msg("%s %s %s: %.*s", cases[i].path, cases[i].prefix, cases[i].by, (int)s.edits.path.n,
				s.edits.path.p);
	}
}

/* ---- CORS ---- */

#define PREFLIGHT(origin)                                                                               \
	"OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: " origin "\r\nAccess-Control-Request-Method: PUT\r\n" \
	"Access-Control-Request-Headers: x-a, x-b\r\n\r\n"

static void test_cors(void **state)
{
	static const char *some[] = { "https://one.example", "https://two.example" }, *any[] = { "*" };
	static const struct {
		const char *what;
		struct route_cors conf;
		const char *ask, *want;
	} cases[] = {
		{ "a site that may",
			{ .on = true, .origins = some, .n_origins = 2, .methods = "", .headers = "", .expose = "" },
			PREFLIGHT("https://two.example"),
			"vary: Origin|access-control-allow-origin: https://two.example|access-control-allow-methods: "
			"PUT|"
			"access-control-allow-headers: x-a, x-b" },
		{ "one that may not",
			{ .on = true, .origins = some, .n_origins = 2, .methods = "GET", .headers = "", .expose = "" },
			PREFLIGHT("https://one.example.evil"), "vary: Origin" },
		{ "any",
			{ .on = true,
				.origins = any,
				.n_origins = 1,
				.max_age_s = 600,
				.methods = "GET, PUT",
				.headers = "x-a",
				.expose = "" },
			PREFLIGHT("https://x"),
			"access-control-allow-origin: *|access-control-allow-methods: GET, "
			"PUT|access-control-allow-headers: x-a|"
			"access-control-max-age: 600" },
		{ "any, with credentials",
			{ .on = true,
				.credentials = true,
				.origins = any,
				.n_origins = 1,
				.methods = "GET",
				.headers = "x-a",
				.expose = "" },
			PREFLIGHT("https://x"),
			"vary: Origin|access-control-allow-origin: https://x|access-control-allow-credentials: true|"
			"access-control-allow-methods: GET|access-control-allow-headers: x-a" },
		{ "no preflight", { .on = true, .origins = any, .n_origins = 1 },
			"OPTIONS * HTTP/1.1\r\nHost: a\r\nOrigin: x\r\n\r\n", NULL },
		{ "no origin", { .on = true, .origins = any, .n_origins = 1 },
			"OPTIONS / HTTP/1.1\r\nHost: a\r\nAccess-Control-Request-Method: PUT\r\n\r\n", NULL },
	};
	static struct stage s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool answered;

		stage_set(&s, cases[i].ask);
		answered = cors_preflight(&cases[i].conf, &s.view, &s.edits);
		if (answered != (cases[i].want != NULL) || (answered && strcmp(added(&s.edits), cases[i].want) != 0))
			fail_msg("%s: %d %s", cases[i].what, answered, added(&s.edits));
		if (answered)
			assert_int_equal(s.edits.status, 204);
	}
}

static void test_cors_answer(void **state)
{
	static const char *some[] = { "https://one.example" };
	static const struct route_cors conf = { .on = true, .origins = some, .n_origins = 1, .expose = "X-A" };
	static struct stage s;

	(void)state;
	stage_set(&s, "GET / HTTP/1.1\r\nHost: a\r\nOrigin: https://one.example\r\n\r\n");
	answer_set(&s, "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nVary: Accept, origin\r\nContent-Length: "
		       "0\r\n\r\n");
	cors_answer(&conf, &s.view, &s.edits);
	assert_string_equal(
		added(&s.edits), "access-control-allow-origin: https://one.example|access-control-expose-headers: X-A");
	assert_true(removes(&s.edits, "access-control-allow-origin"));
}

/* ---- names ---- */

static void test_traceparent(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} cases[] = {
		{ "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true },
		{ "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff", true },
		{ "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", true },
		{ "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", false },
		{ "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more", false },
		{ "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false },
		{ "00-00000000000000000000000000000000-b7ad6b7169203331-01", false },
		{ "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false },
		{ "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false },
		{ "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0", false },
		{ "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false },
		{ "", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (trace_is(text_span(cases[i].text)) != cases[i].good)
			fail_msg("%s", cases[i].text);
}

static void test_trace(void **state)
{
	static const char *const asks[] = { "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\ntraceparent: 01\r\ntracestate: a=b\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\n"
		"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
		"traceparent: 00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n" };
	static struct stage s;
	char trace[TRACE_SIZE], last[TRACE_SIZE] = "";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(asks); i++) {
		stage_set(&s, asks[i]);
		s.view.now_ns = i;
		trace_take(trace, &s.view, &s.edits);
		assert_true(trace_is(text_span(trace)));
		assert_string_not_equal(trace, last);
		memcpy(last, trace, sizeof last);
		assert_int_equal(s.edits.n_added, 1);
		assert_true(removes(&s.edits, "tracestate") && removes(&s.edits, "traceparent"));
	}
	stage_set(&s,
		"GET / HTTP/1.1\r\nHost: a\r\n"
		"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntracestate: a=b\r\n\r\n");
	trace_take(trace, &s.view, &s.edits);
	assert_string_equal(trace, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
	assert_int_equal(s.edits.n_added, 0);
	assert_false(removes(&s.edits, "tracestate"));
}

static int by_text(const void *a, const void *b)
{
	return memcmp(a, b, TRACE_SIZE);
}

/* Ids of one prefix in one round, as a relay makes them, and short ones, as clients may: no two traces or spans alike. */
static void test_traces_differ(void **state)
{
	enum { N = 4096 };
	static char traces[N][TRACE_SIZE];
	static struct stage s;
	char id[40];

	(void)state;
	for (unsigned i = 0; i < N; i++) {
		stage_set(&s, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
		snprintf(id, sizeof id, i % 2 == 0 ? "00112233445566778899aabbcc%06x" : "%x", i);
		s.view.request_id = text_span(id);
		s.view.now_ns = 7;
		trace_take(traces[i], &s.view, &s.edits);
		assert_true(trace_is(text_span(traces[i])));
	}
	qsort(traces, N, sizeof traces[0], by_text);
	for (unsigned i = 1; i < N; i++) {
		assert_memory_not_equal(traces[i - 1], traces[i], 19); /* already in the first half */
		assert_memory_not_equal(traces[i - 1] + 36, traces[i] + 36, 16);
	}
}

/* ---- rates ---- */

static void test_request_rate(void **state)
{
	const uint64_t s1 = UINT64_C(1000000000);
	struct request_rate *r = request_rate_new(true);
	uint64_t now = 100 * s1;

	(void)state;
	assert_non_null(r);
	for (int i = 0; i < 5; i++)
		assert_int_equal(request_rate_take(r, 1, 10, 5, now), 0);
	assert_int_equal(request_rate_take(r, 1, 10, 5, now), s1 / 10);
	assert_int_equal(request_rate_take(r, 2, 10, 5, now), 0); /* another key */
	now += s1 / 10;
	assert_int_equal(request_rate_take(r, 1, 10, 5, now), 0);
	assert_true(request_rate_take(r, 1, 10, 5, now) > 0);
	now += 10 * s1; /* what was not used is a burst, not more */
	for (int i = 0; i < 5; i++)
		assert_int_equal(request_rate_take(r, 1, 10, 5, now), 0);
	assert_true(request_rate_take(r, 1, 10, 5, now) > 0);
	request_rate_unref(r);
}

/* Very many keys: the table does not grow, and nobody is refused who asks once. */
static void test_request_rate_many_keys(void **state)
{
	struct request_rate *r = request_rate_new(true);

	(void)state;
	assert_non_null(r);
	for (uint64_t key = 1; key < 200000; key++)
		assert_int_equal(request_rate_take(r, key, 1, 1, UINT64_C(5000000000)), 0);
	request_rate_unref(r);
}

/* ---- gzip ---- */

static void test_gzip_accepted(void **state)
{
	static const struct {
		const char *text;
		bool yes;
	} cases[] = {
		{ "gzip", true },
		{ "deflate, gzip;q=1.0, *;q=0.5", true },
		{ "GZIP", true },
		{ "*", true },
		{ "*;q=0", false },
		{ "gzip;q=0", false },
		{ "gzip;q=0.000, *", false },
		{ "gzip; q=0.001", true },
		{ "identity", false },
		{ "br", false },
		{ "", false },
		{ "gzipped", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (gzip_accepted(text_span(cases[i].text)) != cases[i].yes)
			fail_msg("%s", cases[i].text);
}

static void test_gzip_wanted(void **state)
{
#define TAKES      "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n"
#define LEAVES     "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define TEXT(more) "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n" more "\r\n"
	static const struct {
		const char *what, *ask, *answer, *want; /* lines; NULL: it goes out as it is, without a line */
		bool yes;
	} cases[] = {
		{ "text", TAKES, TEXT("Content-Length: 1000\r\n"), "vary: Accept-Encoding|content-encoding: gzip",
			true },
		{ "of unknown length", TAKES, TEXT("Transfer-Encoding: chunked\r\n"),
			"vary: Accept-Encoding|content-encoding: gzip", true },
		{ "an ETag", TAKES, TEXT("Content-Length: 1000\r\nETag: \"x\"\r\n"),
			"vary: Accept-Encoding|content-encoding: gzip|etag: W/\"x\"", true },
		{ "a weak one", TAKES, TEXT("Content-Length: 1000\r\nETag: W/\"x\"\r\n"),
			"vary: Accept-Encoding|content-encoding: gzip", true },
		{ "not taken", LEAVES, TEXT("Content-Length: 1000\r\n"), "vary: Accept-Encoding", false },
		{ "HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n",
			TEXT("Content-Length: 1000\r\n"), "vary: Accept-Encoding", false },
		{ "HTTP/1.0", "GET / HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n", TEXT("Content-Length: 1000\r\n"),
			"vary: Accept-Encoding", false },
		{ "short", TAKES, TEXT("Content-Length: 99\r\n"), NULL, false },
		{ "coded already", TAKES, TEXT("Content-Length: 1000\r\nContent-Encoding: br\r\n"), NULL, false },
		{ "no-transform", TAKES, TEXT("Content-Length: 1000\r\nCache-Control: public, No-Transform\r\n"), NULL,
			false },
		{ "a part", TAKES,
			"HTTP/1.1 206 x\r\nContent-Type: text/html\r\nContent-Range: bytes "
			"0-999/2000\r\nContent-Length: 1000\r\n\r\n",
			NULL, false },
		{ "an image", TAKES, "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\n", NULL,
			false },
		{ "events", TAKES,
			"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
			NULL, false },
		{ "no type", TAKES, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", NULL, false },
		{ "304", TAKES, "HTTP/1.1 304 x\r\nContent-Type: text/html\r\n\r\n", NULL, false },
	};
	static const struct route_gzip conf = { .on = true, .min_bytes = 100, .types = "" };
	static struct stage s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool yes;

		stage_set(&s, cases[i].ask);
		answer_set(&s, cases[i].answer);
		yes = gzip_wanted(&conf, &s.view, &s.edits);
		if (yes != cases[i].yes || strcmp(added(&s.edits), cases[i].want != NULL ? cases[i].want : "") != 0)
			fail_msg("%s: %d %s", cases[i].what, yes, added(&s.edits));
	}
	assert_true(gzip_is_type("text/*, image/svg+xml", text_span("text/css")));
	assert_true(gzip_is_type("text/*, image/svg+xml", text_span("image/svg+xml;x=y")));
	assert_false(gzip_is_type("text/*, image/svg+xml", text_span("image/svg")));
}

/* What goes in piece by piece comes out the same, and after a flush all that went in is there. */
static void test_gzip_content(void **state)
{
	static char text[100000], back[sizeof text + 1];
	struct gzip *g = gzip_open(5);
	struct blocks bs = { .n_ready = 0 };
	struct block *out = NULL;
	z_stream z = { .next_in = NULL };
	size_t half = sizeof text / 2;

	(void)state;
	assert_non_null(g);
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (char)('a' + (i * i / 7) % 23);
	for (size_t at = 0; at < half; at += 1000)
		assert_int_equal(gzip_put(g, (struct http_span){ text + at, 1000 },
					 at + 1000 < half ? GZIP_MORE : GZIP_FLUSH, &bs, &out),
			0);
	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	z.next_in = out->bytes + out->at;
	z.avail_in = (uInt)block_waiting(out);
	z.next_out = (Bytef *)back;
	z.avail_out = sizeof back;
	assert_int_equal(inflate(&z, Z_NO_FLUSH), Z_OK);
	assert_int_equal(sizeof back - z.avail_out, half);
	out->at = out->n;
	assert_int_equal(gzip_put(g, (struct http_span){ text + half, half }, GZIP_LAST, &bs, &out), 0);
	z.next_in = out->bytes + out->at;
	z.avail_in = (uInt)block_waiting(out);
	assert_int_equal(inflate(&z, Z_NO_FLUSH), Z_STREAM_END);
	assert_int_equal(sizeof back - z.avail_out, sizeof text);
	assert_memory_equal(back, text, sizeof text);
	inflateEnd(&z);
	gzip_free(g);
	block_put(&bs, out);
	blocks_fini(&bs);
}

/* ---- pages ---- */

static void test_error_page(void **state)
{
	static const struct route_page pages[] = { { 502, "text/html", "<style>a{b}</style>{status} {request_id}{" },
		{ 503, "text/plain", "closed" } };
	static const struct {
		unsigned status;
		const char *accept, *want;
	} cases[] = {
		{ 502, "*/*", "<style>a{b}</style>502 id-1{" },
		{ 503, "*/*", "closed" },
		{ 404, "*/*", "404 Not Found: why\nrequest id-1\n" },
		{ 404, "application/json",
			"{\"error\":\"Not Found\",\"status\":404,\"message\":\"why\",\"request_id\":\"id-1\"}\n" },
	};
	static struct stage s;
	char ask[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(ask, sizeof ask, "GET / HTTP/1.1\r\nHost: a\r\nAccept: %s\r\n\r\n", cases[i].accept);
		stage_set(&s, ask);
		s.view.status = cases[i].status;
		error_page_fill(pages, 2, &s.view, "why", &s.edits);
		if (!span_is(s.edits.body, cases[i].want))
			fail_msg("%.*s", (int)s.edits.body.n, s.edits.body.p);
	}
	stage_set(&s, "GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n");
	s.view.status = 504;
	error_page_fill(NULL, 0, &s.view, "why", &s.edits);
	assert_string_equal(added(&s.edits), "content-type: text/html; charset=utf-8");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_texts_cannot_end_a_line),
		cmocka_unit_test(test_template),
		cmocka_unit_test(test_header_rules),
		cmocka_unit_test(test_redirect),
		cmocka_unit_test(test_rewrite),
		cmocka_unit_test(test_cors),
		cmocka_unit_test(test_cors_answer),
		cmocka_unit_test(test_traceparent),
		cmocka_unit_test(test_trace),
		cmocka_unit_test(test_traces_differ),
		cmocka_unit_test(test_request_rate),
		cmocka_unit_test(test_request_rate_many_keys),
		cmocka_unit_test(test_gzip_accepted),
		cmocka_unit_test(test_gzip_wanted),
		cmocka_unit_test(test_gzip_content),
		cmocka_unit_test(test_error_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
