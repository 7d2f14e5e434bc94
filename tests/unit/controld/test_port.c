/* port: who meets whom, picking a free one, ranges, and what the refusal says. */
#include "controld/tunnels/port.h"

#include "tests/unit/lib/test_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct test_store t;

static int setup(void **state)
{
	(void)state;
	test_store_open(&t);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	test_store_close(&t);
	return 0;
}

struct job {
	const char *mapping, *tenant, *group, *protocol, *address;
	uint16_t first, last; /* of a pick: the range to look in */
	bool pick;
	uint16_t got;
};

static int work(struct db *tx, void *arg, struct err *e)
{
	struct job *j = arg;
	const struct port_place at = { j->tenant, j->group, j->protocol, j->address };

	if (!j->pick)
		return port_claim(tx, &at, j->mapping, j->first, j->last, e);
	if (port_pick(tx, &at, &(struct port_wish){ j->first, j->last, 1, 0 }, &j->got, e) != 0)
		return -1;
	return port_claim(tx, &at, j->mapping, j->got, j->got, e);
}

static int run(struct job *j, struct err *e)
{
	memset(e, 0, sizeof *e);
	return store_write(t.store, STORE_LOGGED, work, j, e);
}

static int work_release(struct db *tx, void *arg, struct err *e)
{
	return port_release(tx, arg, e);
}

static void release(const char *mapping)
{
	struct err e;

	TEST_STORE_MUST(store_write(t.store, STORE_LOGGED, work_release, (void *)(uintptr_t)mapping, &e), e);
}

static void who_meets_whom(void **state)
{
	static const struct {
		const char *a, *b;
		bool meet;
	} cases[] = {
		{ "", "", true },
		{ "", "0.0.0.0", true },
		{ "", "::", true },
		{ "", "192.0.2.1", true },
		{ "", "2001:db8::1", true },
		{ "0.0.0.0", "0.0.0.0", true },
		{ "0.0.0.0", "192.0.2.1", true },
		{ "::", "2001:db8::1", true },
		{ "192.0.2.1", "192.0.2.1", true },
		{ "192.0.2.1", "192.0.2.2", false },
		{ "0.0.0.0", "::", false },
		{ "0.0.0.0", "2001:db8::1", false },
		{ "::", "192.0.2.1", false },
		{ "192.0.2.1", "2001:db8::1", false },
	};
	struct err e;

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_LEN(cases); i++) { /* either may be the first */
		const char *first = i % 2 ? cases[i / 2].b : cases[i / 2].a;
		const char *second = i % 2 ? cases[i / 2].a : cases[i / 2].b;
		struct job one = { "one", "t", "g", "tcp", first, 80, 80, false, 0 };
		struct job two = { "two", "t", "g", "tcp", second, 80, 80, false, 0 };

		print_message("'%s' and '%s'\n", first, second);
		assert_int_equal(run(&one, &e), 0);
		assert_int_equal(run(&two, &e), cases[i / 2].meet ? -1 : 0);
		assert_int_equal(e.code, cases[i / 2].meet ? ERR_PORT_TAKEN : ERR_NONE);
		release("one");
		release("two");
	}
}

static void other_groups_and_protocols(void **state)
{
	struct job tcp = { "a", "t", "g", "tcp", "", 53, 53, false, 0 };
	struct job udp = { "b", "t", "g", "udp", "", 53, 53, false, 0 };
	struct job elsewhere = { "c", "t", "h", "tcp", "", 53, 53, false, 0 };
	struct err e;

	(void)state;
	assert_int_equal(run(&tcp, &e), 0);
	assert_int_equal(run(&udp, &e), 0);
	assert_int_equal(run(&elsewhere, &e), 0);
	release("a");
	release("b");
	release("c");
}

static void refusal_names_port_and_own_mapping(void **state)
{
	struct job range = { "map_own", "red", "g", "tcp", "", 1000, 1009, false, 0 };
	struct job own = { "x", "red", "g", "tcp", "", 1005, 1020, false, 0 };
	struct job foreign = { "x", "blue", "g", "tcp", "192.0.2.1", 990, 1000, false, 0 };
	struct job beside = { "y", "blue", "g", "tcp", "", 1010, 1020, false, 0 };
	struct err e;

	(void)state;
	assert_int_equal(run(&range, &e), 0);
	assert_int_equal(run(&own, &e), -1);
	assert_string_equal(e.field, "source_port");
	assert_string_equal(e.value, "1005");
	assert_non_null(strstr(e.msg, "1005"));
	assert_non_null(strstr(e.msg, "map_own"));
	assert_int_equal(run(&foreign, &e), -1);
	assert_non_null(strstr(e.msg, "1000"));
	assert_null(strstr(e.msg, "map_own"));
	assert_int_equal(run(&beside, &e), 0); /* a refused claim has left nothing behind */
	release("map_own");
	release("y");
}

