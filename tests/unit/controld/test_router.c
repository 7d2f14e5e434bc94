#include "controld/rest/router.h"

#include "common/base/err.h"
#include "controld/rest/query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int handle(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	(void)feature;
	(void)rq;
	(void)rp;
	(void)e;
	return 0;
}

#define ROW(m, p)                                             \
	{                                                     \
		.method = (m), .path = (p), .handler = handle \
	}

static const struct route rows[] = {
	ROW("GET", "/"),
	ROW("GET", "/vms"),
	ROW("POST", "/vms"),
	ROW("GET", "/vms/{id}"),
	ROW("DELETE", "/vms/{id}"),
	ROW("GET", "/vms/new"),
	ROW("GET", "/vms/{id}/disks/{disk}"),
	ROW("GET", "/vms/new/form"),
	ROW("GET", "/{tenant}/vms"),
};

static const struct {
	const char *what, *method, *path;
	enum router_result result;
	const char *template; /* NULL: none */
	const char *capture;  /* of the first, or NULL */
} cases[] = {
	{ "root", "GET", "/", ROUTER_FOUND, "/", NULL },
	{ "collection", "GET", "/vms", ROUTER_FOUND, "/vms", NULL },
	{ "trailing slash", "GET", "/vms/", ROUTER_FOUND, "/vms", NULL },
	{ "two trailing slashes", "GET", "/vms//", ROUTER_NO_PATH, NULL, NULL },
	{ "empty segment", "GET", "//vms", ROUTER_NO_PATH, NULL, NULL },
	{ "other method", "POST", "/vms", ROUTER_FOUND, "/vms", NULL },
	{ "head is get", "HEAD", "/vms", ROUTER_FOUND, "/vms", NULL },
	{ "capture", "GET", "/vms/a-1", ROUTER_FOUND, "/vms/{id}", "a-1" },
	{ "capture with slash behind", "DELETE", "/vms/a-1/", ROUTER_FOUND, "/vms/{id}", "a-1" },
	{ "literal wins", "GET", "/vms/new", ROUTER_FOUND, "/vms/new", NULL },
	{ "literal without the method", "DELETE", "/vms/new", ROUTER_NO_METHOD, NULL, NULL },
	{ "back from a literal to the capture", "GET", "/vms/new/disks/1", ROUTER_FOUND, "/vms/{id}/disks/{disk}",
		"new" },
	{ "capture at the start", "GET", "/acme/vms", ROUTER_FOUND, "/{tenant}/vms", "acme" },
	{ "unknown", "GET", "/nope", ROUTER_NO_PATH, NULL, NULL },
	{ "too long", "GET", "/vms/a/b", ROUTER_NO_PATH, NULL, NULL },
	{ "inner node", "GET", "/vms/a/disks", ROUTER_NO_PATH, NULL, NULL },
	{ "too deep", "GET", "/1/2/3/4/5/6/7/8/9/10/11/12/13", ROUTER_NO_PATH, NULL, NULL },
	{ "method not allowed", "PUT", "/vms", ROUTER_NO_METHOD, NULL, NULL },
	{ "encoded capture", "GET", "/vms/a%20b", ROUTER_FOUND, "/vms/{id}", "a b" },
	{ "encoded slash stays inside", "GET", "/vms/a%2Fb", ROUTER_FOUND, "/vms/{id}", "a/b" },
	{ "plus is a plus", "GET", "/vms/a+b", ROUTER_FOUND, "/vms/{id}", "a+b" },
	{ "encoded literal", "GET", "/%76ms", ROUTER_FOUND, "/vms", NULL },
	{ "UTF-8", "GET", "/vms/%C3%A4", ROUTER_FOUND, "/vms/{id}", "\xc3\xa4" },
	{ "not UTF-8", "GET", "/vms/%ff", ROUTER_BAD_PATH, NULL, NULL },
	{ "encoded NUL", "GET", "/vms/a%00", ROUTER_BAD_PATH, NULL, NULL },
	{ "broken escape", "GET", "/vms/%4", ROUTER_BAD_PATH, NULL, NULL },
	{ "dots mean nothing", "GET", "/vms/../vms", ROUTER_NO_PATH, NULL, NULL },
	{ "case matters", "GET", "/VMS", ROUTER_NO_PATH, NULL, NULL },
	{ "no slash", "GET", "vms", ROUTER_NO_PATH, NULL, NULL },
	{ "empty", "GET", "", ROUTER_NO_PATH, NULL, NULL },
};

static struct router *router_with_rows(void)
{
	struct router *r;
	struct err e;

