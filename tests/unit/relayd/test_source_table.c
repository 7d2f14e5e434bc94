#include "relayd/limit/source_table.h"

#include "common/net/addr.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)

static struct source_table *table;

static int set_up(void **state)
{
	(void)state;
	return source_table_new(&table);
}

static int tear_down(void **state)
{
	(void)state;
	source_table_free(table);
	return 0;
}

static struct addr ip(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse_ip(&a, text, 1234), 0);
	return a;
}

static void connections_of_one_source_are_counted(void **state)
{
	struct addr a = ip("192.0.2.1"), b = ip("192.0.2.2");
	struct source *s[3];

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_non_null(s[i] = source_table_enter(table, &a, 3, 0, SECOND));
	addr_set_port(&a, 99); /* another port is the same source */
	assert_null(source_table_enter(table, &a, 3, 0, SECOND));
	source_table_leave(table, source_table_enter(table, &b, 3, 0, SECOND), SECOND);
	source_table_leave(table, s[0], SECOND);
	assert_non_null(s[0] = source_table_enter(table, &a, 3, 0, SECOND));
	assert_null(source_table_enter(table, &a, 1, 0, SECOND)); /* a lower limit holds at once */
	for (unsigned i = 0; i < 3; i++)
		source_table_leave(table, s[i], SECOND);
}

static void a_site_of_ipv6_is_one_source(void **state)
{
	struct addr a = ip("2001:db8:1:2::1"), b = ip("2001:db8:1:2:ffff::9"), c = ip("2001:db8:1:3::1");
	struct source *s = source_table_enter(table, &a, 1, 0, SECOND), *other;

	(void)state;
	assert_non_null(s);
	assert_null(source_table_enter(table, &b, 1, 0, SECOND));
	assert_non_null(other = source_table_enter(table, &c, 1, 0, SECOND));
	source_table_leave(table, s, SECOND);
	source_table_leave(table, other, SECOND);
}

static void new_connections_have_a_rate(void **state)
{
	struct addr a = ip("192.0.2.1");
	unsigned in = 0;

	(void)state;
	for (uint64_t now = SECOND; now < 11 * SECOND; now += SECOND / 100) {
		struct source *s = source_table_enter(table, &a, 0, 5, now);

		if (s == NULL)
			continue;
		in++;
		source_table_leave(table, s, now);
	}
	assert_in_range(in, 50, 56); /* five a second, and one burst of five */
}

/* One of a flood's addresses. */
static struct addr forged(unsigned i)
{
	char text[32];

	snprintf(text, sizeof text, "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
	return ip(text);
}

/* However many addresses hold a connection, of datagrams forged ones as well: who comes from another one comes in. */
static void many_sources_do_not_keep_others_out(void **state)
{
	enum { MANY = 100000 };
	struct addr held = ip("192.0.2.1");
	struct source **flood = calloc(MANY, sizeof *flood), *s;

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		struct addr a = forged(i);

		assert_non_null(flood[i] = source_table_enter(table, &a, 1, 1, SECOND));
		assert_null(source_table_enter(table, &a, 1, 1, SECOND));
	}
	assert_non_null(s = source_table_enter(table, &held, 1, 0, SECOND));
	assert_null(source_table_enter(table, &held, 1, 0, SECOND));
	for (unsigned i = 0; i < MANY; i++)
		source_table_leave(table, flood[i], SECOND);
	assert_null(source_table_enter(table, &held, 1, 0, 9 * SECOND)); /* none was forgotten that is in */
	source_table_leave(table, s, 9 * SECOND);
	free(flood);
}

static bool may_come(struct addr a, uint32_t per_s, uint64_t now_ns)
{
	struct source *s = source_table_enter(table, &a, 0, per_s, now_ns);

	if (s != NULL)
		source_table_leave(table, s, now_ns);
	return s != NULL;
}

/* Of those that have left, so many are remembered by their rate, the latest; nobody is refused for the others. */
static void those_that_left_are_remembered_and_bounded(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SOURCES_IDLE_MAX + 10; i++)
		assert_true(may_come(forged(i), 1, SECOND));
	assert_false(may_come(forged(10), 1, SECOND));
	assert_false(may_come(forged(SOURCES_IDLE_MAX + 9), 1, SECOND));
	assert_true(may_come(forged(9), 1, SECOND)); /* forgotten */
	for (unsigned i = 11; i < SOURCES_IDLE_MAX + 10; i++)
		assert_true(may_come(forged(i), 1, 2 * SECOND));
}

struct guest {
	atomic_uint *inside; /* of both workers */
	unsigned in, crowded;
};

/* Two workers at once: what the lock is for (run under the thread sanitizer). */
static void *enter_and_leave(void *arg)
{
	struct addr a = ip("192.0.2.1");
	struct guest *g = arg;

	for (unsigned i = 0; i < 20000; i++) {
		struct source *s = source_table_enter(table, &a, 1, 0, SECOND);

		if (s == NULL)
			continue;
		g->in++;
		g->crowded += atomic_fetch_add(g->inside, 1) != 0;
		atomic_fetch_sub(g->inside, 1);
		source_table_leave(table, s, SECOND);
	}
	return NULL;
}

/* One place: never both are in, and it is free when both have left. How often each comes in is the machine's matter. */
static void workers_share_it(void **state)
{
	struct addr a = ip("192.0.2.1");
	atomic_uint inside = 0;
	struct guest g[2] = { { .inside = &inside }, { .inside = &inside } };
	struct source *s;
	pthread_t t[2];

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, enter_and_leave, &g[i]), 0);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	assert_true(g[0].in + g[1].in > 0);
	assert_int_equal(g[0].crowded + g[1].crowded, 0);
	s = source_table_enter(table, &a, 1, 0, SECOND);
	assert_non_null(s);
	source_table_leave(table, s, SECOND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(connections_of_one_source_are_counted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_site_of_ipv6_is_one_source, set_up, tear_down),
		cmocka_unit_test_setup_teardown(new_connections_have_a_rate, set_up, tear_down),
		cmocka_unit_test_setup_teardown(many_sources_do_not_keep_others_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(those_that_left_are_remembered_and_bounded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(workers_share_it, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