static void pick_finds_the_last_free_one(void **state)
{
	struct job low = { "low", "t", "g", "tcp", "", 1, 500, false, 0 };
	struct job high = { "high", "t", "g", "tcp", "192.0.2.1", 502, 1000, false, 0 };
	struct job other = { "high", "t", "g", "tcp", "192.0.2.2", 502, 1000, false, 0 }; /* two rows a port */
	struct job pick = { "pick", "t", "g", "tcp", "", 1, 1000, true, 0 };
	struct job specific = { "specific", "t", "g", "tcp", "192.0.2.3", 501, 1000, true, 0 };
	struct err e;

	(void)state;
	assert_int_equal(run(&low, &e), 0);
	assert_int_equal(run(&high, &e), 0);
	assert_int_equal(run(&other, &e), 0);
	assert_int_equal(run(&pick, &e), 0);
	assert_int_equal(pick.got, 501);
	assert_int_equal(run(&pick, &e), -1);
	assert_int_equal(e.code, ERR_NO_PORT);
	assert_int_equal(run(&specific, &e), 0); /* another address: only 501 is held by everybody */
	assert_true(specific.got > 501);
	release("low");
	release("high");
	release("pick");
	release("specific");
}

static void picks_differ_and_fill_the_range(void **state)
{
	bool seen[200] = { false };
	bool in_order = true;
	uint16_t before = 0;
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(seen); i++) {
		struct job j = { "m", "t", "g", "udp", "", 10000, 10199, true, 0 };

		assert_int_equal(run(&j, &e), 0);
		assert_in_range(j.got, 10000, 10199);
		assert_false(seen[j.got - 10000]);
		seen[j.got - 10000] = true;
		in_order &= j.got > before;
		before = j.got;
	}
	assert_false(in_order);
	release("m");
}

struct range {
	struct port_wish wish;
	uint16_t got;
};

static int work_range(struct db *tx, void *arg, struct err *e)
{
	const struct port_place at = { "t", "g", "tcp", "" };
	struct range *r = arg;

	return port_pick(tx, &at, &r->wish, &r->got, e);
}

static void a_range_needs_a_gap_as_wide(void **state)
{
	struct job low = { "low", "t", "g", "tcp", "", 1003, 1004, false, 0 };
	struct job high = { "high", "t", "g", "tcp", "", 1009, 1009, false, 0 };
	static const struct {
		uint16_t n, start, want; /* want 0: there is none */
	} cases[] = {
		{ 4, 0, 1005 },
		{ 4, 1006, 1005 },
		{ 3, 1006, 1006 },
		{ 3, 1007, 1010 },
		{ 3, 1011, 1000 },
		{ 2, 1012, 1000 },
		{ 1, 1012, 1012 },
		{ 5, 0, 0 },
		{ 13, 1000, 0 },
		{ 14, 1000, 0 },
	};
	struct err e;

	(void)state;
	assert_int_equal(run(&low, &e), 0);
	assert_int_equal(run(&high, &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct range r = { .wish = { 1000, 1012, cases[i].n, cases[i].start } };

		print_message("%u from %u on\n", cases[i].n, cases[i].start);
		memset(&e, 0, sizeof e);
		assert_int_equal(store_write(t.store, STORE_LOGGED, work_range, &r, &e), cases[i].want != 0 ? 0 : -1);
		assert_int_equal(r.got, cases[i].want);
		assert_int_equal(e.code, cases[i].want != 0 ? ERR_NONE : ERR_NO_PORT);
	}
	release("low");
	release("high");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_meets_whom),
		cmocka_unit_test(other_groups_and_protocols),
		cmocka_unit_test(refusal_names_port_and_own_mapping),
		cmocka_unit_test(pick_finds_the_last_free_one),
		cmocka_unit_test(picks_differ_and_fill_the_range),
		cmocka_unit_test(a_range_needs_a_gap_as_wide),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
