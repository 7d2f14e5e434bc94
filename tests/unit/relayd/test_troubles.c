/* The list of troubles: each once, none of a client without end, and what is left out is counted. */
#include "relayd/tunnel/troubles.h"

#include "common/base/str.h"
#include "common/tunnel/frame_hello.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct troubles *troubles;

static int set_up(void **state)
{
	(void)state;
	return troubles_new(&troubles);
}

static int tear_down(void **state)
{
	(void)state;
	troubles_free(troubles);
	return 0;
}

static struct client_trouble *get(unsigned client, unsigned mapping)
{
	struct frame_hello who = { .instance = "box" };
	char id[PROTO_ID_SIZE];

	str_fmt(who.client, sizeof who.client, "%u", client);
	str_fmt(id, sizeof id, "map_%u", mapping);
	return troubles_get(troubles, &who, id);
}

static struct client_states list(void)
{
	struct client_states s = { .n = 0 };

	troubles_list(troubles, &s);
	return s;
}

static void test_each_once(void **state)
{
	struct client_trouble *one = get(7, 1);

	(void)state;
	assert_non_null(one);
	assert_int_equal(one->kind, 0);
	one->kind = CLIENT_TROUBLE_DOWN;
	assert_ptr_equal(get(7, 1), one);
	assert_ptr_not_equal(get(7, 2), one);
	assert_ptr_not_equal(get(8, 1), one);
	assert_int_equal(list().n_troubles, 3);
	assert_string_equal(list().troubles[0].mapping, "map_1");
	assert_int_equal(list().troubles[0].kind, CLIENT_TROUBLE_DOWN);
	troubles_clear(troubles);
	assert_int_equal(list().n_troubles, 0);
	assert_int_equal(get(7, 1)->kind, 0);
}

/* One client's troubles, however many, leave room for the others'. */
static void test_a_client_has_its_share(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CLIENT_TROUBLES_ALL; i++)
		assert_true((get(7, i) != NULL) == (i < TROUBLES_OF_CLIENT));
	assert_int_equal(list().n_troubles, TROUBLES_OF_CLIENT);
	assert_int_equal(list().more_troubles, CLIENT_TROUBLES_ALL - TROUBLES_OF_CLIENT);
	assert_non_null(get(8, 1));
	assert_non_null(get(7, 0)); /* one that is there */
	troubles_clear(troubles);
	assert_int_equal(list().more_troubles, 0);
}

static void test_no_more_room(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CLIENT_TROUBLES_ALL; i++)
		assert_non_null(get(i / TROUBLES_OF_CLIENT, i % TROUBLES_OF_CLIENT));
	assert_null(get(CLIENT_TROUBLES_ALL, 1));
	assert_non_null(get(0, 0));
	assert_int_equal(list().n_troubles, CLIENT_TROUBLES_ALL);
	assert_int_equal(list().more_troubles, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_each_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_client_has_its_share, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_more_room, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
