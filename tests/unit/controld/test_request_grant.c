/* request_grant: relays together never hold more of a tenant's requests than are left of its month. */
#include "controld/balancer/request_grant.h"

#include "common/base/str.h"
#include "controld/tunnels/placement.h"
#include "controld/tunnels/tunnels.h"
#include "tests/unit/lib/test_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define DAY INT64_C(86400000)
/* 2026-11-10, 2026-12-01 */
#define NOW  INT64_C(1794268800000)
#define NEXT INT64_C(1796083200000)

static struct test_store t;

static int work_open(struct db *tx, void *arg, struct err *e)
{
	static const char *const rows[] = {
		"INSERT INTO tenants (id, tenant_id, name, name_key, status, dial_allow, version, created_ms, "
		"updated_ms, plan, "
		"max_users, "
		"max_requests_per_month) VALUES ('ten_1', 'ten_1', 'one', 'one', 'active', '[]', 1, 5, 5, '', 0, 8000)",
		"INSERT INTO tenants (id, tenant_id, name, name_key, status, dial_allow, version, created_ms, "
		"updated_ms, plan, "
		"max_users, "
		"max_requests_per_month) VALUES ('ten_2', 'ten_2', 'two', 'two', 'active', '[]', 1, 5, 5, '', 0, 0)",
		"INSERT INTO lb_routes (id, tenant_id, user_id, host, path_prefix, pool_name, group_id, group_name, "
		"node_id, "
		"node_name, active, ssl_enabled, settings, version, seq, created_ms, updated_ms) VALUES ('rte_1', "
		"'ten_1', '', "
		"'a.test', '/', '', 'g', 'g', '', '', 1, 0, '{}', 1, 1, 0, 0)",
		/* before this month 500 had passed */
		"INSERT INTO tenant_months (tenant_id, start_ms, requests, bytes_in, bytes_out) VALUES ('ten_1', "
		"1793491200000, 500, 0, 0)",
	};
	const struct placement_object route = { .id = "rte_1", .tenant_id = "ten_1", .group_id = "g", .node_id = "" };

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (db_exec(tx, rows[i], e) < 0)
			return -1;
	return placement_note_object(tx, &route, e) != 0 || placement_note_node(tx, "n1", "g", e) != 0 ||
	                       placement_note_node(tx, "n2", "g", e) != 0 || placement_note_node(tx, "n3", "h", e) != 0
	               ? -1
	               : 0;
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

static struct grant_item got;
static int answer;

static int work_grant(struct db *tx, void *arg, struct err *e)
{
	got = (struct grant_item){ .limit = 0 };
	answer = request_grant(tx, arg, &got, e);
	return MIN(answer, 0);
}

/* Up to where the relay may go; -1: it is no account. */
static int64_t ask(const char *account, const char *node, int64_t held, int64_t settled, int64_t now_ms)
{
	struct spend_item item = { .held = (uint64_t)held, .settled = (uint64_t)settled, .wants = true };
	struct request_ask what = { node, "b", &item, now_ms };
	struct err e;

	str_copy(item.account, sizeof item.account, account);
	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_grant, &what, &e), e);
	return answer == 1 ? (int64_t)got.limit : -1;
}

static int work_sql(struct db *tx, void *arg, struct err *e)
{
	return MIN(db_exec(tx, arg, e), 0);
}

static void run_sql(const char *statement)
{
	struct err e;

	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_sql, (void *)(uintptr_t)statement, &e), e);
}

static void together_no_more_than_is_left(void **state)
{
	int64_t one = 0, two = 0;

	(void)state;
	assert_int_equal(ask("ten_1", "n1", 0, 0, NOW), 1000);
	assert_int_equal(ask("ten_1", "n1", 0, 0, NOW), 1000); /* the answer was lost */
	assert_int_equal(ask("ten_1", "n2", 0, 0, NOW), 875);
	for (unsigned i = 0; i < 300; i++) {
		one = ask("ten_1", "n1", one, 0, NOW);
		two = ask("ten_1", "n2", two, 0, NOW);
		assert_true(one + two <= 8000);
	}
	assert_int_equal(one + two, 8000);
	assert_true(got.used_up);
	assert_int_equal(got.resets_ms, NEXT);
	assert_string_equal(got.account, "ten_1");
}

/* What has passed counts from the begin of the month; where that is not known yet nothing counts, rather than all of all time. */
static void months(void **state)
{
	(void)state;
	run_sql("INSERT INTO traffic (scope, tenant_id, id, user_id, active, bytes_in, bytes_out, packets_in, "
		"packets_out, "
		"opened, closed, refused_limit, refused_source, refused_cidr, refused_proxy, refused_dial, "
		"refused_resource, "
		"dropped_in, dropped_out, timed_out, reset, updated_ms, requests) VALUES ('tenant', 'ten_1', 'ten_1', "
		"'', 0, 0, 0, "
		"0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 8500)");
	assert_int_equal(ask("ten_1", "n1", 0, 0, NOW), 0);
	assert_true(got.used_up);
	assert_int_equal(ask("ten_1", "n1", 0, 0, NEXT + DAY), 1000);
	run_sql("INSERT INTO tenant_months (tenant_id, start_ms, requests, bytes_in, bytes_out) VALUES ('ten_1', "
		"1796083200000, "
		"8500, 0, 0)");
	assert_int_equal(ask("ten_1", "n1", 1000, 1000, NEXT + DAY), 2000);
}

static void who_has_none(void **state)
{
	(void)state;
	assert_int_equal(ask("ten_2", "n1", 0, 0, NOW), -1);
	assert_int_equal(ask("ten_9", "n1", 0, 0, NOW), -1);
	assert_int_equal(ask("ten_1", "n3", 0, 0, NOW), -1); /* none of its routes is there */
}

/* A relay that is gone for long holds nothing back. */
static void forgotten(void **state)
{
	(void)state;
	assert_int_equal(ask("ten_1", "n1", 7000, 0, NOW), 7125);
	assert_true(ask("ten_1", "n2", 0, 0, NOW + 1000) < 200);
	assert_int_equal(ask("ten_1", "n2", 0, 0, NOW + DAY), 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(together_no_more_than_is_left, set_up, tear_down),
		cmocka_unit_test_setup_teardown(months, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_has_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(forgotten, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
