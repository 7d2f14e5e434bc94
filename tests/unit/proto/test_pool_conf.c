/* pool_conf: golden bytes, round trip of every field, what is not sound. */
#include "proto/pool_conf.h"
#include "tests/unit/proto/wire.h"

static int decode(const void *p, size_t n)
{
	struct pool_conf pool;
	int rc = pool_conf_decode(&pool, p, n);

	if (rc == 0)
		pool_conf_fini(&pool);
	else
		assert_null(pool.mem.pieces);
	return rc;
}

static struct pool_conf least(void)
{
	return (struct pool_conf){ .algorithm = POOL_ROUND_ROBIN, .headroom_percent = 100 };
}

/* Every field has a value of its own, so that two that changed places show. */
static struct pool_conf most(void)
{
	static struct pool_status statuses[] = { { 200, 299 }, { 401, 401 } };
	static struct cidr dial[] = { { 4, 8, { 10 } } };
	static struct pool_backend backends[] = {
		{ .id = "be_a",
			.host = "10.0.0.1",
			.region = "eu",
			.port = 0x0102,
			.weight = 0x31,
			.max_connections = 0x32 },
		{ .id = "be_b",
			.host = "b.example",
			.client = "7",
			.port = 0x0304,
			.backup = true,
			.dial_any = true,
			.own_health = true,
			.health = { .type = POOL_CHECK_TCP,
				.interval_ms = 0x2000,
				.timeout_ms = 0x0200,
				.rise = 4,
				.fall = 5 } },
	};

	return (struct pool_conf){
		.tenant = "ten_a",
		.name = "web",
		.algorithm = POOL_ADAPTIVE_AI,
		.sticky = POOL_STICKY_COOKIE,
		.cookie = "pw",
		.sticky_ttl_s = 0x11,
		.secret = { 0xa1, [31] = 0xa2 },
		.health = { .type = POOL_CHECK_HTTP,
			.interval_ms = 0x1000,
			.timeout_ms = 0x0100,
			.rise = 2,
			.fall = 3,
			.port = 0x0506,
			.method = "GET",
			.path = "/h",
			.host = "c.example",
			.service = "s",
			.body = "ok",
			.statuses = statuses,
			.n_statuses = 2 },
		.outlier = { 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18 },
		.panic_percent = 0x19,
		.headroom_percent = 0x8c,
		.slow_start_ms = 0x1a,
		.queue_max = 0x1b,
		.queue_timeout_ms = 0x1c,
		.retry_percent = 0x1d,
		.retry_per_second = 0x1e,
		.protocol = POOL_H2,
		.tls = true,
		.server_name = "d.example",
		.ca = "PEM",
		.connect_timeout_ms = 0x1f,
		.response_timeout_ms = 0x20,
		.idle_timeout_ms = 0x21,
		.idle_max = 0x22,
		.proxy_out = MAPPING_PROXY_V2,
		.dial_allow = { dial, 1 },
		.backends = backends,
		.n_backends = 2,
	};
}

static void encode(struct buf *b, const struct pool_conf *p)
{
	buf_init(b, PROTO_MSG_MAX);
	pool_conf_encode(p, b);
	assert_false(b->failed);
}

#define ZEROS_30 "000000000000000000000000000000000000000000000000000000000000"

