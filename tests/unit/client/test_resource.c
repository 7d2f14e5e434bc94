#include "client/resource/resource.h"

#include "client/api/path.h"
#include "client/resource/named.h"
#include "common/base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_rows_are_whole(void **state)
{
	(void)state;
	for (const struct resource *r = resource_table; r->name != NULL; r++) {
		if (r->plural == NULL || r->path == NULL || r->verbs == 0 || r->columns == NULL || r->id == NULL ||
			r->summary == NULL)
			fail_msg("%s is not whole", r->name);
		if (r != resource_table && strcmp(r[-1].name, r->name) >= 0)
			fail_msg("%s is out of order", r->name);
		assert_ptr_equal(resource_find(r->name), r);
		assert_ptr_equal(resource_find(r->plural), r);
	}
	assert_null(resource_find("frob"));
}

static const struct {
	const char *what, *name, *path;
	unsigned verbs;
} cases[] = {
	{ "plural with s", "thing", "/api/v1/things", RESOURCE_LIST | RESOURCE_CREATE | RESOURCE_GET },
	{ "the plural itself", "things", "/api/v1/things", RESOURCE_LIST | RESOURCE_CREATE | RESOURCE_GET },
	{ "plural with es", "box", "/api/v1/boxes", RESOURCE_LIST },
	{ "only single ones", "job", "/api/v1/jobs", RESOURCE_DELETE },
	{ "of the API without a version", "hook", "/api/hooks", RESOURCE_LIST | RESOURCE_DELETE },
	{ "with a version before it", "box", "/api/v1/boxes", RESOURCE_LIST },
	{ "not there", "frob", NULL, 0 },
	{ "no name", "", NULL, 0 },
	{ "a path", "../things", NULL, 0 },
	{ "too long",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		NULL, 0 },
};

static void test_what_only_the_api_knows(void **state)
{
	json_t *doc = json_loads(
		"{\"paths\":{\"/api/v1/things\":{\"get\":{},\"post\":{}},\"/api/v1/things/{id}\":{\"get\":{}},"
		"\"/api/hooks\":{\"get\":{}},\"/api/hooks/{id}\":{\"delete\":{}},\"/api/boxes\":{\"post\":{}},"
		"\"/api/v1/boxes\":{\"get\":{}},\"/api/v1/jobs/{id}\":{\"delete\":{}}}}",
		0, NULL);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct resource_found found;
		int rc = resource_discover(&found, doc, cases[i].name);

		if (rc != (cases[i].path == NULL ? -1 : 0))
			fail_msg("%s: %d", cases[i].what, rc);
		if (rc == 0) {
			assert_string_equal(found.resource.path, cases[i].path);
			assert_int_equal(found.resource.verbs, cases[i].verbs);
		}
	}
	json_decref(doc);
}

static void test_ids_stay_in_their_segment(void **state)
{
	static const struct {
		const char *id, *want;
	} ids[] = {
		{ "map_1", "/x/map_1" },
		{ "a/b", "/x/a%2Fb" },
		{ "a?b=c#d", "/x/a%3Fb%3Dc%23d" },
		{ "..", "/x/%2E%2E" },
		{ ".", "/x/%2E" },
		{ "...", "/x/..." },
		{ "\xc3\xa4 ", "/x/%C3%A4%20" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		struct buf b;

		buf_init(&b, 100);
		buf_printf(&b, "/x");
		path_segment(&b, ids[i].id);
		assert_string_equal(buf_cstr(&b), ids[i].want);
		buf_reset(&b);
		buf_printf(&b, "/x");
		path_query(&b, "a", "1&2");
		path_query(&b, "b", "");
		assert_string_equal(buf_cstr(&b), "/x?a=1%262&b=");
		buf_free(&b);
	}
}

static const struct {
	const char *word;
	bool is;
} words[] = {
	{ "map_01m80r1djz1f2b3c81mv", true },
	{ "17", true },
	{ "key_01m80r1djz1f2b3c81mv", true },
	{ "", false },
	{ "web", false },
	{ "map_web", false },
	{ "map_01m80r1djz1f2b3c81m", false },      /* a letter short */
	{ "map_01m80r1djz1f2b3c81mvx", false },    /* one too many */
	{ "map_01m80r1djz1f2b3C81mv", false },     /* ids have no capitals */
	{ "mapping_01m80r1djz1f2b3c81mv", false }, /* no kind is that long */
	{ "17a", false },
	{ "-17", false },
};

static void test_what_is_an_id(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (named_is_id(words[i].word) != words[i].is)
			fail_msg("'%s' is taken for %s", words[i].word, words[i].is ? "a name" : "an id");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_are_whole),
		cmocka_unit_test(test_what_only_the_api_knows),
		cmocka_unit_test(test_what_is_an_id),
		cmocka_unit_test(test_ids_stay_in_their_segment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
