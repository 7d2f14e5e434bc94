/* mapping_conf: golden bytes, round trip of every field, what is not sound. */
#include "proto/mapping_conf.h"
#include "tests/unit/proto/wire.h"

static int decode(const void *p, size_t n)
{
	struct mapping_conf m;
	int rc = mapping_conf_decode(&m, p, n);

	if (rc == 0)
		mapping_conf_fini(&m);
	else
		assert_null(m.allow.items);
	return rc;
}

static struct mapping_conf least(void)
{
	return (struct mapping_conf){
		.protocol = MAPPING_TCP,
		.port_first = 1000,
		.port_last = 1000,
		.target_host = "t",
		.target_port = 80,
	};
}

/* Every field has a value of its own, so that two that changed places show. */
static struct mapping_conf most(void)
{
	static struct cidr allow[] = { { 4, 8, { 10 } }, { 6, 32, { 0x20, 0x01, 0x0d, 0xb8 } } };
	static struct cidr deny[] = { { 4, 32, { 10, 1, 2, 3 } } };
	static struct cidr trusted[] = { { 4, 0, { 0 } } };
	static struct cidr dial[] = { { 6, 128, { [15] = 1 } } };

	return (struct mapping_conf){
		.protocol = MAPPING_UDP,
		.on_delete = MAPPING_CUT,
		.proxy_out = MAPPING_PROXY_V2,
		.proxy_out_every = true,
		.enabled = true,
		.hot = true,
		.bind = "::1",
		.port_first = 0x0102,
		.port_last = 0x0304,
		.target_host = "db.example",
		.target_port = 0x0506,
		.expires_ms = 0x11,
		.rate_in = 0x12,
		.rate_out = 0x13,
		.max_connections = 0x14,
		.max_per_source = 0x15,
		.rate_per_source = 0x16,
		.connect_timeout_ms = 0x17,
		.idle_timeout_ms = 0x18,
		.half_close_timeout_ms = 0x19,
		.keepalive_s = 0x1a,
		.drain_ms = 0x1b,
		.udp_amplification = 0x1c,
		.allow = { allow, 2 },
		.deny = { deny, 1 },
		.proxy_trusted = { trusted, 1 },
		.dial_allow = { dial, 1 },
		.target_client = "42",
		.transport = MAPPING_TRANSPORT_DEDICATED,
		.compress = MAPPING_COMPRESS_ZSTD,
		.health = { HEALTH_HTTP, 0x401, 0x402, 3, 4, "/up", 0x105 },
		.account = "usr_7",
		.source_client = "43",
	};
}

static char names[][HOST_NAME_SIZE] = { "a.example", "*.b.example" };

static struct mapping_conf of_hosts(void)
{
	return (struct mapping_conf){
		.protocol = MAPPING_TLS,
		.target_host = "t",
		.target_port = 80,
		.hosts = { names, 2 },
	};
}

static void encode(struct buf *b, const struct mapping_conf *m)
{
	buf_init(b, PROTO_MSG_MAX);
	mapping_conf_encode(m, b);
	assert_false(b->failed);
}

/* The body has no header, so its first byte, the version, is what assert_robust() changes first; the second is protocol. */
static void test_golden(void **state)
{
	const struct mapping_conf m = most();
	struct buf b;

	(void)state;
	encode(&b, &m);
	assert_wire(&b, "03 02 02 02 01 00 01 00 01 0003 3a3a31 0102 0304 000a 64622e6578616d706c65 0506"
			" 0000000000000011 0000000000000012 0000000000000013"
			" 00000014 00000015 00000016 00000017 00000018 00000019 0000001a 0000001b 0000001c"
			" 00000002 04 08 0a000000 06 20 20010db8000000000000000000000000"
			" 00000001 04 20 0a010203"
			" 00000001 04 00 00000000"
			" 00000001 06 80 00000000000000000000000000000001"
			" 0002 3432 02 01"
			" 02 00000401 00000402 00000003 00000004 0003 2f7570 00000105"
			" 00000000 0005 7573725f37 0002 3433 0000 0000");
	assert_robust(decode, &b);
	buf_free(&b);
}

static void test_golden_hosts(void **state)
{
	const struct mapping_conf m = of_hosts();
	struct buf b;

	(void)state;
	encode(&b, &m);
	assert_wire(&b, "03 04 00 00 00 00 00 00 00 0000 0000 0000 0001 74 0050 0000000000000000"
			" 0000000000000000 0000000000000000"
			" 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000"
			" 00000000 00000000 00000000 00000000 0000 00 00 00"
			" 00000002 0009 612e6578616d706c65 000b 2a2e622e6578616d706c65 0000 0000 0000 0000");
	assert_robust(decode, &b);
	buf_free(&b);
}

