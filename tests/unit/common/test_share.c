#include "common/base/macros.h"
#include "common/base/share.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct {
	const char *what;
	uint64_t max, used, own, n;
	bool lets;
} cases[] = {
	{ "nothing is in use", 100, 0, 0, 1, true },
	{ "all of three quarters for one", 100, 74, 74, 1, true },
	{ "beyond them for who has them", 100, 75, 75, 1, false },
	{ "beyond them for who has little", 100, 75, 2, 1, true },
	{ "half of what is left", 100, 80, 10, 10, true },
	{ "more than half of what is left", 100, 80, 10, 11, false },
	{ "the last one for who has none", 100, 99, 0, 1, true },
	{ "the last one for who has one", 100, 99, 1, 1, false },
	{ "none is left", 100, 100, 0, 1, false },
	{ "more than there are are in use", 100, 130, 0, 1, false },
	{ "more than all at once", 100, 0, 0, 101, false },
	{ "no more at all", 0, 0, 0, 1, false },
};

static void who_may_have_more(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (share_lets(cases[i].max, cases[i].used, cases[i].own, cases[i].n) != cases[i].lets)
			fail_msg("%s", cases[i].what);
}

/* However many take all that they get, one who comes late finds some. */
static void a_late_one_finds_some(void **state)
{
	const uint64_t max = 10000;
	uint64_t used = 0, own;

	(void)state;
	for (unsigned greedy = 0; greedy < 8; greedy++) {
		for (own = 0; share_lets(max, used, own, 1); own++)
			used++;
		assert_true(own >= (max - used) / 2);
	}
	assert_true(share_lets(max, used, 0, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_may_have_more),
		cmocka_unit_test(a_late_one_finds_some),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
