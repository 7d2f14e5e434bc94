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
	strcat(arg, hit->exact ? "! " : " ");
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
	static const struct {
		const char *what, *text, *kind, *without, *want;
	} cases[] = {
		{ "whole words first, then beginnings; by age", "web", "", "", "m1! c1! u1! m2 " },
		{ "capitals do not matter", "WEB", "", "", "m1! c1! u1! m2 " },
		{ "a beginning", "webh", "", "", "m2 " },
		{ "every word must be there", "web 10.0", "", "", "m1! m2 " },
		{ "in any order", "front web", "", "", "m1 " },
		{ "one that nothing has", "web nothing", "", "", "" },
		{ "the last letter", "zz", "", "", "m3 " },
		{ "more of it than there is", "zzzz", "", "", "" },
		{ "one kind", "web", "mapping", "", "m1! m2 " },
		{ "all but one kind", "web", "", "user", "m1! c1! m2 " },
		{ "the id", "m1", "", "", "m1! " },
		{ "no words", "-- ;", "", "", "" },
		{ "operators are words", "web OR nothing", "", "", "" },
		{ "quotes and operators mean nothing", "\"web\" * ' ) -- :* & ! | <->", "", "", "m1! c1! u1! m2 " },
		{ "columns neither", "words:web", "", "", "" },
		{ "nor what stands for anything", "%eb _eb", "", "", "" },
		{ "marks of the index are no words", "=tred", "", "", "" },
		{ "nor is their text", "tred", "", "", "" },
		{ "lines and tabs divide", "web\n\tfrontend", "", "", "m1! " },
		{ "longer than a beginning that is kept", "abcdefghijklmnopqr", "", "", "m4 " },
		{ "and different behind it", "abcdefghijklmnopqx", "", "", "" },
		{ "letters beyond ASCII", "m\xc3\xbcl", "", "", "m4 " },
		{ "a fifth word is not looked at", "web 10 0 1 nothing", "", "", "m1! m2 " },
	};

	(void)state;
	put("mapping", "m1", "red", "Web frontend", "10.0.0.1 tcp");
	put("mapping", "m2", "red", "webhook", "10.0.0.2 tcp");
	put("mapping", "m3", "red", "zzz", "udp");
	put("client", "c1", "red", "web", "box");
	put("user", "u1", "red", "web@example.com", "Ann");
	put("mapping", "m4", "red", "m\xc3\xbcller", "abcdefghijklmnopqrstu");
	put("mapping", "m9", "blue", "web", "");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct search_query q = find(cases[i].text);

		print_message("%s\n", cases[i].what);
		q.kind = cases[i].kind;
		q.without = cases[i].without;
		expect(&q, cases[i].want);
	}
}

static void the_wall(void **state)
{
	struct search_query q = find("web");

	(void)state;
	put("mapping", "m1", "red", "web", "");
	put("mapping", "m2", "red2", "web", "");
	put("mapping", "m3", "blue", "web =tred", "");
	put("mapping", "m4", "re.d", "web", ""); /* the same mark as re_d */
	put("mapping", "m5", "re_d", "web", "");
	expect(&q, "m1! ");
	q.tenant_id = "re_d";
	expect(&q, "m5! ");
	q.tenant_id = "re";
	expect(&q, "");
	q.tenant_id = "";
	expect(&q, "");
}

#define OBJECTS 2500 /* more than PostgreSQL looks at before it asks its index */

static int work_put_many(struct db *tx, void *arg, struct err *e)
{
	(void)arg;
	for (unsigned i = 0; i < OBJECTS; i++) {
		char id[16], text[64];
		const char *const texts[] = { text, NULL };
		const struct search_object o = { "mapping", id, "red", i % 3 == 0 ? "web" : "website", texts };

		str_fmt(id, sizeof id, "m%05u", i);
		str_fmt(text, sizeof text, "%s customer%u", i >= OBJECTS - 100 ? "late" : "early", i);
		if (search_put(tx, &o, e) != 0)
			return -1;
	}
	return 0;
}

struct seen {
	unsigned n, exact, later;
	bool rises;
	char last[16];
	struct search_place place;
};

static int on_seen(const struct search_hit *hit, void *arg)
{
	struct seen *s = arg;

	s->n++;
	s->exact += hit->exact;
	s->rises = s->rises && (strcmp(hit->id, s->last) > 0 || (s->n > 1 && !hit->exact && !s->place.beginnings));
	str_copy(s->last, sizeof s->last, hit->id);
	s->place = hit->place;
	return 0;
}

/* All pages of a query: each object once, in order, however many have the word. */
static struct seen all_pages(const char *text, unsigned limit)
{
	struct seen s = { .rises = true };
	struct search_query q = find(text);
	unsigned before;
	struct db *db;
	struct err e;

	q.limit = limit;
	do {
		char place[SEARCH_PLACE_SIZE];

		before = s.n;
		search_place_print(place, &s.place);
		assert_int_equal(search_place_parse(&q.after, place), 0);
		TEST_STORE_MUST(store_read_begin(store.store, &db, &e), e);
		TEST_STORE_MUST(search_find(db, &q, on_seen, &s, &e), e);
		store_read_end(db);
		assert_true(s.n - before <= limit);
	} while (s.n > before);
	return s;
}

static void pages(void **state)
{
	static const struct {
		const char *text;
		unsigned n, exact;
	} cases[] = {
		{ "web", OBJECTS, OBJECTS / 3 + 1 },
		{ "customer", OBJECTS, 0 },
		{ "late", 100, 100 },
		{ "lat", 100, 0 },
		{ "customer2499", 1, 1 },
		{ "customer249", 11, 1 },
		{ "late web", 100, 34 },
		{ "early late", 0, 0 },
	};
	struct err e;

	(void)state;
	TEST_STORE_MUST(store_write(store.store, STORE_OPERATIONAL, work_put_many, NULL, &e), e);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (unsigned limit = 7; limit < 1000; limit *= 9) {
			const struct seen s = all_pages(cases[i].text, limit);

			print_message("%s by %u\n", cases[i].text, limit);
			assert_int_equal(s.n, cases[i].n);
			assert_int_equal(s.exact, cases[i].exact);
			assert_true(s.rises);
		}
}

static void prefixes(void **state)
{
	static const struct {
		const char *of, *want;
	} cases[] = {
		{ "", "%" },
		{ "Web", "web%" },
		{ "50%_!", "50!%!_!!%" },
		{ "abcdefgh", "abcde%" }, /* what there is room for */
		{ "abcd%", "abcd!%%" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char pattern[8], wide[32];

		search_prefix(wide, sizeof wide, cases[i].of);
		search_prefix(pattern, sizeof pattern, cases[i].of);
		assert_string_equal(i < 3 ? wide : pattern, cases[i].want);
	}
}

static void places(void **state)
{
	static const char *const bad[] = { "", "w", "x1", "w-1", "w1x", "b99999999999999999999", "1" };
	struct search_place p;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(search_place_parse(&p, bad[i]), -1);
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
		TEST(the_wall),
		TEST(pages),
		cmocka_unit_test(prefixes),
		cmocka_unit_test(places),
		TEST(what_changes),
		TEST(ends_of_ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
