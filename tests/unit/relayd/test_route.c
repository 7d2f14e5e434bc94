/* route_path and route_table: one spelling of a path; host, longest prefix, method, fields; against a table that looks at all. */
#include "common/http/http_reader.h"
#include "relayd/lb/lb_rand.h"
#include "relayd/route/route_path.h"
#include "relayd/route/route_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct http_span span(const char *s)
{
	return (struct http_span){ s, strlen(s) };
}

static void test_paths(void **state)
{
	static const struct {
		const char *path, *want; /* NULL: refused */
	} cases[] = {
		{ "/", "/" },
		{ "*", "*" },
		{ "/a/b", "/a/b" },
		{ "/%61%2D%7e", "/a-~" },
		{ "/%2f%3a%20", "/%2F%3A%20" },
		{ "/.", "/" },
		{ "/a/.", "/a/" },
		{ "/a/./b", "/a/b" },
		{ "/a/../b", "/b" },
		{ "/a/b/..", "/a/" },
		{ "/a/b/../../c/", "/c/" },
		{ "/a/%2e%2E/b", "/b" },
		{ "/a/.%2e/b", "/b" },
		{ "/a/..%2fb", "/a/..%2Fb" },
		{ "/...", "/..." },
		{ "/.a/..b", "/.a/..b" },
		{ "//a", "//a" },
		{ "//..", "/" },
		{ "/a//../b", "/a/b" },
		{ "/%25%34%31", "/%2541" },
		{ "/..", NULL },
		{ "/a/../..", NULL },
		{ "/%2e%2e/a", NULL },
		{ "/%00", NULL },
		{ "/%", NULL },
		{ "/%4", NULL },
		{ "/%4g", NULL },
		{ "/%u0041", NULL },
		{ "", NULL },
		{ "a", NULL },
		{ "**", NULL },
	};
	char out[40];
	size_t n;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const int rc = route_path_take(out, &n, span(cases[i].path));

		if (rc != (cases[i].want != NULL ? 0 : -1) ||
			(rc == 0 && (strcmp(out, cases[i].want) != 0 || n != strlen(out))))
			fail_msg("%s: %d %s", cases[i].path, rc, rc == 0 ? out : "");
	}
}

static void request(struct http_head *h, const char *bytes)
{
	struct http_reader r;
	struct http_piece piece;

	http_reader_init_request(&r, &http_limits_default);
	assert_int_equal(http_reader_next(&r, h, (const uint8_t *)bytes, strlen(bytes), &piece), HTTP_HEAD_IN);
}

#define TO(text) .to = (void *)(uintptr_t)(text)

