#include "controld/rest/cors.h"

#include "common/base/macros.h"
#include "controld/rest/call.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct {
	const char *what, *list, *origin;
	bool allowed;
} cases[] = {
	{ "none listed", "", "https://a.example", false },
	{ "no list", NULL, "https://a.example", false },
	{ "listed", "https://a.example", "https://a.example", true },
	{ "second", "https://a.example, https://b.example", "https://b.example", true },
	{ "not listed", "https://a.example", "https://b.example", false },
	{ "prefix", "https://a.example", "https://a.example.evil", false },
	{ "shorter", "https://a.example", "https://a", false },
	{ "other scheme", "https://a.example", "http://a.example", false },
	{ "other port", "https://a.example", "https://a.example:8443", false },
	{ "all", "*", "https://a.example", true },
	{ "null origin", "https://a.example", "null", false },
	{ "empty origin", "https://a.example", "", false },
};

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (cors_allows(cases[i].list, cases[i].origin) != cases[i].allowed)
			fail_msg("%s", cases[i].what);
}

static void test_headers(void **state)
{
	struct reply rp;

	(void)state;
	reply_init(&rp, (struct buf){ 0 });
	cors_headers(&rp, "https://a.example", NULL, true);
	cors_headers(&rp, "https://a.example", "https://b.example", true);
	assert_null(reply_header_get(&rp, "Access-Control-Allow-Origin"));
	cors_headers(&rp, "https://a.example", "https://a.example", false);
	assert_string_equal(reply_header_get(&rp, "Access-Control-Allow-Origin"), "https://a.example");
	assert_string_equal(reply_header_get(&rp, "Vary"), "Origin");
	assert_null(reply_header_get(&rp, "Access-Control-Max-Age"));
	cors_headers(&rp, "https://a.example", "https://a.example", true);
	assert_string_equal(reply_header_get(&rp, "Access-Control-Max-Age"), "86400");
	reply_fini(&rp);
	buf_free(&rp.body);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
