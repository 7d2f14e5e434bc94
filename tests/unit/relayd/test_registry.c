#include "relayd/tunnel/registry.h"

#include "common/base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define WORKERS   2
#define LINKS_MAX 200

static struct registry *registry;
static struct addr from;
static unsigned changes;

static void on_change(void *arg)
{
	(void)arg;
	changes++;
}

static struct frame_hello hello(const char *client, unsigned instance, uint64_t epoch)
{
	struct frame_hello h = { .epoch = epoch, .version = "1" };

	str_copy(h.client, sizeof h.client, client);
	str_fmt(h.instance, sizeof h.instance, "i%u", instance);
	return h;
}

static enum registry_answer enter(const struct frame_hello *h, bool single, unsigned *worker)
{
	return registry_enter(registry, h, &from, single, worker);
}

static int set_up(void **state)
{
	const struct registry_conf conf = { .workers = WORKERS, .links_max = LINKS_MAX, .on_change = on_change };

	(void)state;
	changes = 0;
	assert_int_equal(addr_parse(&from, "192.0.2.1:7"), 0);
	return registry_new(&registry, &conf);
}

static int tear_down(void **state)
{
	(void)state;
	registry_free(registry);
	return 0;
}

/* ---- tests -------------------------------------------------------------------------------------------------------- */

static void test_links_of_an_instance(void **state)
{
	const struct frame_hello h = hello("17", 1, 1);
	unsigned by_worker[WORKERS] = { 0 }, worker;

	(void)state;
	for (unsigned i = 0; i < WORKERS * REGISTRY_LINKS_MAX; i++) {
		assert_int_equal(enter(&h, false, &worker), REGISTRY_IN);
		by_worker[worker]++;
	}
	assert_int_equal(by_worker[0], by_worker[1]);
	assert_int_equal(enter(&h, false, &worker), REGISTRY_CROWDED);
	registry_leave(registry, &h, 1);
	assert_int_equal(enter(&h, false, &worker), REGISTRY_IN);
	assert_int_equal(worker, 1);
	assert_int_equal(changes, 1);
}

/* A link for one connection stands where it is asked for, beside the others, and needs them. */
static void test_links_for_one(void **state)
{
	const struct frame_hello h = hello("17", 1, 2);
	struct frame_hello alone = h;
	unsigned worker;

	(void)state;
	alone.role = FRAME_FOR_ONE;
	alone.lane = 1;
	assert_int_equal(enter(&alone, false, &worker), REGISTRY_CROWDED);
	assert_int_equal(changes, 0);
	assert_int_equal(enter(&h, false, &worker), REGISTRY_IN);
	for (unsigned i = 0; i < REGISTRY_ALONE_MAX; i++) {
		assert_int_equal(enter(&alone, false, &worker), REGISTRY_IN);
		assert_int_equal(worker, 1);
	}
	assert_int_equal(enter(&alone, false, &worker), REGISTRY_CROWDED);
	alone.lane = WORKERS;
	assert_int_equal(enter(&alone, false, &worker), REGISTRY_CROWDED);
	alone.lane = 0;
	alone.epoch = 3; /* the agent's first link of a new start is an ordinary one */
	assert_int_equal(enter(&alone, false, &worker), REGISTRY_CROWDED);
	assert_true(registry_is_latest(registry, &h));
	alone = h;
	alone.role = FRAME_FOR_ONE;
	registry_leave(registry, &h, 0);
	assert_int_equal(changes, 1);
	for (unsigned i = 0; i < REGISTRY_ALONE_MAX; i++)
		registry_leave(registry, &alone, 1);
	assert_int_equal(changes, 2);
}

/* One client cannot take the descriptors of the others by calling itself ever so many agents. */
static void test_instances_of_a_client(void **state)
{
	struct frame_hello h;
	unsigned worker;

	(void)state;
	for (unsigned i = 0; i < REGISTRY_INSTANCES_MAX; i++) {
		h = hello("17", i, 1);
		assert_int_equal(enter(&h, false, &worker), REGISTRY_IN);
	}
	assert_int_equal(enter(&h, false, &worker), REGISTRY_IN); /* one more link of one that is here */
	h = hello("17", REGISTRY_INSTANCES_MAX, 1);
	assert_int_equal(enter(&h, false, &worker), REGISTRY_CROWDED);
	h = hello("18", 1, 1);
	assert_int_equal(enter(&h, false, &worker), REGISTRY_IN);
	h = hello("17", 5, 1);
	registry_leave(registry, &h, 0);
	h = hello("17", REGISTRY_INSTANCES_MAX, 1);
	assert_int_equal(enter(&h, false, &worker), REGISTRY_IN);
}