	assert_int_equal(router_new(&r, &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (router_add(r, &rows[i], NULL, &e) != 0)
			fail_msg("%s: %s", rows[i].path, e.msg);
	return r;
}

static void test_table(void **state)
{
	struct router *r = router_with_rows();
	size_t failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char path[64];
		struct router_match m;
		enum router_result result;
		const char *template;

		strcpy(path, cases[i].path);
		result = router_find(r, cases[i].method, path, &m);
		template = m.entry != NULL ? m.entry->route->path : "none";
		if (result == cases[i].result &&
			strcmp(template, cases[i].template != NULL ? cases[i].template : "none") == 0 &&
			(cases[i].capture == NULL || strcmp(m.values[0], cases[i].capture) == 0))
			continue;
		print_error("%s: result %d, row %s\n", cases[i].what, (int)result, template);
		failed++;
	}
	router_free(r);
	assert_int_equal(failed, 0);
}

static void test_two_captures_and_allow(void **state)
{
	struct router *r = router_with_rows();
	char disks[] = "/vms/7/disks/sda", vms[] = "/vms/7";
	struct router_match m;

	(void)state;
	assert_int_equal(router_find(r, "GET", disks, &m), ROUTER_FOUND);
	assert_int_equal(m.entry->n_captures, 2);
	assert_string_equal(m.entry->captures[1], "disk");
	assert_string_equal(m.values[0], "7");
	assert_string_equal(m.values[1], "sda");
	assert_int_equal(router_find(r, "POST", vms, &m), ROUTER_NO_METHOD);
	assert_string_equal(m.allow, "GET, HEAD, DELETE, OPTIONS");
	router_free(r);
}

static void test_refuses_what_is_there_or_malformed(void **state)
{
	static const struct route bad[] = {
		ROW("GET", "/vms"),
		ROW("GET", "/vms/{other}"),
		ROW("GET", "vms"),
		ROW("GET", "/a//b"),
		ROW("GET", "/a/{}"),
		ROW("GET", "/a/{b"),
		ROW("GET", "/a/b}"),
		ROW("GET", "/{a}/{b}/{c}/{d}/{e}"),
		ROW("GET", "/a/{a_name_that_is_much_too_long_to_keep}"),
	};
	struct router *r = router_with_rows();
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (router_add(r, &bad[i], NULL, &e) == 0)
			fail_msg("%s %s was taken", bad[i].method, bad[i].path);
	assert_int_equal(router_count(r), ARRAY_LEN(rows));
	router_free(r);
	router_free(NULL);
}

static void test_queries(void **state)
{
	static const struct {
		const char *text;
		int rc;
		const char *a; /* value of "a", or NULL */
	} queries[] = {
		{ "", 0, NULL },
		{ "a=1&b=2", 0, "1" },
		{ "a", 0, "" },
		{ "a=", 0, "" },
		{ "a=b=c", 0, "b=c" },
		{ "&&a=1&", 0, "1" },
		{ "a=x+y%2B", 0, "x y+" },
		{ "%61=1", 0, "1" },
		{ "a=%e2%82%ac", 0, "\xe2\x82\xac" },
		{ "a=1&a=2", -1, NULL },
		{ "a=1&%61=2", -1, NULL },
		{ "a=%", -1, NULL },
		{ "a=%zz", -1, NULL },
		{ "a=%00", -1, NULL },
		{ "a=%ff", -1, NULL },
		{ "%ff=a", -1, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
		struct query_args args;
		char text[64];
		struct err e;
		const char *a;

		strcpy(text, queries[i].text);
		if (query_parse(&args, text, &e) != queries[i].rc)
			fail_msg("query '%s'", queries[i].text);
		if (queries[i].rc != 0)
			continue;
		a = query_get(&args, "a");
		if ((a == NULL) != (queries[i].a == NULL) || (a != NULL && strcmp(a, queries[i].a) != 0))
			fail_msg("query '%s': a is '%s'", queries[i].text, a != NULL ? a : "not there");
	}
}

static void test_query_has_a_limit(void **state)
{
	struct query_args args;
	char text[QUERY_ARGS_MAX * 8 + 16] = "";
	struct err e;
	size_t n = 0;

	(void)state;
	for (unsigned i = 0; i <= QUERY_ARGS_MAX; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, "p%u=1&", i);
	assert_int_equal(query_parse(&args, text, &e), -1);
	assert_int_equal(e.code, ERR_BAD_REQUEST);
	assert_int_equal(query_parse(&args, NULL, &e), 0);
	assert_int_equal(args.n, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_two_captures_and_allow),
		cmocka_unit_test(test_refuses_what_is_there_or_malformed),
		cmocka_unit_test(test_queries),
		cmocka_unit_test(test_query_has_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
