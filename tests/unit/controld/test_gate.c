#include "controld/fleet/line/gate.h"

#include "common/base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)

static bool tries(struct gate *g, const char *ip, uint64_t now_ns)
{
	struct addr a;
	uint32_t retry_ms = 0;
	bool admitted;

	assert_int_equal(addr_parse_ip(&a, ip, 1234), 0);
	admitted = gate_admits(g, &a, now_ns, &retry_ms);
	assert_int_equal(admitted, retry_ms == 0);
	return admitted;
}

static unsigned count(struct gate *g, const char *ip, unsigned n, uint64_t now_ns)
{
	unsigned admitted = 0;

	for (unsigned i = 0; i < n; i++)
		admitted += tries(g, ip, now_ns);
	return admitted;
}

static struct gate *gate_make(uint32_t per_address, uint32_t total)
{
	const struct gate_conf c = { per_address, total };
	struct gate *g;

	assert_int_equal(gate_new(&g, &c, SECOND, NULL), 0);
	return g;
}

static void test_per_address(void **state)
{
	struct gate *g = gate_make(3, 1000);

	(void)state;
	assert_int_equal(count(g, "192.0.2.1", 10, SECOND), 3);
	assert_int_equal(count(g, "192.0.2.2", 10, SECOND), 3);
	assert_int_equal(count(g, "192.0.2.1", 10, 2 * SECOND), 3);
	gate_free(g);
}

static void test_ipv6_by_64(void **state)
{
	struct gate *g = gate_make(3, 1000);

	(void)state;
	assert_int_equal(count(g, "2001:db8::1", 2, SECOND), 2);
	assert_int_equal(count(g, "2001:db8::ffff:1", 5, SECOND), 1);
	assert_int_equal(count(g, "2001:db8:0:1::1", 5, SECOND), 3);
	gate_free(g);
}

static void test_in_all(void **state)
{
	struct gate *g = gate_make(3, 5);

	(void)state;
	assert_int_equal(count(g, "192.0.2.1", 3, SECOND), 3);
	assert_int_equal(count(g, "192.0.2.2", 3, SECOND), 2);
	assert_int_equal(count(g, "127.0.0.1", 3, SECOND), 0);
	assert_int_equal(count(g, "192.0.2.2", 3, 2 * SECOND), 3); /* its own share was not used up by that */
	gate_free(g);
}

static void test_this_machine_counts_in_all_only(void **state)
{
	struct gate *g = gate_make(3, 100);

	(void)state;
	assert_int_equal(count(g, "127.0.0.1", 50, SECOND), 50);
	assert_int_equal(count(g, "::1", 100, SECOND), 50);
	gate_free(g);
}

/* A crowd of addresses takes no more memory than GATE_ADDRESSES_MAX of them; those that have gone make room. */
static void test_crowd(void **state)
{
	struct gate *g = gate_make(1, 1000000);
	unsigned admitted = 0;
	char ip[32];

	(void)state;
	for (unsigned i = 0; i < GATE_ADDRESSES_MAX + 100; i++) {
		str_fmt(ip, sizeof ip, "10.0.%u.%u", i / 256, i % 256);
		admitted += tries(g, ip, SECOND);
	}
	assert_int_equal(admitted, GATE_ADDRESSES_MAX);
	assert_true(tries(g, "10.9.9.9", 10 * SECOND));
	gate_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_per_address),
		cmocka_unit_test(test_ipv6_by_64),
		cmocka_unit_test(test_in_all),
		cmocka_unit_test(test_this_machine_counts_in_all_only),
		cmocka_unit_test(test_crowd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
