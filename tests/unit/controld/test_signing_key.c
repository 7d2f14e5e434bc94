#include "controld/identity/signing_key.h"

#include "common/crypto/jwt.h"
#include "tests/unit/lib/test_store.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { TOKEN_MS = 3600 * 1000, HOUR_MS = 3600 * 1000 };
static const int64_t t0 = INT64_C(1800000000000);

/* ---- terms ------------------------------------------------------------------------------------------------------- */

static void the_newest_that_has_begun_signs(void **state)
{
	const struct signing_term terms[] = { { 100, 200, 300 }, { 200, 300, 400 }, { 50, 100, 200 } };

	(void)state;
	assert_int_equal(signing_term_current(terms, 3, 49), -1);
	assert_int_equal(signing_term_current(terms, 3, 50), 2);
	assert_int_equal(signing_term_current(terms, 3, 199), 0);
	assert_int_equal(signing_term_current(terms, 3, 200), 1);
	assert_int_equal(signing_term_current(terms, 3, 9999), 1);
	assert_int_equal(signing_term_current(NULL, 0, 1), -1);
}

static void the_next_is_made_in_time(void **state)
{
	struct signing_term first, second, third;

	(void)state;
	assert_true(signing_term_due(NULL, 0, t0, TOKEN_MS, &first));
	assert_int_equal(first.from_ms, t0);
	assert_true(first.drop_ms >= first.until_ms + TOKEN_MS);
	assert_false(signing_term_due(&first, 1, first.until_ms - SIGNING_KEY_LEAD_MS - 1, TOKEN_MS, &second));
	assert_true(signing_term_due(&first, 1, first.until_ms - SIGNING_KEY_LEAD_MS, TOKEN_MS, &second));
	assert_int_equal(second.from_ms, first.until_ms);
	/* a controld that was off for long starts with a key that signs at once */
	assert_true(signing_term_due(&first, 1, first.until_ms + 7, TOKEN_MS, &third));
	assert_int_equal(third.from_ms, first.until_ms + 7);
}

/* The clock ran ahead for a while: what was made then keeps nobody from signing now, and each later key is made in time. */
static void a_clock_that_was_wrong(void **state)
{
	const int64_t ahead = t0 + INT64_C(10) * 365 * 86400 * 1000;
	struct signing_term terms[3];

	(void)state;
	assert_true(signing_term_due(NULL, 0, ahead, TOKEN_MS, &terms[0]));
	assert_int_equal(signing_term_current(terms, 1, t0), -1);
	assert_true(signing_term_due(terms, 1, t0, TOKEN_MS, &terms[1]));
	assert_int_equal(terms[1].from_ms, t0);
	assert_false(signing_term_due(terms, 2, t0 + 1, TOKEN_MS, &terms[2]));
	assert_true(signing_term_due(terms, 2, terms[1].until_ms - 1, TOKEN_MS, &terms[2]));
	assert_int_equal(terms[2].from_ms, terms[1].until_ms);
	assert_false(signing_term_due(terms, 3, terms[1].until_ms - 1, TOKEN_MS, &terms[0]));
}

/* ---- in a database ----------------------------------------------------------------------------------------------- */

struct ring {
	struct test_store store;
	struct signing_keys *a, *b; /* two controlds on one database */
};

