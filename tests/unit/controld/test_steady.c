/* steady: which pages are in doubt when something was not seen on any, and whether they are what they were. */
#include "controld/panel/steady.h"

#include "common/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGES_MAX 6
#define IDS_MAX   8

static const struct panel_list list = { .name = "servers", .kind = PANEL_SERVER, .kinds = BIT(PANEL_SERVER) };

/* Numbers of each page; 0 ends one, a page that begins with -1 ends them. */
struct given {
	const char *what;
	int64_t pages[PAGES_MAX][IDS_MAX];
	int64_t unseen[IDS_MAX];
	const char *doubt; /* 'x' for each page in doubt */
};

static const struct given cases[] = {
	{ "nothing is missing", { { 1, 2 }, { 3, 4 }, { -1 } }, { 0 }, ".." },
	{ "inside a page: gone", { { 1, 3 }, { 4, 6 }, { -1 } }, { 2, 5 }, ".." },
	{ "before the first and behind the last: gone", { { 5, 6 }, { 7, 8 }, { -1 } }, { 2, 9 }, ".." },
	{ "between two pages", { { 1, 2 }, { 4, 5 }, { 6, 7 }, { -1 } }, { 3 }, "xx." },
	{ "between others", { { 1, 2 }, { 3, 4 }, { 8, 9 }, { -1 } }, { 5, 6 }, ".xx" },
	{ "at two edges", { { 1, 2 }, { 4, 5 }, { 7, 8 }, { -1 } }, { 3, 6 }, "xxx" },
	{ "one page only", { { 1, 2 }, { -1 } }, { 3 }, "." },
	{ "an empty page", { { 1, 2 }, { 0 }, { -1 } }, { 3 }, "xx" },
	{ "an empty page, and one before it", { { 2, 3 }, { 0 }, { -1 } }, { 1 }, ".." },
	{ "another order", { { 9, 8 }, { 6, 5 }, { -1 } }, { 7 }, "xx" },
	{ "another order, nothing missing", { { 9, 8 }, { 6, 5 }, { -1 } }, { 0 }, ".." },
	{ "one twice", { { 1, 2 }, { 2, 3 }, { -1 } }, { 5 }, "xx" },
};

static void make(struct walk *w, const struct given *g)
{
	struct err e;

	*w = (struct walk){ .all = calloc(PAGES_MAX, sizeof *w->all), .room = PAGES_MAX };
	assert_non_null(w->all);
	while (g->pages[w->n][0] != -1) {
		struct walk_page *p = &w->all[w->n];

		*p = (struct walk_page){ .list = &list, .number = (int64_t)w->n + 1 };
		for (size_t k = 0; g->pages[w->n][k] != 0; k++)
			assert_int_equal(mirror_ids_add(&p->own, g->pages[w->n][k], &e), 0);
		w->n++;
	}
}

static void pages_in_doubt(void **state)
{
	int failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct mirror_ids unseen = { .n = 0 };
		bool doubt[PAGES_MAX] = { false };
		char said[PAGES_MAX + 1] = "";
		struct walk w;
		struct err e;
		size_t n, counted = 0;

		make(&w, &cases[i]);
		for (size_t k = 0; cases[i].unseen[k] != 0; k++)
			assert_int_equal(mirror_ids_add(&unseen, cases[i].unseen[k], &e), 0);
		assert_int_equal(steady_group(&w, 0), w.n);
		n = steady_doubts(&w, 0, w.n, &unseen, doubt);
		for (size_t k = 0; k < w.n; k++) {
			said[k] = doubt[k] ? 'x' : '.';
			counted += doubt[k];
		}
		if (strcmp(said, cases[i].doubt) != 0 || n != counted) {
			print_error("%s: %s, wanted %s\n", cases[i].what, said, cases[i].doubt);
			failed++;
		}
		mirror_ids_fini(&unseen);
		walk_fini(&w);
	}
	assert_int_equal(failed, 0);
}

static bool same(int64_t total, int64_t pages, const int64_t *ids)
{
	static const struct given before = { "", { { 1, 2, 3 }, { -1 } }, { 0 }, "" };
	struct panel_page now = { .total = total, .pages = pages };
	struct walk w;
	bool yes;

	make(&w, &before);
	w.all[0].total = 7;
	w.all[0].pages = 3;
	for (size_t k = 0; ids[k] != 0; k++) {
		struct panel_object *o = panel_page_add(&now, PANEL_SERVER);

		assert_non_null(o);
		o->id = ids[k];
		assert_non_null(panel_page_add(&now, PANEL_DATABASE)); /* what hangs on it says nothing */
	}
	yes = steady_same(&w.all[0], &now);
	panel_page_fini(&now);
	walk_fini(&w);
	return yes;
}

static void a_page_is_what_it_was(void **state)
{
	(void)state;
	assert_true(same(7, 3, (const int64_t[]){ 1, 2, 3, 0 }));
	assert_false(same(6, 3, (const int64_t[]){ 1, 2, 3, 0 }));
	assert_false(same(7, 2, (const int64_t[]){ 1, 2, 3, 0 }));
	assert_false(same(7, 3, (const int64_t[]){ 1, 2, 4, 0 }));
	assert_false(same(7, 3, (const int64_t[]){ 1, 2, 0 }));
	assert_false(same(7, 3, (const int64_t[]){ 1, 2, 3, 4, 0 }));
	assert_false(same(7, 3, (const int64_t[]){ 2, 1, 3, 0 }));
	assert_false(same(7, 3, (const int64_t[]){ 0 }));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(pages_in_doubt), cmocka_unit_test(a_page_is_what_it_was) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
