#include "relayd/conf/refusals.h"

#include "common/base/log.h"
#include "common/base/str.h"
#include "relayd/conf/object.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void count_change(void *arg)
{
	++*(unsigned *)arg;
}

static void refuse(struct refusals *r, const char *id, uint64_t seq, const char *reason)
{
	struct object o = { .kind = OBJECT_MAPPING, .seq = seq };
	struct err why = { 0 };

	str_copy(o.id, sizeof o.id, id);
	err_set(&why, ERR_ADDR_IN_USE, NULL, "%s", reason);
	refusals_set(r, &o, &why);
}

static void changes_are_told_once(void **state)
{
	unsigned changes = 0;
	struct node_state s = { 0 };
	struct refusals *r;

	(void)state;
	assert_int_equal(refusals_new(&r, count_change, &changes, NULL), 0);
	refusals_start(r, 1000);
	refuse(r, "a", 1, "address already in use: 0.0.0.0:8080");
	refuse(r, "a", 1, "address already in use: 0.0.0.0:8080"); /* the same again */
	assert_int_equal(changes, 1);
	refuse(r, "a", 2, "address already in use: 0.0.0.0:8080"); /* of a newer object */
	refuse(r, "a", 2, "permission denied");
	refusals_clear(r, "b");
	assert_int_equal(changes, 3);
	refusals_state(r, &s);
	assert_int_equal(s.serial, 1003);
	assert_int_equal(s.n, 1);
	assert_int_equal(s.more, 0);
	assert_string_equal(s.refusals[0].id, "a");
	assert_string_equal(s.refusals[0].reason, "permission denied");
	assert_int_equal(s.refusals[0].code, ERR_ADDR_IN_USE);
	assert_int_equal(s.refusals[0].seq, 2);
	refusals_clear(r, "a");
	refusals_state(r, &s);
	assert_int_equal(s.n, 0);
	assert_int_equal(s.serial, 1004);
	assert_int_equal(refusals_count(r), 0);
	refusals_free(r);
}

static void more_than_a_message_carries(void **state)
{
	unsigned changes = 0;
	struct node_state s = { 0 };
	struct refusals *r;
	char id[PROTO_ID_SIZE];

	(void)state;
	assert_int_equal(refusals_new(&r, count_change, &changes, NULL), 0);
	for (unsigned i = 0; i < NODE_REFUSALS_MAX + 100; i++) {
		str_fmt(id, sizeof id, "m%u", i);
		refuse(r, id, i, "no room");
	}
	refusals_state(r, &s);
	assert_int_equal(s.n, NODE_REFUSALS_MAX);
	assert_int_equal(s.more, 100);
	for (unsigned i = 0; i < NODE_REFUSALS_MAX; i++) { /* one more moves up each time */
		str_fmt(id, sizeof id, "m%u", i);
		refusals_clear(r, id);
	}
	refusals_state(r, &s);
	assert_int_equal(s.n, 100);
	assert_int_equal(s.more, 0);
	for (unsigned i = 0; i < s.n; i++)
		assert_true(strtoul(s.refusals[i].id + 1, NULL, 10) >= NODE_REFUSALS_MAX);
	assert_int_equal(refusals_count(r), 100);
	refusals_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changes_are_told_once),
		cmocka_unit_test(more_than_a_message_carries),
	};

	log_init("test", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, 2); /* thousands of refusals */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