static int setup(void **state)
{
	struct ring *r = calloc(1, sizeof *r);

	test_store_open(&r->store);
	assert_int_equal(signing_keys_new(&r->a, r->store.store, TOKEN_MS, NULL), 0);
	assert_int_equal(signing_keys_new(&r->b, r->store.store, TOKEN_MS, NULL), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct ring *r = *state;

	signing_keys_free(r->a);
	signing_keys_free(r->b);
	test_store_close(&r->store);
	free(r);
	return 0;
}

static size_t published(struct signing_keys *k, int64_t now_ms)
{
	json_t *set = signing_keys_set(k, now_ms);
	size_t n = json_array_size(json_object_get(set, "keys"));

	json_decref(set);
	return n;
}

static int verify(struct signing_keys *k, const char *token, int64_t now_ms)
{
	struct err e = { .code = ERR_NONE };
	char *claims;

	if (signing_keys_verify(k, token, now_ms, &claims, &e) != 0)
		return (int)e.code;
	assert_string_equal(claims, "{\"a\":1}");
	free(claims);
	return 0;
}

static void nothing_is_signed_before_there_is_a_key(void **state)
{
	struct ring *r = *state;

	assert_null(signing_keys_sign(r->a, "{}", t0, NULL));
	assert_int_equal(published(r->a, t0), 0);
}

static void two_controlds_share_the_keys(void **state)
{
	struct ring *r = *state;
	char *token;

	assert_int_equal(signing_keys_rotate(r->a, t0, NULL), 0);
	assert_int_equal(signing_keys_rotate(r->b, t0, NULL), 0);
	assert_int_equal(published(r->a, t0), 1);
	assert_int_equal(published(r->b, t0), 1);
	token = signing_keys_sign(r->a, "{\"a\":1}", t0, NULL);
	assert_non_null(token);
	assert_int_equal(verify(r->b, token, t0), 0);
	free(token);
}

static void a_key_of_another_controld_is_looked_for(void **state)
{
	struct ring *r = *state;
	char *token;

	assert_int_equal(signing_keys_rotate(r->a, t0, NULL), 0);
	token = signing_keys_sign(r->a, "{\"a\":1}", t0, NULL);
	assert_int_equal(verify(r->b, token, t0), 0);
	free(token);
}

static void rotation_overlaps(void **state)
{
	struct ring *r = *state;
	const int64_t end = t0 + SIGNING_KEY_TERM_MS;
	char *last, *next;
	char kid_last[JWT_KID_MAX], kid_next[JWT_KID_MAX];

	assert_int_equal(signing_keys_rotate(r->a, t0, NULL), 0);
	assert_int_equal(signing_keys_rotate(r->a, t0 + HOUR_MS, NULL), 0);
	assert_int_equal(published(r->a, t0), 1);
	assert_int_equal(signing_keys_rotate(r->a, end - SIGNING_KEY_LEAD_MS, NULL), 0);
	assert_int_equal(published(r->a, end - 1), 2);
	last = signing_keys_sign(r->a, "{\"a\":1}", end - 1, NULL);
	next = signing_keys_sign(r->a, "{\"a\":1}", end, NULL);
	assert_int_equal(jwt_kid(last, kid_last, NULL), 0);
	assert_int_equal(jwt_kid(next, kid_next, NULL), 0);
	assert_string_not_equal(kid_last, kid_next);
	/* the last token of the old key is good until its own end */
	assert_int_equal(signing_keys_rotate(r->a, end + TOKEN_MS - 1, NULL), 0);
	assert_int_equal(verify(r->a, last, end + TOKEN_MS - 1), 0);
	assert_int_equal(signing_keys_rotate(r->a, end + 2 * TOKEN_MS, NULL), 0);
	assert_int_equal(published(r->a, end + 2 * TOKEN_MS), 1);
	assert_int_equal(verify(r->a, last, end + 2 * TOKEN_MS), ERR_INVALID_TOKEN);
	assert_int_equal(verify(r->a, next, end + 2 * TOKEN_MS), 0);
	free(last);
	free(next);
}

/*
 * Two keys on, with two controlds that look at different minutes, and one of which does not look at all while a new key begins:
 * what either signs is good at both until it ends, and both publish the key that signs.
 */
static void two_controlds_rotate_without_a_gap(void **state)
{
	struct ring *r = *state;
	char *old[2] = { NULL, NULL }; /* tokens of the step before, which still live */
	int64_t now = t0;

	assert_int_equal(signing_keys_rotate(r->a, now, NULL), 0);
	for (int term = 1; term <= 2; term++) {
		const int64_t end = t0 + term * SIGNING_KEY_TERM_MS;

		for (now = end - 4 * HOUR_MS; now <= end + 4 * HOUR_MS; now += TOKEN_MS / 3) {
			struct signing_keys *const both[2] = { r->a, r->b };
			const bool b_sleeps = term == 2 && now > end - SIGNING_KEY_LEAD_MS && now < end;

			assert_int_equal(signing_keys_rotate(r->a, now, NULL), 0);
			if (!b_sleeps)
				assert_int_equal(signing_keys_rotate(r->b, now + 30000, NULL), 0);
			assert_int_equal(published(r->a, now), published(r->b, now));
			for (int i = 0; i < 2; i++) {
				char *token = signing_keys_sign(both[i], "{\"a\":1}", now + 40000, NULL);

				assert_non_null(token);
				assert_int_equal(verify(r->a, token, now + 40000), 0);
				assert_int_equal(verify(r->b, token, now + 40000), 0);
				for (int k = 0; k < 2 && old[i] != NULL; k++)
					assert_int_equal(verify(both[k], old[i], now + 40000), 0);
				free(old[i]);
				old[i] = token;
			}
		}
		free(old[0]);
		free(old[1]);
		old[0] = old[1] = NULL;
	}
}

static void a_wrong_master_key_is_said(void **state)
{
	static const uint8_t other[SEAL_KEY_SIZE] = { 1 };
	struct ring *r = *state;
	struct err e = { .code = ERR_NONE };

	assert_int_equal(signing_keys_rotate(r->a, t0, NULL), 0);
	store_set_master_key(r->store.store, other);
	assert_int_equal(signing_keys_rotate(r->b, t0, &e), -1);
	assert_int_equal(e.code, ERR_CRYPTO);
	assert_int_equal(published(r->b, t0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_newest_that_has_begun_signs),
		cmocka_unit_test(the_next_is_made_in_time),
		cmocka_unit_test(a_clock_that_was_wrong),
		cmocka_unit_test_setup_teardown(nothing_is_signed_before_there_is_a_key, setup, teardown),
		cmocka_unit_test_setup_teardown(two_controlds_share_the_keys, setup, teardown),
		cmocka_unit_test_setup_teardown(a_key_of_another_controld_is_looked_for, setup, teardown),
		cmocka_unit_test_setup_teardown(rotation_overlaps, setup, teardown),
		cmocka_unit_test_setup_teardown(two_controlds_rotate_without_a_gap, setup, teardown),
		cmocka_unit_test_setup_teardown(a_wrong_master_key_is_said, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
