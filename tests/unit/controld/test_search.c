/* The index of words: how text falls into words, what a prefix finds, order, pages, the wall, and what is dropped. */
#include "controld/store/search.h"
#include "tests/unit/lib/test_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct test_store store;

static int setup(void **state)
{
	(void)state;
	test_store_open(&store);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	test_store_close(&store);
	return 0;
}

static void words(void **state)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
		{ "", "" },
		{ " .- ", "" },
		{ "Web-01.example", "web 01 example" },
		{ "m\xc3\xbcller", "mc3bcller" },
		{ "abcdefghijklmnopqrstuvwxyz0123456789", "abcdefghijklmnopqrstuvwxyz01234" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *text = cases[i].text;
		char word[SEARCH_WORD_SIZE], got[256] = "";

		while (search_word(&text, word) > 0) {
			if (got[0] != '\0')
				strcat(got, " ");
			strcat(got, word);
		}
		assert_string_equal(got, cases[i].words);
	}
}

struct put {
	const char *kind, *id, *tenant, *title, *text;
};

static int work_put(struct db *tx, void *arg, struct err *e)
{
	const struct put *p = arg;
	const char *const texts[] = { p->text, NULL };
	const struct search_object o = { p->kind, p->id, p->tenant, p->title, texts };

	return p->title == NULL ? search_drop(tx, p->kind, p->id, e) : search_put(tx, &o, e);
}

static void put(const char *kind, const char *id, const char *tenant, const char *title, const char *text)
{
	struct put p = { kind, id, tenant, title, text };
	struct err e;

	TEST_STORE_MUST(store_write(store.store, STORE_OPERATIONAL, work_put, &p, &e), e);
}

static int on_hit(const struct search_hit *hit, void *arg)
{
	strcat(arg, hit->id);
	strcat(arg, hit->score > 0 ? "! " : " ");
	return 0;
}

static void expect(const struct search_query *q, const char *want)
{
	char got[1024] = "";
	struct db *db;
	struct err e;

	TEST_STORE_MUST(store_read_begin(store.store, &db, &e), e);
	TEST_STORE_MUST(search_find(db, q, on_hit, got, &e), e);
	store_read_end(db);
	assert_string_equal(got, want);
}

/* Of everything of tenant red, the first ten. */
static struct search_query find(const char *text)
{
	return (struct search_query){ .tenant_id = "red", .kind = "", .without = "", .text = text, .limit = 10 };
}

static void what_is_found(void **state)
{
	struct search_query q;

	(void)state;
	put("mapping", "m1", "red", "Web frontend", "10.0.0.1 tcp");
	put("mapping", "m2", "red", "webhook", "10.0.0.2 tcp");
	put("mapping", "m3", "red", "zzz", "udp");
	put("client", "c1", "red", "web", "box");
	put("user", "u1", "red", "web@example.com", "Ann");
	put("mapping", "m9", "blue", "web", "");
	q = find("web");
	expect(&q, "c1! m1! u1! m2 ");
	q = find("WEB");
	expect(&q, "c1! m1! u1! m2 ");
	q = find("webh");
	expect(&q, "m2 ");
	q = find("web 10.0");
	expect(&q, "m1! m2 ");
	q = find("front web");
	expect(&q, "m1 ");
	q = find("web nothing");
	expect(&q, "");
	q = find("zz");
	expect(&q, "m3 ");
	q = find("zzzz");
	expect(&q, "");
	q = find("zzz");
	expect(&q, "m3! ");
	q = find("--");
	expect(&q, "");
	q = find("web");
	q.kind = "mapping";
	expect(&q, "m1! m2 ");
	q = find("web");
	q.without = "user";
	expect(&q, "c1! m1! m2 ");
	q = find("web");
	q.limit = 2;
	expect(&q, "c1! m1! ");
	q = find("web");
	q.limit = 2;
	q.skip = 2;
	expect(&q, "u1! m2 ");
	q = find("web");
	q.tenant_id = "blue";
	expect(&q, "m9! ");
	q = find("m1");
	expect(&q, "m1! ");
}

static void what_changes(void **state)
{
	struct search_query q;

	(void)state;
	put("mapping", "m1", "red", "old name", "");
	put("mapping", "m1", "red", "new name", "");
	q = find("old");
	expect(&q, "");
	q = find("new");
	expect(&q, "m1! ");
	put("mapping", "m1", "red", NULL, "");
	q = find("new");
	expect(&q, "");
	q = find("m1");
	expect(&q, "");
}

static void ends_of_ranges(void **state)
{
	struct search_query q;

	(void)state;
	put("mapping", "x1", "red", "a9 azz b0 zz", "");
	put("mapping", "x2", "red", "aa b1 zzz", "");
	q = find("a9");
	expect(&q, "x1! ");
	q = find("az");
	expect(&q, "x1 ");
	q = find("a");
	expect(&q, "x1 x2 ");
	q = find("z");
	expect(&q, "x1 x2 ");
	q = find("zzz");
	expect(&q, "x2! ");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words),
		TEST(what_is_found),
		TEST(what_changes),
		TEST(ends_of_ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
