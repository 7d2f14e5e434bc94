/* acme_conf: golden bytes of both kinds of answers, what is not sound. */
#include "proto/acme_conf.h"
#include "tests/unit/proto/wire.h"

static int decode(const void *p, size_t n)
{
	static const struct acme_conf nothing;
	struct acme_conf c;
	int rc = acme_conf_decode(&c, p, n);

	if (rc == 0)
		acme_conf_fini(&c);
	assert_memory_equal(&c, &nothing, sizeof c);
	return rc;
}

static void encode(struct buf *b, const struct acme_conf *c)
{
	buf_init(b, PROTO_MSG_MAX);
	acme_conf_encode(c, b);
	assert_false(b->failed);
}

static char chain[] = "chain", key[] = "key";
static const struct acme_conf http = {
	.type = ACME_HTTP, .host = "a.example", .token = "tO-k_1", .authorization = "tO-k_1.x", .until_ms = 0x0102
};
static const struct acme_conf tls = {
	.type = ACME_TLS, .host = "a.example", .chain = chain, .key = key, .until_ms = 0x0103
};

static void check(const struct acme_conf *c, const char *golden)
{
	struct buf b;

	encode(&b, c);
	assert_wire(&b, golden);
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

static void test_golden(void **state)
{
	(void)state;
	check(&http, "01 01 0009 612e6578616d706c65 0006 744f2d6b5f31 0008 744f2d6b5f312e78 0000000000000102");
	check(&tls, "01 02 0009 612e6578616d706c65 00000005 636861696e 00000003 6b6579 0000000000000103");
}

static void test_round_trip(void **state)
{
	struct acme_conf got;
	struct buf b;

	(void)state;
	encode(&b, &http);
	assert_int_equal(acme_conf_decode(&got, b.data, b.len), 0);
	assert_int_equal(got.type, ACME_HTTP);
	assert_string_equal(got.host, "a.example");
	assert_string_equal(got.token, "tO-k_1");
	assert_string_equal(got.authorization, "tO-k_1.x");
	assert_int_equal(got.until_ms, 0x0102);
	acme_conf_fini(&got);
	buf_free(&b);
	encode(&b, &tls);
	assert_int_equal(acme_conf_decode(&got, b.data, b.len), 0);
	assert_string_equal(got.chain, "chain");
	assert_string_equal(got.key, "key");
	acme_conf_fini(&got);
	buf_free(&b);
}

static void test_refused(void **state)
{
	const struct {
		const char *what;
		struct acme_conf c;
	} cases[] = {
		{ "a wildcard", { ACME_HTTP, "*.example", "t", "t.x", NULL, NULL, 1 } },
		{ "no host", { ACME_HTTP, "", "t", "t.x", NULL, NULL, 1 } },
		{ "no token", { ACME_HTTP, "a", "", "t.x", NULL, NULL, 1 } },
		{ "a token that is a path", { ACME_HTTP, "a", "../t", "t.x", NULL, NULL, 1 } },
		{ "nothing to answer", { ACME_HTTP, "a", "t", "", NULL, NULL, 1 } },
		{ "no certificate", { ACME_TLS, "a", "", "", NULL, key, 1 } },
		{ "no key", { ACME_TLS, "a", "", "", chain, NULL, 1 } },
		{ "no end", { ACME_HTTP, "a", "t", "t.x", NULL, NULL, 0 } },
	};
	struct buf b;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		encode(&b, &cases[i].c);
		if (decode(b.data, b.len) == 0)
			fail_msg("accepted: %s", cases[i].what);
		buf_free(&b);
	}
	encode(&b, &http);
	assert_refused_with(decode, &b, 0, 2); /* version */
	assert_refused_with(decode, &b, 1, 0);
	assert_refused_with(decode, &b, 1, 3);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
