/* client_conf: golden bytes, round trip of every field, what is not sound, which ports pass. */
#include "proto/client_conf.h"
#include "tests/unit/proto/wire.h"

static int decode(const void *p, size_t n)
{
	static const struct client_conf nothing;
	struct client_conf c;
	int rc = client_conf_decode(&c, p, n);

	if (rc != 0)
		assert_memory_equal(&c, &nothing, sizeof c);
	return rc;
}

static void encode(struct buf *b, const struct client_conf *c)
{
	buf_init(b, PROTO_MSG_MAX);
	client_conf_encode(c, b);
	assert_false(b->failed);
}

/* Every field has a value of its own, so that two that changed places show. */
static const struct client_conf most = {
	.enabled = true,
	.n_keys = 2,
	.keys = { { .public_key = { 0xa1, [31] = 0xa2 } },
		{ .public_key = { 0xb1, [31] = 0xb2 }, .not_after_ms = 0x0102 } },
	.rate_in = 0x11,
	.rate_out = 0x12,
	.max_connections = 0x13,
	.heartbeat_s = 0x14,
	.compress = true,
	.expires_ms = 0x15,
	.allowed = { 2, { { 22, 22 }, { 8000, 8080 } } },
	.blocked = { 1, { { 8001, 8002 } } },
	.tenant = "ten_a",
};

#define ZEROS_30 "000000000000000000000000000000000000000000000000000000000000"

static void test_golden(void **state)
{
	struct buf b;

	(void)state;
	encode(&b, &most);
	assert_wire(&b, "01 01 00 00000002"
			" a1 " ZEROS_30 " a2 0000000000000000"
			" b1 " ZEROS_30 " b2 0000000000000102"
			" 0000000000000011 0000000000000012 00000013 00000014 01 00 0000000000000015"
			" 00000002 0016 0016 1f40 1f90"
			" 00000001 1f41 1f42"
			" 0005 74656e5f61");
	for (size_t n = 0; n < b.len; n++)
		assert_int_equal(wire_decode_copy(decode, b.data, n), -1);
	for (size_t bit = 0; bit < 8 * b.len; bit++) {
		b.data[bit / 8] ^= (uint8_t)BIT(bit % 8);
		(void)wire_decode_copy(decode, b.data, b.len);
		b.data[bit / 8] ^= (uint8_t)BIT(bit % 8);
	}
	buf_u8(&b, 0);
	assert_int_equal(wire_decode_copy(decode, b.data, b.len), -1);
	buf_free(&b);
}

static void test_round_trip(void **state)
{
	static const struct client_conf least;
	struct client_conf got;
	struct buf b;

	(void)state;
	encode(&b, &most);
	assert_int_equal(client_conf_decode(&got, b.data, b.len), 0);
	assert_true(got.enabled && !got.single && got.compress && !got.reconnect);
	assert_int_equal(got.n_keys, 2);
	assert_memory_equal(got.keys, most.keys, sizeof got.keys);
	assert_int_equal(got.rate_in, 0x11);
	assert_int_equal(got.rate_out, 0x12);
	assert_int_equal(got.max_connections, 0x13);
	assert_int_equal(got.heartbeat_s, 0x14);
	assert_int_equal(got.expires_ms, 0x15);
	assert_memory_equal(&got.allowed, &most.allowed, sizeof got.allowed);
	assert_memory_equal(&got.blocked, &most.blocked, sizeof got.blocked);
	assert_string_equal(got.tenant, "ten_a");
	buf_free(&b);
	encode(&b, &least);
	assert_int_equal(decode(b.data, b.len), 0);
	buf_free(&b);
}

static void test_refused(void **state)
{
	const size_t keys = 3, second_end = keys + 4 + 40 + 32, rates = keys + 4 + 80,
		     ports = rates + 8 + 8 + 4 + 4 + 2 + 8;
	struct buf b;

	(void)state;
	encode(&b, &most);
	assert_refused_with(decode, &b, 0, 0); /* version */
	assert_refused_with(decode, &b, 0, 2);
	assert_refused_with(decode, &b, 1, 2); /* enabled */
	assert_refused_with(decode, &b, 2, 2); /* single */
	assert_refused_with(decode, &b, keys + 3, 5);
	assert_refused_with(decode, &b, second_end, 0x80);    /* before 1970 */
	assert_refused_with(decode, &b, rates + 24, 2);       /* compress */
	assert_refused_with(decode, &b, rates + 25, 2);       /* reconnect */
	assert_refused_with(decode, &b, ports - 8, 0x80);     /* expires */
	assert_refused_with(decode, &b, ports + 3, 65);       /* more than CLIENT_PORTS_MAX */
	assert_refused_with(decode, &b, ports + 4 + 1, 0);    /* port 0 */
	assert_refused_with(decode, &b, ports + 4 + 4, 0xff); /* first after last */
	assert_refused_with(decode, &b, b.len - 1, 0);        /* a NUL in the tenant */
	buf_free(&b);
}

static void test_longest_lists(void **state)
{
	struct client_conf c = {
		.n_keys = CLIENT_KEYS_MAX, .allowed.n = CLIENT_PORTS_MAX, .blocked.n = CLIENT_PORTS_MAX
	};
	struct buf b;

	(void)state;
	for (uint16_t i = 0; i < CLIENT_PORTS_MAX; i++)
		c.allowed.items[i] = c.blocked.items[i] = (struct client_port_range){ (uint16_t)(i + 1), UINT16_MAX };
	encode(&b, &c);
	assert_int_equal(decode(b.data, b.len), 0);
	buf_free(&b);
}

static void test_ports(void **state)
{
	static const struct client_conf open, shut = { .blocked = { 1, { { 1, UINT16_MAX } } } };
	static const struct {
		uint16_t port;
		bool ok;
	} cases[] = { { 21, false }, { 22, true }, { 23, false }, { 8000, true }, { 8001, false }, { 8002, false },
		{ 8003, true }, { 8080, true }, { 8081, false } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (client_conf_port_ok(&most, cases[i].port) != cases[i].ok)
			fail_msg("port %u", cases[i].port);
	assert_true(client_conf_port_ok(&open, 1));
	assert_false(client_conf_port_ok(&shut, UINT16_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_longest_lists),
		cmocka_unit_test(test_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
