#include "controld/rest/route.h"

#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/rest/call.h"
#include "controld/rest/headers.h"
#include "controld/rest/input.h"

#include <event2/http.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void request_with(struct request *rq, char *query, const char *header, const char *value)
{
	struct err e;

	memset(rq, 0, sizeof *rq);
	headers_init(&rq->in.headers);
	assert_int_equal(query_parse(&rq->args, query, &e), 0);
	if (header != NULL)
		assert_int_equal(evhttp_add_header(&rq->in.headers, header, value), 0);
}

static void test_if_match(void **state)
{
	static const struct {
		const char *given; /* NULL: no header */
		bool ok;
	} cases[] = {
		{ NULL, true },
		{ "\"v3\"", true },
		{ "*", true },
		{ "\"v1\", \"v3\"", true },
		{ "\"v1\" , \"v3\" ", true },
		{ "\"v4\"", false },
		{ "W/\"v3\"", false },
		{ "v3", false },
		{ "\"v33\"", false },
		{ "\"v\"", false },
		{ "", false },
		{ ",,", false },
		{ "\"", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (unsigned quoted = 0; quoted < 2; quoted++) {
			struct request rq;
			struct err e;
			int rc;

			request_with(&rq, NULL, cases[i].given != NULL ? "If-Match" : NULL, cases[i].given);
			rc = request_if_match(&rq, quoted != 0 ? "\"v3\"" : "v3", &e);
			if ((rc == 0) != cases[i].ok || (rc != 0 && e.code != ERR_PRECONDITION_FAILED))
				fail_msg("If-Match: %s", cases[i].given);
			request_fini(&rq);
		}
}

static void test_page(void **state)
{
	static const struct {
		const char *query;
		int rc;
		unsigned limit;
		const char *after;
	} cases[] = {
		{ "", 0, 50, "" },
		{ "limit=1", 0, 1, "" },
		{ "limit=200&cursor=map_1", 0, 200, "map_1" },
		{ "limit=0", -1, 0, NULL },
		{ "limit=201", -1, 0, NULL },
		{ "limit=-1", -1, 0, NULL },
		{ "limit=1x", -1, 0, NULL },
		{ "limit=", -1, 0, NULL },
		{ "limit=99999999999999999999", -1, 0, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char query[64];
		struct request rq;
		struct page page;
		struct err e;

		strcpy(query, cases[i].query);
		request_with(&rq, query, NULL, NULL);
		if (request_page(&rq, &page, &e) != cases[i].rc)
			fail_msg("%s", cases[i].query);
		if (cases[i].rc == 0) {
			assert_int_equal(page.limit, cases[i].limit);
			assert_string_equal(page.after, cases[i].after);
		} else {
			assert_int_equal(e.code, ERR_VALIDATION);
			assert_string_equal(e.field, "limit");
		}
		request_fini(&rq);
	}
}

static void test_long_cursor_is_refused(void **state)
{
	char query[512] = "cursor=";
	struct request rq;
	struct page page;
	struct err e;

	(void)state;
	memset(query + 7, 'x', 300);
	request_with(&rq, query, NULL, NULL);
	assert_int_equal(request_page(&rq, &page, &e), -1);
	assert_string_equal(e.field, "cursor");
	request_fini(&rq);
}

static const struct schema_field filter_fields[] = {
	{ .name = "node", .type = SCHEMA_STRING },
	{ .name = "port", .type = SCHEMA_INT, .min = 1, .max = 65535 },
	{ .name = "active", .type = SCHEMA_BOOL },
	{ .name = "load", .type = SCHEMA_NUMBER, .max = 1 },
};
static const struct schema filter = { .fields = filter_fields, .n = ARRAY_LEN(filter_fields) };

static void test_query_against_its_row(void **state)
{
	static const struct route with = { .method = "GET", .path = "/a", .query = &filter };
	static const struct route without = { .method = "GET", .path = "/a" };
	static const struct {
		const struct route *route;
		const char *query;
		const char *wrong; /* field of the one error, or NULL */
	} cases[] = {
		{ &without, "", NULL },
		{ &without, "limit=5&cursor=a&api_key=k", NULL },
		{ &without, "node=a", "node" },
		{ &with, "node=a&port=80&active=true&load=0.5&limit=1", NULL },
		{ &with, "port=0", "port" },
		{ &with, "port=eighty", "port" },
		{ &with, "active=perhaps", "active" },
		{ &with, "load=much", "load" },
		{ &with, "load=2", "load" },
		{ &with, "nodes=a", "nodes" },
	};
	struct err_list errs;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct query_args args;
		char query[64];
		struct err e;

		strcpy(query, cases[i].query);
		errs.n = errs.dropped = 0;
		assert_int_equal(query_parse(&args, query, &e), 0);
		input_check_query(cases[i].route, &args, &errs);
		if (errs.n != (cases[i].wrong != NULL) ||
			(errs.n == 1 && strcmp(errs.items[0].field, cases[i].wrong) != 0))
			fail_msg("%s", cases[i].query);
	}
}

static void test_headers_cannot_be_split(void **state)
{
	struct reply rp;

	(void)state;
	reply_init(&rp, (struct buf){ 0 });
	reply_header(&rp, "Location", "/a\r\nSet-Cookie: x=1");
	reply_header(&rp, "Location", "/a\r\n folded");
	reply_header(&rp, "X\nY", "a");
	assert_null(reply_header_get(&rp, "Location"));
	reply_header(&rp, "Location", "/a");
	assert_string_equal(reply_header_get(&rp, "location"), "/a");
	reply_etag(&rp, 7);
	assert_string_equal(reply_header_get(&rp, "ETag"), "\"v7\"");
	reply_fini(&rp);
	buf_free(&rp.body);
}

static void test_last_answer_counts(void **state)
{
	struct reply rp;

	(void)state;
	reply_init(&rp, (struct buf){ 0 });
	reply_json(&rp, 200, json_pack("{s:s}", "a", "long text that goes away"));
	reply_text(&rp, 201, "text/plain", "b", 1);
	assert_int_equal(rp.status, 201);
	assert_string_equal(buf_cstr(&rp.body), "b");
	reply_json(&rp, 200, json_pack("[f, f]", 0.8, 1e-7));
	assert_string_equal(buf_cstr(&rp.body), "[0.8,1e-7]");
	reply_list(&rp, json_array(), NULL);
	assert_string_equal(buf_cstr(&rp.body), "{\"items\":[],\"next_cursor\":null}");
	reply_list(&rp, json_array(), "x");
	assert_string_equal(buf_cstr(&rp.body), "{\"items\":[],\"next_cursor\":\"x\"}");
	reply_empty(&rp, 204);
	assert_int_equal(rp.body.len, 0);
	assert_string_equal(rp.content_type, "");
	reply_fini(&rp);
	buf_free(&rp.body);
}

static void test_tokens(void **state)
{
	(void)state;
	assert_true(headers_has_token("close", "close"));
	assert_true(headers_has_token("keep-alive, Close", "close"));
	assert_true(headers_has_token("\tclose ,x", "close"));
	assert_false(headers_has_token("closed", "close"));
	assert_false(headers_has_token("not-close", "close"));
	assert_false(headers_has_token("", "close"));
	assert_false(headers_has_token(NULL, "close"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_if_match),
		cmocka_unit_test(test_page),
		cmocka_unit_test(test_long_cursor_is_refused),
		cmocka_unit_test(test_query_against_its_row),
		cmocka_unit_test(test_headers_cannot_be_split),
		cmocka_unit_test(test_last_answer_counts),
		cmocka_unit_test(test_tokens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
