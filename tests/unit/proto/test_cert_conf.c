/* cert_conf: golden bytes, round trip, what is not sound. */
#include "proto/cert_conf.h"
#include "tests/unit/proto/wire.h"

#include <stdio.h>

static int decode(const void *p, size_t n)
{
	static const struct cert_conf nothing;
	struct cert_conf c;
	int rc = cert_conf_decode(&c, p, n);

	if (rc == 0)
		cert_conf_fini(&c);
	assert_memory_equal(&c, &nothing, sizeof c);
	return rc;
}

static void encode(struct buf *b, const struct cert_conf *c)
{
	buf_init(b, PROTO_MSG_MAX);
	cert_conf_encode(c, b);
	assert_false(b->failed);
}

static char names[2][HOST_NAME_SIZE] = { "a.example", "*.b" };
static char chain[] = "chain", key[] = "key";
static uint8_t ocsp[] = { 0x30, 0x03 };
static const struct cert_conf most = { "ten_a", 2, names, chain, key, sizeof ocsp, ocsp, 0x0102 };

static void test_golden(void **state)
{
	struct buf b;

	(void)state;
	encode(&b, &most);
	assert_wire(&b, "01 0005 74656e5f61 00000002 0009 612e6578616d706c65 0003 2a2e62"
			" 00000005 636861696e 00000003 6b6579 00000002 3003 0000000000000102");
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
	struct cert_conf got;
	struct buf b;

	(void)state;
	encode(&b, &most);
	assert_int_equal(cert_conf_decode(&got, b.data, b.len), 0);
	assert_string_equal(got.tenant, "ten_a");
	assert_int_equal(got.n_names, 2);
	assert_memory_equal(got.names, names, sizeof names);
	assert_string_equal(got.chain, "chain");
	assert_string_equal(got.key, "key");
	assert_int_equal(got.ocsp_n, 2);
	assert_memory_equal(got.ocsp, ocsp, 2);
	assert_int_equal(got.ocsp_until_ms, 0x0102);
	cert_conf_fini(&got);
	buf_free(&b);
}

/* Each of these is one change of a good one. */
static void test_refused(void **state)
{
	static char bad_name[1][HOST_NAME_SIZE] = { "A.example" }, no_name[1][HOST_NAME_SIZE] = { "" };
	static char empty[] = "", not_utf8[] = "\xff";
	const struct {
		const char *what;
		struct cert_conf c;
	} cases[] = {
		{ "no tenant", { "", 2, names, chain, key, 0, NULL, 0 } },
		{ "a name in capitals", { "t", 1, bad_name, chain, key, 0, NULL, 0 } },
		{ "an empty name", { "t", 1, no_name, chain, key, 0, NULL, 0 } },
		{ "no chain", { "t", 2, names, empty, key, 0, NULL, 0 } },
		{ "no key", { "t", 2, names, chain, empty, 0, NULL, 0 } },
		{ "a chain that is no text", { "t", 2, names, not_utf8, key, 0, NULL, 0 } },
		{ "a staple without an end", { "t", 2, names, chain, key, 2, ocsp, 0 } },
		{ "an end without a staple", { "t", 2, names, chain, key, 0, NULL, 1 } },
		{ "an end before 1970", { "t", 2, names, chain, key, 2, ocsp, -1 } },
	};
	struct buf b;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		encode(&b, &cases[i].c);
		if (decode(b.data, b.len) == 0)
			fail_msg("accepted: %s", cases[i].what);
		buf_free(&b);
	}
	encode(&b, &most);
	assert_refused_with(decode, &b, 0, 2);       /* version */
	assert_refused_with(decode, &b, 8 + 3, 101); /* more than CERT_NAMES_MAX */
	assert_refused_with(decode, &b, 8 + 3, 0);   /* no name */
	buf_free(&b);
}

static void test_longest(void **state)
{
	static char many[CERT_NAMES_MAX][HOST_NAME_SIZE];
	struct cert_conf c = { "ten_a", CERT_NAMES_MAX, many, malloc(CERT_CHAIN_PEM_MAX + 2), NULL, 0, NULL, 0 };
	struct buf b;

	(void)state;
	for (size_t i = 0; i < CERT_NAMES_MAX; i++)
		snprintf(many[i], sizeof many[i], "h%zu.example", i);
	memset(c.chain, 'c', CERT_CHAIN_PEM_MAX);
	c.chain[CERT_CHAIN_PEM_MAX] = '\0';
	c.key = key;
	encode(&b, &c);
	assert_int_equal(decode(b.data, b.len), 0);
	buf_free(&b);
	c.chain[CERT_CHAIN_PEM_MAX] = 'c';
	c.chain[CERT_CHAIN_PEM_MAX + 1] = '\0';
	encode(&b, &c);
	assert_int_equal(decode(b.data, b.len), -1);
	buf_free(&b);
	free(c.chain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_longest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