static void test_golden(void **state)
{
	const struct pool_conf pool = most();
	struct buf b;

	(void)state;
	encode(&b, &pool);
	assert_wire(&b,
		"01 0005 74656e5f61 0003 776562 08 01 0002 7077 00000011 a1 " ZEROS_30 " a2"
		" 02 00001000 00000100 00000002 00000003 0506 0003 474554 0002 2f68"
		" 0009 632e6578616d706c65 0001 73 0002 6f6b 00000002 00c8 012b 0191 0191"
		" 00000012 00000013 00000014 00000015 00000016 00000017 00000018"
		" 00000019 0000008c 0000001a 0000001b 0000001c 0000001d 0000001e"
		" 01 01 00 0009 642e6578616d706c65 00000003 50454d 0000001f 00000020 00000021 00000022 02 00"
		" 00000001 04 08 0a000000"
		" 00000002 0004 62655f61 0008 31302e302e302e31 0102 0000 0002 6575 00 00 00 00000031 00000032"
		" 0004 62655f62 0009 622e6578616d706c65 0304 0001 37 0000 01 01 01"
		" 01 00002000 00000200 00000004 00000005 0000 0000 0000 0000 0000 0000 00000000 00000000 00000000");
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

static void assert_same_again(const struct pool_conf *pool)
{
	struct pool_conf got;
	struct buf b, again;

	encode(&b, pool);
	assert_int_equal(pool_conf_decode(&got, b.data, b.len), 0);
	encode(&again, &got);
	assert_int_equal(again.len, b.len);
	assert_memory_equal(again.data, b.data, b.len);
	pool_conf_fini(&got);
	buf_free(&b);
	buf_free(&again);
}

static void test_round_trip(void **state)
{
	const struct pool_conf full = most(), empty = least();
	struct pool_conf got;
	struct buf b;

	(void)state;
	assert_same_again(&full);
	assert_same_again(&empty);
	encode(&b, &full);
	assert_int_equal(pool_conf_decode(&got, b.data, b.len), 0);
	assert_string_equal(got.health.host, "c.example");
	assert_int_equal(got.health.statuses[1].first, 401);
	assert_int_equal(got.outlier.max_percent, 0x18);
	assert_string_equal(got.ca, "PEM");
	assert_int_equal(got.dial_allow.items[0].bits, 8);
	assert_string_equal(got.backends[0].region, "eu");
	assert_string_equal(got.backends[0].client, "");
	assert_string_equal(got.backends[1].client, "7");
	assert_true(got.backends[1].backup && got.backends[1].dial_any && got.backends[1].own_health);
	assert_int_equal(got.backends[1].health.fall, 5);
	assert_false(got.backends[0].own_health);
	pool_conf_fini(&got);
	buf_free(&b);
}

/* A pool that is wrong in one place. */
#define assert_refused(member, value)                         \
	do {                                                  \
		struct pool_conf pool = most();               \
		struct buf b;                                 \
		pool.member = (value);                        \
		encode(&b, &pool);                            \
		if (decode(b.data, b.len) == 0)               \
			fail_msg("%s = %s", #member, #value); \
		buf_free(&b);                                 \
	} while (0)

static void test_refused(void **state)
{
	struct pool_backend wrong = { .id = "b", .host = "h", .port = 1, .weight = 1 };
	struct pool_status low[] = { { 99, 200 }, { 200, 200 } }, inverted[] = { { 300, 299 }, { 200, 200 } };

	(void)state;
	assert_refused(algorithm, 0);
	assert_refused(algorithm, 9);
	assert_refused(sticky, 3);
	assert_refused(cookie, "a b");
	assert_refused(cookie, "");
	assert_refused(health.interval_ms, 999);
	assert_refused(health.timeout_ms, 60001);
	assert_refused(health.rise, 0);
	assert_refused(health.fall, 11);
	assert_refused(health.method, "G T");
	assert_refused(health.path, "h");
	assert_refused(health.path, "/a b");
	assert_refused(health.host, "a\rb");
	assert_refused(health.statuses, low);
	assert_refused(health.statuses, inverted);
	assert_refused(outlier.max_percent, 101);
	assert_refused(panic_percent, 101);
	assert_refused(headroom_percent, 99);
	assert_refused(retry_percent, 101);
	assert_refused(protocol, 3);
	assert_refused(protocol, POOL_H2C); /* over TLS */
	assert_refused(tls, false);         /* h2 in clear is h2c */
	assert_refused(server_name, "a b");
	assert_refused(proxy_out, 3);
	for (int i = 0; i < 4; i++) {
		struct pool_backend b = wrong;
		struct pool_conf pool = least();
		struct buf out;

		b.id = i == 0 ? "" : b.id;
		b.host = i == 1 ? "a b" : b.host;
		b.port = i == 2 ? 0 : b.port;
		b.weight = i == 3 ? POOL_WEIGHT_MAX + 1 : b.weight;
		pool.backends = &b;
		pool.n_backends = 1;
		encode(&out, &pool);
		assert_int_equal(decode(out.data, out.len), -1);
		buf_free(&out);
	}
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(pool_algorithm_name(POOL_ROUND_ROBIN), "round_robin");
	assert_string_equal(pool_algorithm_name(POOL_ADAPTIVE_AI), "adaptive_ai");
	assert_string_equal(pool_algorithm_name(0), "");
	assert_string_equal(pool_algorithm_name(9), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
