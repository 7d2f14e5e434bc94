/* list and sm: the two that are headers only. */
#include "common/base/list.h"
#include "common/base/sm.h"

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
	int n;
	struct list node;
};

static int value(struct list *node)
{
	return CONTAINER_OF(node, struct item, node)->n;
}

static void assert_items(struct list *head, const char *want)
{
	char got[20] = "";

	LIST_FOREACH (it, head)
		snprintf(got + strlen(got), sizeof got - strlen(got), "%d", value(it));
	assert_string_equal(got, want);
}

static void test_order(void **state)
{
	struct item items[4] = { { .n = 0 }, { .n = 1 }, { .n = 2 }, { .n = 3 } };
	struct list head, other;

	(void)state;
	list_init(&head);
	list_init(&other);
	assert_true(list_empty(&head));
	assert_null(list_first(&head));
	assert_null(list_last(&head));
	list_push_back(&head, &items[1].node);
	list_push_back(&head, &items[2].node);
	list_push_front(&head, &items[0].node);
	assert_items(&head, "012");
	assert_int_equal(value(list_first(&head)), 0);
	assert_int_equal(value(list_last(&head)), 2);
	list_remove(&items[1].node);
	list_remove(&items[1].node); /* in no list: nothing happens */
	assert_items(&head, "02");
	list_push_back(&other, &items[3].node);
	list_splice(&head, &other);
	assert_items(&head, "023");
	assert_true(list_empty(&other));
	list_splice(&head, &other);
	assert_items(&head, "023");
}

static void test_removal_while_walking(void **state)
{
	struct item items[5];
	struct list head;

	(void)state;
	list_init(&head);
	for (int i = 0; i < 5; i++) {
		items[i].n = i;
		list_push_back(&head, &items[i].node);
	}
	LIST_FOREACH_SAFE (it, &head)
		if (value(it) % 2 == 0)
			list_remove(it);
	assert_items(&head, "13");
}

static void test_state_machine(void **state)
{
	enum { IDLE, BUSY, DONE };
	static const struct sm_state table[] = {
		[IDLE] = { "idle", BIT(BUSY) },
		[BUSY] = { "busy", BIT(IDLE) | BIT(DONE) },
		[DONE] = { "done", 0 },
	};
	int now = IDLE;

	(void)state;
	sm_move(table, &now, BUSY);
	sm_move(table, &now, IDLE);
	sm_move(table, &now, BUSY);
	sm_move(table, &now, DONE);
	assert_int_equal(now, DONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_removal_while_walking),
		cmocka_unit_test(test_state_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