static void test_which(void **state)
{
	static const struct route_match routes[] = {
		{ .host = "a.example", .path_prefix = "/", TO("a root") },
		{ .host = "a.example", .path_prefix = "/api", TO("a api") },
		{ .host = "a.example", .path_prefix = "/api/v2", TO("a v2") },
		{ .host = "a.example",
			.path_prefix = "/api/v2",
			.methods = 1 << HTTP_POST | 1 << HTTP_PUT,
			TO("a v2 write") },
		{ .host = "a.example",
			.path_prefix = "/api/v2",
			.n_fields = 1,
			.fields = { { "x-canary", "1" } },
			TO("a v2 canary") },
		{ .host = "a.example", .path_prefix = "/dir/", TO("a dir") },
		{ .host = "*.example", .path_prefix = "/", TO("below example") },
		{ .host = "*.b.example", .path_prefix = "/", .methods = 1 << HTTP_GET, TO("below b") },
		{ .host = "only.example", .path_prefix = "/x", TO("only x") },
		{ .host = "*",
			.path_prefix = "/",
			.n_fields = 1,
			.fields = { { "user-agent", NULL } },
			TO("any with agent") },
	};
	static const struct {
		const char *host, *path, *head, *want;
	} cases[] = {
		{ "a.example", "/", "", "a root" },
		{ "a.example", "/apix", "", "a root" },
		{ "a.example", "/api", "", "a api" },
		{ "a.example", "/api/", "", "a api" },
		{ "a.example", "/api/v1/x", "", "a api" },
		{ "a.example", "/api/v2", "", "a v2" },
		{ "a.example", "/api/v2/x", "POST", "a v2 write" },
		{ "a.example", "/api/v2/x", "X-Canary: 1\r\n", "a v2 canary" },
		{ "a.example", "/api/v2/x", "X-Canary: 2\r\n", "a v2" },
		{ "a.example", "/api/v20", "", "a api" },
		{ "a.example", "/dir", "", "a root" },
		{ "a.example", "/dir/", "", "a dir" },
		{ "a.example", "*", "", NULL },
		{ "c.example", "/", "", "below example" },
		{ "c.d.example", "/", "", "below example" },
		{ "x.b.example", "/", "", "below b" },
		{ "x.b.example", "/", "POST", NULL }, /* the longest wildcard decides alone */
		{ "example", "/", "", NULL },
		{ "only.example", "/x/y", "", "only x" },
		{ "only.example", "/y", "", NULL },
		{ "other", "/", "User-Agent: x\r\n", "any with agent" },
		{ "other", "/", "", NULL },
	};
	struct route_table *t;

	(void)state;
	assert_int_equal(route_table_new(&t, routes, ARRAY_LEN(routes)), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const bool post = strcmp(cases[i].head, "POST") == 0;
		struct http_head h;
		char bytes[200];
		const char *got;

		snprintf(bytes, sizeof bytes, "%s / HTTP/1.1\r\nHost: a\r\n%s\r\n", post ? "POST" : "GET",
			post ? "" : cases[i].head);
		request(&h, bytes);
		got = route_table_find(t, cases[i].host, span(cases[i].path), &h);
		if (got != cases[i].want && (got == NULL || cases[i].want == NULL || strcmp(got, cases[i].want) != 0))
			fail_msg("%s%s %s: %s, not %s", cases[i].host, cases[i].path, cases[i].head,
				got != NULL ? got : "-", cases[i].want != NULL ? cases[i].want : "-");
	}
	route_table_free(t);
}

static void test_empty(void **state)
{
	struct route_table *t;
	struct http_head h;

	(void)state;
	request(&h, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_int_equal(route_table_new(&t, NULL, 0), 0);
	assert_null(route_table_find(t, "a", span("/"), &h));
	route_table_free(t);
	route_table_free(NULL);
}

/* ---- against the longest prefix, found by looking at all ---- */

#define MANY 300

static size_t plain_prefix(char routes[][24], const char *path)
{
	size_t best = MANY, longest = 0;

	for (size_t i = 0; i < MANY; i++) {
		const size_t n = strlen(routes[i]);

		if (strncmp(routes[i], path, n) != 0 || (path[n] != '\0' && path[n] != '/' && routes[i][n - 1] != '/'))
			continue;
		if (n > longest) { /* the earlier one of two alike */
			best = i;
			longest = n;
		}
	}
	return best;
}

static void random_path(struct lb_rand *r, char *out)
{
	const uint32_t segments = 1 + lb_rand_below(r, 4);
	size_t n = 0;

	for (uint32_t i = 0; i < segments; i++) {
		out[n++] = '/';
		for (uint32_t k = lb_rand_below(r, 3); k > 0; k--)
			out[n++] = "a-b/0"[lb_rand_below(r, 3) * 2 % 5];
	}
	out[n] = '\0';
}

static void test_longest_prefix(void **state)
{
	static char routes[MANY][24];
	static struct route_match matches[MANY];
	struct route_table *t;
	struct http_head h;
	struct lb_rand r;
	char path[24];

	(void)state;
	request(&h, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	for (uint64_t seed = 1; seed <= 20; seed++) {
		lb_rand_init(&r, seed);
		for (size_t i = 0; i < MANY; i++) {
			random_path(&r, routes[i]);
			matches[i] = (struct route_match){ .host = "a", .path_prefix = routes[i], .to = routes[i] };
		}
		assert_int_equal(route_table_new(&t, matches, MANY), 0);
		for (unsigned i = 0; i < 1000; i++) {
			size_t want;

			random_path(&r, path);
			want = plain_prefix(routes, path);
			if (route_table_find(t, "a", span(path), &h) != (want < MANY ? routes[want] : NULL))
				fail_msg("seed %u, %s", (unsigned)seed, path);
		}
		route_table_free(t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_which),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_longest_prefix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