static void test_round_trip(void **state)
{
	const struct mapping_conf m = most();
	struct mapping_conf got;
	struct buf b, again;

	(void)state;
	encode(&b, &m);
	assert_int_equal(mapping_conf_decode(&got, b.data, b.len), 0);
	assert_int_equal(got.protocol, MAPPING_UDP);
	assert_true(got.proxy_out_every && !got.proxy_in && got.enabled && !got.dial_any && got.hot);
	assert_string_equal(got.bind, "::1");
	assert_string_equal(got.target_host, "db.example");
	assert_int_equal(got.udp_amplification, 0x1c);
	assert_string_equal(got.target_client, "42");
	assert_string_equal(got.source_client, "43");
	assert_int_equal(got.transport, MAPPING_TRANSPORT_DEDICATED);
	assert_int_equal(got.compress, MAPPING_COMPRESS_ZSTD);
	assert_int_equal(got.health.fall, 4);
	assert_string_equal(got.health.path, "/up");
	assert_string_equal(got.account, "usr_7");
	assert_int_equal(got.allow.n, 2);
	assert_memory_equal(got.allow.items, m.allow.items, 2 * sizeof(struct cidr));
	encode(&again, &got);
	assert_int_equal(again.len, b.len);
	assert_memory_equal(again.data, b.data, b.len);
	mapping_conf_fini(&got);
	mapping_conf_fini(&got);
	buf_free(&b);
	buf_free(&again);
}

static int decode_of(const struct mapping_conf *m)
{
	struct buf b;
	int rc;

	encode(&b, m);
	rc = decode(b.data, b.len);
	buf_free(&b);
	return rc;
}

static void test_soundness(void **state)
{
	struct mapping_conf m;

	(void)state;
#define CHECK(ok, ...)                                          \
	do {                                                    \
		m = least();                                    \
		__VA_ARGS__;                                    \
		assert_int_equal(decode_of(&m), (ok) ? 0 : -1); \
	} while (0)
	CHECK(true, (void)0);
	CHECK(false, m.port_first = 0);
	CHECK(true, m.health = ((struct health_conf){ HEALTH_TCP, 1000, 100, 1, 1, "/", 0 }));
	CHECK(false, m.health = ((struct health_conf){ HEALTH_TCP, 999, 100, 1, 1, "/", 0 }));
	CHECK(false, m.health = ((struct health_conf){ HEALTH_TCP, 1000, 60001, 1, 1, "/", 0 }));
	CHECK(false, m.health = ((struct health_conf){ HEALTH_TCP, 1000, 100, 0, 1, "/", 0 }));
	CHECK(false, m.health = ((struct health_conf){ HEALTH_TCP, 1000, 100, 1, 11, "/", 0 }));
	CHECK(false, m.health = ((struct health_conf){ HEALTH_HTTP, 1000, 100, 1, 1, "/ x", 0 }));
	CHECK(false, m.health = ((struct health_conf){ HEALTH_HTTP, 1000, 100, 1, 1, "", 0 }));
	CHECK(false, m.health = ((struct health_conf){ HEALTH_HTTP, 1000, 100, 1, 1, "/", 99 }));
	CHECK(false, m.health = ((struct health_conf){ HEALTH_HTTP, 1000, 100, 1, 1, "/", 600 }));
	CHECK(false, m.port_first = m.port_last = 0);
	CHECK(false, m.port_last = 999);
	CHECK(true, m.port_last = 1999);
	CHECK(false, m.port_last = 2000);
	CHECK(false, m.target_port = 0);
	CHECK(true, m.target_port = 65535);
	CHECK(false, (m.target_port = 65535, m.port_last = 1001));
	CHECK(true, (m.target_port = 65534, m.port_last = 1001));
	CHECK(true, m.port_first = m.port_last = 65535);
	CHECK(false, m.expires_ms = -1);
	CHECK(false, m.target_host[0] = '\0');
	CHECK(false, m.target_host[0] = '/');
	CHECK(true, str_copy(m.target_host, sizeof m.target_host, "::1"));
	CHECK(true, str_copy(m.bind, sizeof m.bind, "0.0.0.0"));
	CHECK(true, str_copy(m.bind, sizeof m.bind, "fe80::1%no-such-interface"));
	CHECK(false, str_copy(m.bind, sizeof m.bind, "localhost"));
	CHECK(false, str_copy(m.bind, sizeof m.bind, "127.0.0.1:80"));
	CHECK(false, m.source_client[0] = '4');
	CHECK(true, m.source_client[0] = m.target_client[0] = '4');
	CHECK(false, m.socks_user[0] = 'u');
	CHECK(false, m.socks_allow[0] = 'a');
	CHECK(false, m.hosts = of_hosts().hosts);
	CHECK(false, m.protocol = MAPPING_HTTP);
#undef CHECK
}

