/* map: against a plain table as model, tombstones, keys that are replaced. */
#include "common/base/map.h"
#include "common/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct item {
	uint32_t key;
	int generation;
};

static void test_empty(void **state)
{
	struct map m;
	size_t it = 0;

	(void)state;
	map_init(&m);
	assert_int_equal(map_count(&m), 0);
	assert_null(map_get_str(&m, "x"));
	assert_null(map_remove_str(&m, "x"));
	assert_null(map_next(&m, &it));
	map_free(&m);
	map_free(&m);
}

static void test_put_get_replace(void **state)
{
	char first_key[] = "key", second_key[] = "key", one[] = "1", two[] = "2";
	struct map m;
	void *old = one;

	(void)state;
	map_init(&m);
	assert_int_equal(map_put_str(&m, first_key, one, &old), 0);
	assert_null(old);
	assert_int_equal(map_put_str(&m, second_key, two, &old), 0);
	assert_ptr_equal(old, one);
	first_key[0] = 'X'; /* the map looks at the newer key now */
	assert_ptr_equal(map_get_str(&m, "key"), two);
	assert_int_equal(map_count(&m), 1);
	assert_int_equal(map_put(&m, "key", 2, one, NULL), 0); /* another key: "ke" */
	assert_int_equal(map_put(&m, "", 0, one, NULL), 0);
	assert_ptr_equal(map_get(&m, NULL, 0), one);
	assert_int_equal(map_count(&m), 3);
	assert_ptr_equal(map_remove_str(&m, "key"), two);
	assert_null(map_remove_str(&m, "key"));
	assert_int_equal(map_count(&m), 2);
	map_free(&m);
}

#define KEYS 3000

static void check_against(const struct map *m, struct item *const *model)
{
	size_t it = 0, seen = 0;
	struct item *item;

	while ((item = map_next(m, &it)) != NULL) {
		assert_ptr_equal(model[item->key], item);
		seen++;
	}
	assert_int_equal(seen, map_count(m));
	for (uint32_t k = 0; k < KEYS; k++)
		assert_ptr_equal(map_get(m, &k, sizeof k), model[k]);
}

static void test_random_operations(void **state)
{
	static struct item *model[KEYS];
	struct map m;

	(void)state;
	map_init(&m);
	for (int step = 0; step < 60000; step++) {
		uint32_t k = (uint32_t)rand_below(KEYS);
		struct item *was;
		void *old;

		if (rand_below(5) < (step < 30000 ? 3 : 2)) { /* grows, then shrinks */
			struct item *item = malloc(sizeof *item);

			assert_non_null(item);
			*item = (struct item){ .key = k, .generation = step };
			assert_int_equal(map_put(&m, &item->key, sizeof item->key, item, &old), 0);
			was = old;
			assert_ptr_equal(was, model[k]);
			model[k] = item;
		} else {
			was = map_remove(&m, &k, sizeof k);
			assert_ptr_equal(was, model[k]);
			model[k] = NULL;
		}
		free(was);
	}
	check_against(&m, model);
	for (uint32_t k = 0; k < KEYS; k++)
		free(map_remove(&m, &k, sizeof k));
	assert_int_equal(map_count(&m), 0);
	map_free(&m);
}

/* Entries that come and go must not make the table grow without end. */
static void test_tombstones_are_cleared(void **state)
{
	struct map m;
	int value = 0;

	(void)state;
	map_init(&m);
	for (uint64_t k = 0; k < 100000; k++) {
		assert_int_equal(map_put(&m, &k, sizeof k, &value, NULL), 0);
		assert_ptr_equal(map_remove(&m, &k, sizeof k), &value);
	}
	assert_true(m.cap <= 16);
	assert_int_equal(map_count(&m), 0);
	map_free(&m);
}

static void test_load_stays_below_70_percent(void **state)
{
	static uint64_t keys[10000];
	struct map m;

	(void)state;
	map_init(&m);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		keys[i] = i;
		assert_int_equal(map_put(&m, &keys[i], sizeof keys[i], &keys[i], NULL), 0);
		assert_true(m.used * 10 <= m.cap * 7);
		assert_int_equal(m.cap & (m.cap - 1), 0);
	}
	assert_true(m.cap <= 32768);
	map_free(&m);
}

static void test_hash_is_stable_in_a_process(void **state)
{
	(void)state;
	assert_true(map_hash("abc", 3) == map_hash("abc", 3));
	assert_true(map_hash("abc", 3) != map_hash("abd", 3));
	assert_true(map_hash("", 0) != map_hash("\0", 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_put_get_replace),
		cmocka_unit_test(test_random_operations),
		cmocka_unit_test(test_tombstones_are_cleared),
		cmocka_unit_test(test_load_stays_below_70_percent),
		cmocka_unit_test(test_hash_is_stable_in_a_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
