/* visitors: turns by address, friends first, who gives way. */
#include "relayd/tunnel/visitors.h"

#include "common/base/str.h"
#include "common/net/addr.h"
#include "relayd/tunnel/friends.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define MAX_HERE 64 /* so an address may have 8 */

static struct visitors v;
static struct friends *friends;

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(friends_new(&friends), 0);
	visitors_init(&v, MAX_HERE, friends);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(v.n, 0);
	assert_int_equal(map_count(&v.sources), 0);
	visitors_fini(&v);
	friends_free(friends);
	return 0;
}

static struct addr at(const char *ip)
{
	struct addr a;

	assert_int_equal(addr_parse_ip(&a, ip, 1), 0);
	return a;
}

static struct visitor *come(const char *ip, bool speaks)
{
	struct addr from = at(ip);
	struct visitor *one = calloc(1, sizeof *one);

	assert_int_equal(visitors_enter(&v, one, &from), 0);
	if (speaks)
		visitors_speak(&v, one);
	return one;
}

static void go(struct visitor *one)
{
	visitors_leave(&v, one);
	free(one);
}

static void test_turns(void **state)
{
	struct visitor *crowd[8], *one, *other;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(crowd); i++)
		crowd[i] = come(i % 2 == 0 ? "2001:db8::1" : "2001:db8::2", true); /* one site */
	one = come("192.0.2.1", true);
	other = come("192.0.2.2", true);
	assert_ptr_equal(visitors_next(&v), crowd[0]);
	go(crowd[0]);
	assert_ptr_equal(visitors_next(&v), one);
	go(one);
	assert_ptr_equal(visitors_next(&v), other);
	go(other);
	for (size_t i = 1; i < ARRAY_LEN(crowd); i++) {
		assert_ptr_equal(visitors_next(&v), crowd[i]);
		go(crowd[i]);
	}
	assert_null(visitors_next(&v));
	assert_false(visitors_waiting(&v));
}

static void test_friends_first(void **state)
{
	struct addr home = at("192.0.2.9");
	struct visitor *stranger = come("192.0.2.1", true), *friendly;

	(void)state;
	friends_add(friends, &home);
	friendly = come("192.0.2.9", true);
	assert_ptr_equal(visitors_next(&v), friendly);
	go(friendly);
	assert_ptr_equal(visitors_next(&v), stranger);
	go(stranger);
	for (unsigned i = 0; i < FRIENDS_MAX; i++) { /* an address that is not heard of gives way to others */
		struct addr a;
		char ip[ADDR_STRLEN];

		str_fmt(ip, sizeof ip, "10.0.%u.%u", i / 256, i % 256);
		a = at(ip);
		friends_add(friends, &a);
	}
	assert_false(friends_have(friends, &home));
	stranger = come("192.0.2.1", true);
	friendly = come("192.0.2.9", true);
	assert_ptr_equal(visitors_next(&v), stranger);
	go(stranger);
	go(friendly);
}

/* However many come from a known address, a stranger waits for a few of them only. */
static void test_strangers_too(void **state)
{
	struct addr home = at("192.0.2.9");
	struct visitor *friendly[VISITORS_IN_A_ROW + 2], *stranger;

	(void)state;
	friends_add(friends, &home);
	for (size_t i = 0; i < ARRAY_LEN(friendly); i++)
		friendly[i] = come("192.0.2.9", true);
	stranger = come("192.0.2.1", true);
	for (size_t i = 0; i < VISITORS_IN_A_ROW; i++) {
		assert_ptr_equal(visitors_next(&v), friendly[i]);
		go(friendly[i]);
	}
	assert_ptr_equal(visitors_next(&v), stranger);
	go(stranger);
	for (size_t i = VISITORS_IN_A_ROW; i < ARRAY_LEN(friendly); i++) {
		assert_ptr_equal(visitors_next(&v), friendly[i]);
		go(friendly[i]);
	}
}

static void test_who_gives_way(void **state)
{
	struct addr crowded = at("192.0.2.1"), fresh = at("198.51.100.1");
	struct visitor *all[MAX_HERE], *victim, *late;
	char ip[ADDR_STRLEN];

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		all[i] = come("192.0.2.1", i != 3);
	assert_true(visitors_may_enter(&v, &crowded, &victim));
	assert_ptr_equal(victim, all[3]); /* its own silent one */
	visitors_speak(&v, all[3]);
	assert_false(visitors_may_enter(&v, &crowded, &victim));
	assert_true(visitors_may_enter(&v, &fresh, &victim));
	assert_null(victim);
	for (unsigned i = 8; i < MAX_HERE; i++) {
		str_fmt(ip, sizeof ip, "203.0.113.%u", i);
		all[i] = come(ip, i >= 10);
	}
	assert_true(visitors_may_enter(&v, &fresh, &victim));
	assert_ptr_equal(victim, all[8]); /* silent for longest */
	visitors_speak(&v, all[8]);
	visitors_speak(&v, all[9]);
	assert_non_null(visitors_next(&v)); /* the crowd is not the first of them any more */
	assert_true(visitors_may_enter(&v, &fresh, &victim));
	late = victim; /* the last of the largest crowd */
	assert_ptr_equal(late, all[3]);
	for (unsigned i = 0; i < MAX_HERE; i++)
		go(all[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_turns, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_friends_first, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_strangers_too, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_who_gives_way, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