/* All agents of a client together have links_max links, and those for one connection leave a quarter to the others. */
static void test_links_of_a_client(void **state)
{
	const struct frame_hello other = hello("18", 1, 1);
	unsigned worker, n = 0;

	(void)state;
	for (unsigned i = 0; n < LINKS_MAX; i++) {
		struct frame_hello h = hello("17", i, 1);

		for (unsigned k = 0; k < WORKERS * REGISTRY_LINKS_MAX && n < LINKS_MAX; k++, n++)
			assert_int_equal(enter(&h, false, &worker), REGISTRY_IN);
	}
	{
		struct frame_hello h = hello("17", 60, 1);

		assert_int_equal(enter(&h, false, &worker), REGISTRY_FULL); /* and nothing of it is left: */
		assert_false(registry_is_latest(registry, &h));
		assert_int_equal(enter(&other, false, &worker), REGISTRY_IN);
		h = hello("17", 0, 2); /* whose earlier start has some is not kept out */
		assert_int_equal(enter(&h, false, &worker), REGISTRY_TOOK_OVER);
		for (unsigned k = 1; k < WORKERS * REGISTRY_LINKS_MAX; k++)
			assert_int_equal(enter(&h, false, &worker), REGISTRY_IN);
		assert_int_equal(enter(&h, false, &worker), REGISTRY_FULL);
		registry_leave(registry, &h, 0);
		assert_int_equal(enter(&h, false, &worker), REGISTRY_IN);
	}
}

static void test_links_for_one_leave_room(void **state)
{
	unsigned worker, n = 0;

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		struct frame_hello h = hello("17", i, 1);

		assert_int_equal(enter(&h, false, &worker), REGISTRY_IN);
		n++;
		h.role = FRAME_FOR_ONE;
		for (unsigned k = 0; k < REGISTRY_ALONE_MAX && n < LINKS_MAX - LINKS_MAX / REGISTRY_KEPT_PART; k++, n++)
			assert_int_equal(enter(&h, false, &worker), REGISTRY_IN);
		if (n < LINKS_MAX - LINKS_MAX / REGISTRY_KEPT_PART)
			continue;
		assert_int_equal(enter(&h, false, &worker), REGISTRY_FULL);
		h = hello("17", 9, 1);
		assert_int_equal(enter(&h, false, &worker), REGISTRY_IN);
		return;
	}
	fail_msg("links for one were not refused");
}

static void test_single(void **state)
{
	const struct frame_hello one = hello("17", 1, 1), other = hello("17", 2, 1);
	unsigned worker;

	(void)state;
	assert_int_equal(enter(&one, true, &worker), REGISTRY_IN);
	assert_int_equal(enter(&other, true, &worker), REGISTRY_TAKEN);
	registry_leave(registry, &one, worker);
	assert_int_equal(enter(&other, true, &worker), REGISTRY_IN);
}

/* What was let in and has not got to its worker yet when a later start comes is told so there. */
static void test_epochs(void **state)
{
	const struct frame_hello old = hello("17", 1, 5), late = hello("17", 1, 6);
	unsigned worker;

	(void)state;
	assert_int_equal(enter(&old, false, &worker), REGISTRY_IN);
	assert_true(registry_is_latest(registry, &old));
	assert_int_equal(enter(&late, false, &worker), REGISTRY_TOOK_OVER);
	assert_false(registry_is_latest(registry, &old));
	assert_true(registry_is_latest(registry, &late));
	assert_int_equal(enter(&old, false, &worker), REGISTRY_OUTDATED);
	registry_leave(registry, &old, worker); /* counted no more */
	assert_true(registry_is_latest(registry, &late));
	registry_leave(registry, &late, worker);
	assert_false(registry_is_latest(registry, &late));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_links_for_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_links_of_an_instance, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_instances_of_a_client, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_links_of_a_client, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_links_for_one_leave_room, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_single, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_epochs, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
