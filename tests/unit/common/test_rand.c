/* rand: ids that sort, uniform numbers, back-off within its bounds. */
#include "common/base/macros.h"
#include "common/base/rand.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void test_bytes(void **state)
{
	uint8_t a[1000] = { 0 }, b[1000] = { 0 };

	(void)state;
	rand_bytes(a, sizeof a);
	rand_bytes(b, sizeof b);
	assert_memory_not_equal(a, b, sizeof a);
	assert_true(rand_u64() != rand_u64());
	rand_bytes(NULL, 0);
}

static void test_below(void **state)
{
	unsigned seen[7] = { 0 };

	(void)state;
	for (int i = 0; i < 7000; i++)
		seen[rand_below(7)]++;
	for (size_t i = 0; i < ARRAY_LEN(seen); i++)
		assert_true(seen[i] > 700 && seen[i] < 1300); /* 1000 expected, 10 standard deviations */
	assert_int_equal(rand_below(1), 0);
	assert_true(rand_below(UINT64_MAX) < UINT64_MAX);
}

static void test_ids_increase(void **state)
{
	char last[RAND_ID_SIZE], id[RAND_ID_SIZE];

	(void)state;
	rand_id(last, "map");
	assert_int_equal(strlen(last), 24);
	assert_int_equal(strspn(last + 4, "0123456789abcdefghjkmnpqrstvwxyz"), 20);
	for (int i = 0; i < 20000; i++) {
		rand_id(id, "map");
		assert_true(strcmp(id, last) > 0);
		memcpy(last, id, sizeof last);
	}
	rand_id(id, "12345678");
	assert_int_equal(strlen(id), 29);
}

static void *work_ids(void *arg)
{
	char(*ids)[RAND_ID_SIZE] = arg;

	for (int i = 0; i < 1000; i++)
		rand_id(ids[i], "n");
	return NULL;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void test_ids_of_threads_differ(void **state)
{
	static char ids[4][1000][RAND_ID_SIZE];
	char(*all)[RAND_ID_SIZE] = ids[0];
	pthread_t threads[4];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work_ids, ids[i]), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	qsort(all, 4000, RAND_ID_SIZE, by_text);
	for (size_t i = 1; i < 4000; i++)
		assert_string_not_equal(all[i - 1], all[i]);
}

/* Both may go on within the millisecond that they share. */
static void test_ids_of_a_fork_differ(void **state)
{
	char id[RAND_ID_SIZE], of_child[RAND_ID_SIZE];

	(void)state;
	for (int i = 0; i < 200; i++) {
		int ends[2];
		pid_t child;

		rand_id(id, "n");
		assert_int_equal(pipe(ends), 0);
		child = fork();
		if (child == 0) {
			rand_id(id, "n");
			_exit(write(ends[1], id, sizeof id) == sizeof id ? 0 : 1);
		}
		rand_id(id, "n");
		assert_int_equal(read(ends[0], of_child, sizeof of_child), sizeof of_child);
		assert_int_equal(waitpid(child, NULL, 0), child);
		close(ends[0]);
		close(ends[1]);
		assert_string_not_equal(id, of_child);
	}
}

static void test_backoff(void **state)
{
	static const struct {
		unsigned attempt;
		uint64_t base, cap, most;
	} cases[] = {
		{ 0, 100, 1000, 100 },
		{ 2, 100, 1000, 400 },
		{ 5, 100, 1000, 1000 },
		{ 63, 100, 1000, 1000 },
		{ 64, 100, 1000, 1000 },
		{ 4000000000, 1, 50, 50 },
		{ 3, 0, 50, 0 },
		{ 3, 10, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t highest = 0;

		for (int round = 0; round < 300; round++) {
			uint64_t ms = rand_backoff_ms(cases[i].attempt, cases[i].base, cases[i].cap);

			assert_true(ms <= cases[i].most);
			highest = MAX(highest, ms);
		}
		assert_true(highest >= cases[i].most * 3 / 4);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_below),
		cmocka_unit_test(test_ids_increase),
		cmocka_unit_test(test_ids_of_threads_differ),
		cmocka_unit_test(test_ids_of_a_fork_differ),
		cmocka_unit_test(test_backoff),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
