/* quota_grant: relays together never hold more than is left, whatever is repeated or lost. */
#include "controld/tunnels/quota_grant.h"

#include "common/base/str.h"
#include "controld/tunnels/placement.h"
#include "controld/tunnels/quota.h"
#include "controld/tunnels/tunnels.h"
#include "tests/unit/lib/test_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MB (INT64_C(1) << 20)

static struct test_store t;

static int work_open(struct db *tx, void *arg, struct err *e)
{
	const struct quota q = {
		.user_id = "usr_1",
		.tenant_id = "red",
		.monthly_bytes = 10 * MB,
		.reset_day = 1,
		.time_zone = "UTC",
		.end_ms = 9000,
	};
	const struct mapping placed = { .id = "map_a", .tenant_id = "red", .group_id = "g" };

	(void)arg;
	if (placement_note(tx, &placed, e) != 0 || placement_note_node(tx, "n1", "g", e) != 0 ||
		placement_note_node(tx, "n2", "g", e) != 0 || placement_note_node(tx, "n3", "h", e) != 0 ||
		db_exec(tx,
			"INSERT INTO mappings (id, tenant_id, user_id, name, description, group_id, group_name, "
			"node_id, "
			"node_name, active, protocol, bind_address, source_port, source_port_end, target_host, "
			"target_port, "
			"dial_any, expires_ms, settings, version, seq, created_ms, updated_ms) VALUES ('map_a', 'red', "
			"'usr_1', '', '', 'g', 'g', '', '', 1, 'tcp', '', 1, 1, 'h', 1, 0, 0, '{}', 1, 1, 0, 0)",
			e) < 0)
		return -1;
	return quota_put(tx, &q, e);
}

static int set_up(void **state)
{
	struct err e;

	(void)state;
	test_store_open(&t);
	TEST_STORE_MUST(store_write(t.store, STORE_LOGGED, work_open, NULL, &e), e);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	test_store_close(&t);
	return 0;
}

struct question {
	const char *node;
	int64_t now_ms;
	struct msg_spend spend;
	struct msg_grant grant;
};

static int work_grant(struct db *tx, void *arg, struct err *e)
{
	struct question *q = arg;

	return quota_grant(tx, q->node, &q->spend, q->now_ms, &q->grant, e);
}

static struct question question;

/* What the relay may pass now. */
static int64_t ask_at(const char *node, int64_t held, int64_t settled, int64_t now_ms)
{
	struct err e;

	question = (struct question){ .node = node, .now_ms = now_ms, .spend = { .boot = "b", .n = 1 } };
	question.spend.items[0] = (struct spend_item){
		.account = "usr_1", .held = (uint64_t)held, .settled = (uint64_t)settled, .wants = true
	};
	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_grant, &question, &e), e);
	assert_int_equal(question.grant.n, 1);
	return (int64_t)question.grant.items[0].limit;
}

static int64_t ask(const char *node, int64_t held, int64_t settled)
{
	return ask_at(node, held, settled, 1000);
}

static void together_no_more_than_is_left(void **state)
{
	int64_t one = 0, two = 0;

	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		one = ask("n1", one, 0);
		two = ask("n2", two, 0);
		assert_true(one + two <= 10 * MB);
	}
	assert_true(question.grant.items[0].used_up);
	assert_int_equal(question.grant.items[0].resets_ms, 9000);
	assert_int_equal(one + two, 10 * MB); /* all of it can be had */
}

static void what_is_repeated_or_lost(void **state)
{
	int64_t first = ask("n1", 0, 0), other;

	(void)state;
	assert_int_equal(first, 10 * MB / 8);
	assert_int_equal(ask("n1", 0, 0), first); /* the answer was lost: nothing was spent of it */
	other = ask("n2", 0, 0);
	assert_int_equal(other, (10 * MB - first) / 8);
	assert_int_equal(ask("n2", 0, 0), other);
}

static void who_may_not(void **state)
{
	(void)state;
	(void)ask("n3", 0, 0); /* nothing of the user's is there: it takes nothing from others */
	assert_int_equal(ask("n1", 0, 0), 10 * MB / 8);
}

/* A relay that is gone for long holds nothing back. */
static void forgotten(void **state)
{
	(void)state;
	assert_int_equal(ask_at("n1", 9 * MB, 0, 1000), 9 * MB + MB / 8);
	assert_true(ask_at("n2", 0, 0, 2000) < MB);
	assert_int_equal(ask_at("n2", 0, 0, 3602000), 10 * MB / 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(together_no_more_than_is_left, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_repeated_or_lost, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_may_not, set_up, tear_down),
		cmocka_unit_test_setup_teardown(forgotten, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
