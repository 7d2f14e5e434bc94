#define _GNU_SOURCE
/* How many streams somebody has, and all have. */
#include "tests/unit/lib/alloc_fail.h"

#include "common/base/macros.h"
#include "common/base/str.h"
#include "controld/identity/identity.h"
#include "controld/rest/stream_shares.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_of_all_and_of_one(void **state)
{
	struct stream_shares s;

	(void)state;
	stream_shares_init(&s);
	assert_int_equal(stream_shares_take(&s, "a", 4, 2), STREAM_SHARE_TAKEN);
	assert_int_equal(stream_shares_take(&s, "a", 4, 2), STREAM_SHARE_TAKEN);
	assert_int_equal(stream_shares_take(&s, "a", 4, 2), STREAM_SHARE_OWN_FULL);
	assert_int_equal(stream_shares_take(&s, "b", 4, 2), STREAM_SHARE_TAKEN);
	assert_int_equal(stream_shares_take(&s, "c", 4, 2), STREAM_SHARE_TAKEN);
	assert_int_equal(stream_shares_take(&s, "d", 4, 2), STREAM_SHARE_ALL_FULL);
	assert_int_equal(s.n, 4);
	stream_shares_give_back(&s, "a");
	assert_int_equal(stream_shares_take(&s, "a", 4, 2), STREAM_SHARE_TAKEN);
	stream_shares_give_back(&s, "b");
	stream_shares_give_back(&s, "c");
	assert_int_equal(s.n, 2);
	assert_int_equal(map_count(&s.by_key), 1); /* nothing is kept of who has none */
	stream_shares_fini(&s);
}

static void test_without_memory(void **state)
{
	(void)state;
	ALLOC_FAIL_EACH(n)
	{
		struct stream_shares s;
		enum stream_share got;

		stream_shares_init(&s);
		alloc_fail_after(n);
		got = stream_shares_take(&s, "a", 4, 2);
		if (!alloc_fail_stop()) {
			assert_int_equal(got, STREAM_SHARE_TAKEN);
			stream_shares_fini(&s);
			break;
		}
		assert_int_equal(got, STREAM_SHARE_NO_MEMORY);
		assert_int_equal(s.n, 0);
		assert_int_equal(map_count(&s.by_key), 0);
		stream_shares_fini(&s);
	}
}

static void test_whose_share(void **state)
{
	static const struct {
		const char *user, *token, *want;
		bool api_key;
	} cases[] = {
		{ "usr_1", "ses_1", "usr_1", false },
		{ "usr_1", "key_1", "key_1", true },
		{ "", "tok_1", "tok_1", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct identity who = { .api_key = cases[i].api_key };
		char key[STREAM_SHARES_KEY_SIZE];

		assert_int_equal(str_copy(who.user_id, sizeof who.user_id, cases[i].user), 0);
		assert_int_equal(str_copy(who.token_id, sizeof who.token_id, cases[i].token), 0);
		stream_shares_key(key, &who);
		assert_string_equal(key, cases[i].want);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_of_all_and_of_one),
		cmocka_unit_test(test_without_memory),
		cmocka_unit_test(test_whose_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