static void test_soundness_of_hosts(void **state)
{
	static char bad[][HOST_NAME_SIZE] = { "A.example", "a.example.", "a_b.example", "*", "*.", "", "a.*",
		"1.2.3.4" };
	struct mapping_conf m;

	(void)state;
#define CHECK(ok, ...)                                          \
	do {                                                    \
		m = of_hosts();                                 \
		__VA_ARGS__;                                    \
		assert_int_equal(decode_of(&m), (ok) ? 0 : -1); \
	} while (0)
	CHECK(true, (void)0);
	CHECK(true, m.protocol = MAPPING_HTTP);
	CHECK(false, m.protocol = MAPPING_UDP);
	CHECK(false, m.hosts = (struct mapping_hosts){ .n = 0 });
	CHECK(false, m.port_first = m.port_last = 80);
	CHECK(false, str_copy(m.bind, sizeof m.bind, "0.0.0.0"));
	CHECK(false, m.target_port = 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK(false, m.hosts = (struct mapping_hosts){ &bad[i], 1 });
#undef CHECK
}

static void test_refused(void **state)
{
	const struct mapping_conf m = most();
	const size_t cidrs = 9 + 5 + 4 + 12 + 2 + 24 + 36;
	struct buf b;

	(void)state;
	encode(&b, &m);
	assert_refused_with(decode, &b, 0, 0); /* version */
	assert_refused_with(decode, &b, 0, 1);
	assert_refused_with(decode, &b, 0, 2);
	assert_refused_with(decode, &b, 0, 4);
	assert_refused_with(decode, &b, 1, 0); /* protocol */
	assert_refused_with(decode, &b, 1, 6);
	assert_refused_with(decode, &b, 2, 3); /* on_delete */
	assert_refused_with(decode, &b, 3, 3); /* proxy_out */
	for (size_t i = 4; i < 9; i++)
		assert_refused_with(decode, &b, i, 2); /* booleans */
	assert_refused_with(decode, &b, cidrs + 3, 1);
	assert_refused_with(decode, &b, cidrs, 1);     /* more than MAPPING_CIDRS_MAX */
	assert_refused_with(decode, &b, cidrs + 4, 5); /* family */
	assert_refused_with(decode, &b, cidrs + 5, 33);
	assert_refused_with(decode, &b, cidrs + 5, 6);  /* host bits */
	assert_refused_with(decode, &b, b.len - 47, 3); /* transport */
	assert_refused_with(decode, &b, b.len - 46, 2); /* compress */
	assert_refused_with(decode, &b, b.len - 45, 3); /* health */
	assert_refused_with(decode, &b, b.len - 16, 1); /* hosts that are not there */
	buf_free(&b);
}

/* It has no target, but an agent; salt and proof are there with a user only. */
static void test_socks(void **state)
{
	struct mapping_conf m = least(), got;
	struct buf b, again;

	(void)state;
	m.protocol = MAPPING_SOCKS5;
	assert_int_equal(decode_of(&m), -1);
	m.target_host[0] = '\0';
	m.target_port = 0;
	assert_int_equal(decode_of(&m), -1);
	str_copy(m.target_client, sizeof m.target_client, "42");
	assert_int_equal(decode_of(&m), 0);
	encode(&again, &m);
	str_copy(m.socks_user, sizeof m.socks_user, "u");
	str_copy(m.socks_allow, sizeof m.socks_allow, "any");
	memset(m.socks_salt, 7, sizeof m.socks_salt);
	memset(m.socks_proof, 8, sizeof m.socks_proof);
	encode(&b, &m);
	assert_int_equal(b.len, again.len + 1 + 3 + MAPPING_SOCKS_SALT + MAPPING_SOCKS_PROOF);
	assert_robust(decode, &b);
	assert_int_equal(mapping_conf_decode(&got, b.data, b.len), 0);
	assert_string_equal(got.socks_user, "u");
	assert_string_equal(got.socks_allow, "any");
	assert_memory_equal(got.socks_salt, m.socks_salt, sizeof m.socks_salt);
	assert_memory_equal(got.socks_proof, m.socks_proof, sizeof m.socks_proof);
	mapping_conf_fini(&got);
	buf_free(&b);
	buf_free(&again);
}

static void test_longest_lists(void **state)
{
	static struct cidr many[MAPPING_CIDRS_MAX];
	struct mapping_conf m = least();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = (struct cidr){ 6, 128, { (uint8_t)i } };
	m.allow = m.deny = m.proxy_trusted = m.dial_allow = (struct mapping_cidrs){ many, MAPPING_CIDRS_MAX };
	assert_int_equal(decode_of(&m), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_golden_hosts),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_soundness),
		cmocka_unit_test(test_soundness_of_hosts),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_socks),
		cmocka_unit_test(test_longest_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
