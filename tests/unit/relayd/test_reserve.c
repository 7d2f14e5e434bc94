/* Links that wait for a connection of their own. */
#include "relayd/tunnel/reserve.h"

#include "relayd/tunnel/agent_link.h"
#include "relayd/tunnel/agent_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static unsigned ready(struct seat *s)
{
	unsigned n = 0;

	LIST_FOREACH (it, &s->reserve.ready)
		if (++n == 10)
			break; /* a ring without its head */
	return n;
}

/* An agent may open a stream on such a link by itself, and close it: then the link is idle, as it was. */
static void test_idle_twice(void **state)
{
	static struct agent_link a, b;
	static struct seat s;

	(void)state;
	reserve_init(&s.reserve);
	s.reserve.told = 3;
	list_init(&a.in_seat);
	list_init(&b.in_seat);
	reserve_put(&s, &a);
	reserve_put(&s, &b);
	assert_int_equal(ready(&s), 2);
	reserve_put(&s, &b);
	assert_int_equal(ready(&s), 2);
	assert_ptr_equal(list_first(&s.reserve.ready), &b.in_seat);
	reserve_put(&s, &a);
	assert_int_equal(ready(&s), 2);
}

/* A link that was taken for a connection which then could not be opened is ready again; others are left where they are. */
static void test_taken_in_vain(void **state)
{
	static struct agent_link one = { .hello = { .role = FRAME_FOR_ONE } }, many;
	static struct seat s;

	(void)state;
	reserve_init(&s.reserve);
	s.reserve.told = 1;
	one.seat = many.seat = &s;
	list_init(&one.in_seat);
	list_init(&many.in_seat);
	reserve_recover(&many);
	assert_int_equal(ready(&s), 0);
	reserve_recover(&one);
	assert_int_equal(ready(&s), 1);
	reserve_recover(&one);
	assert_int_equal(ready(&s), 1);
	one.seat = NULL; /* it is going */
	list_remove(&one.in_seat);
	reserve_recover(&one);
	assert_int_equal(ready(&s), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_idle_twice),
		cmocka_unit_test(test_taken_in_vain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
