#include "common/net/rate.h"

#include "common/base/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)
#define TICK   UINT64_C(17000000) /* how late a worker's timer may be */
#define BUSY   UINT64_C(80000000) /* and how late its thread, where others have the machine's time */

/* Bytes that two workers move in `seconds`, each taking what it may whenever it wakes: `late` behind its time. */
static uint64_t moved(struct rate *r, uint64_t chunk, unsigned seconds, uint64_t late)
{
	struct rate_slice slice[2] = { { 0 }, { 0 } };
	uint64_t now = SECOND, end = now + seconds * SECOND, total = 0;

	for (unsigned turn = 0; now < end; turn++) {
		uint64_t n = rate_take(r, &slice[turn % 2], chunk, now);

		total += n;
		if (n == 0)
			now += MAX(rate_wait_ns(r, now), 1) / late * late + late;
	}
	return total;
}

static const struct {
	const char *what;
	uint64_t per_s, chunk, late;
} rates[] = {
	{ "a modem", 200000, 65536, TICK },
	{ "10 Mbit/s", 1250000, 65536, TICK },
	{ "10 Mbit/s in small pieces", 1250000, 100, TICK },
	{ "10 Mbit/s on a busy machine", 1250000, 65536, BUSY },
	{ "1 Gbit/s", 125000000, 262144, TICK },
	{ "1 Gbit/s on a busy machine", 125000000, 262144, BUSY },
	{ "100 Gbit/s", UINT64_C(12500000000), 262144, TICK },
};

static void ten_seconds_are_metered_within_two_percent(void **state)
{
	unsigned bad = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
		struct rate r;
		uint64_t want = rates[i].per_s * 10, got;

		rate_init(&r);
		rate_set(&r, rates[i].per_s, SECOND);
		got = moved(&r, rates[i].chunk, 10, rates[i].late);
		if (got < want - want / 50 || got > want + want / 50) {
			print_error("%s: %llu instead of %llu bytes\n", rates[i].what, (unsigned long long)got,
				(unsigned long long)want);
			bad++;
		}
		rate_fini(&r);
	}
	assert_int_equal(bad, 0);
}

static void no_limit_takes_all(void **state)
{
	struct rate r;
	struct rate_slice s = { 0 };

	(void)state;
	rate_init(&r);
	assert_false(rate_limits(&r));
	assert_int_equal(rate_take(&r, &s, 1 << 30, 5), 1 << 30);
	assert_true(rate_take_whole(&r, &s, 1 << 30, 5));
	rate_fini(&r);
}

static void what_a_slice_does_not_use_goes_back(void **state)
{
	struct rate r;
	struct rate_slice a = { 0 }, b = { 0 };
	uint64_t now = SECOND;

	(void)state;
	rate_init(&r);
	rate_set(&r, 100000, now); /* 10000 in the bucket, 1000 a slice */
	assert_int_equal(rate_take(&r, &a, 10, now), 10);
	assert_int_equal(a.left, 990);
	while (rate_take(&r, &b, 100000, now) != 0)
		;
	assert_int_equal(a.left, 990); /* lent out: b could not have it */
	rate_give(&r, &a, 10);
	now += RATE_SLICE_NS; /* 1000 new ones, and a's slice is over */
	assert_int_equal(rate_take(&r, &a, 100000, now), 1000);
	assert_int_equal(rate_take(&r, &b, 100000, now), 1000);
	assert_int_equal(rate_take(&r, &b, 100000, now), 0);
	assert_true(rate_wait_ns(&r, now) > 0);
	rate_fini(&r);
}

/* A datagram longer than the bucket is deep passes when the bucket is full, and is paid for. */
static void long_datagrams_are_paid_for(void **state)
{
	struct rate r;
	struct rate_slice s = { 0 };
	uint64_t now = SECOND, bytes = 0;

	(void)state;
	rate_init(&r);
	rate_set(&r, 20000, now);
	for (; now < 61 * SECOND; now += SECOND / 100)
		if (rate_take_whole(&r, &s, 60000, now))
			bytes += 60000;
	assert_in_range(bytes, 1140000, 1260000);
	rate_fini(&r);
}

static void a_change_holds_at_once(void **state)
{
	struct rate r;
	struct rate_slice s = { 0 };
	uint64_t now = SECOND, total = 0, n;

	(void)state;
	rate_init(&r);
	rate_set(&r, 1000000, now);
	while (rate_take(&r, &s, 65536, now) != 0)
		;
	rate_set(&r, 100000000, now);
	now += RATE_SLICE_NS;
	while ((n = rate_take(&r, &s, 65536, now)) != 0)
		total += n;
	assert_in_range(total, 990000, 1010000);
	rate_set(&r, 0, now);
	assert_int_equal(rate_take(&r, &s, 77, now), 77);
	rate_fini(&r);
}

/* What has passed all the same is owed, by whoever comes next. */
static void test_debt(void **state)
{
	const uint64_t s = UINT64_C(1000000000);
	struct rate r;
	uint64_t now = s, waited = 0, wait;

	(void)state;
	rate_init(&r);
	rate_set(&r, 100000, now);
	assert_int_equal(rate_owed_ns(&r, now), 0);
	rate_spend(&r, 10000, now); /* as deep as the bucket is */
	assert_int_equal(rate_owed_ns(&r, now), 0);
	rate_spend(&r, 60000, now);
	while ((wait = rate_owed_ns(&r, now)) > 0) {
		now += wait;
		waited += wait;
	}
	assert_in_range(waited, s * 59 / 100, s * 62 / 100);
	rate_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_debt),
		cmocka_unit_test(ten_seconds_are_metered_within_two_percent),
		cmocka_unit_test(no_limit_takes_all),
		cmocka_unit_test(what_a_slice_does_not_use_goes_back),
		cmocka_unit_test(long_datagrams_are_paid_for),
		cmocka_unit_test(a_change_holds_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
