/* join, renew, joined, refused, and the join token as text. */
#include "proto/join.h"
#include "tests/unit/proto/wire.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static int decode_join(const void *p, size_t n)
{
	struct msg_join m;

	return msg_join_decode(&m, p, n);
}

static int decode_renew(const void *p, size_t n)
{
	struct msg_renew m;

	return msg_renew_decode(&m, p, n);
}

static int decode_joined(const void *p, size_t n)
{
	struct msg_joined m;

	return msg_joined_decode(&m, p, n);
}

static int decode_refused(const void *p, size_t n)
{
	struct msg_refused m;

	return msg_refused_decode(&m, p, n);
}

static void test_join(void **state)
{
	const struct msg_join m = {
		.token_id = "jt", .secret = "s3", .name = "edge", .version = "0.1", .request_pem = "PEM"
	};
	struct msg_join got;
	struct buf b;

	(void)state;
	buf_init(&b, PROTO_JOIN_MAX);
	msg_join_encode(&m, &b);
	assert_wire(&b, "0503 0002 6a74 0002 7333 0004 65646765 0003 302e31 0003 50454d");
	assert_robust(decode_join, &b);
	assert_int_equal(msg_join_decode(&got, b.data, b.len), 0);
	assert_string_equal(got.token_id, "jt");
	assert_string_equal(got.secret, "s3");
	assert_string_equal(got.name, "edge");
	assert_string_equal(got.version, "0.1");
	assert_string_equal(got.request_pem, "PEM");
	assert_refused_with(decode_join, &b, 3, 0); /* a token id without characters shifts all that follows */
	buf_free(&b);
}

static void test_longest_join_fits(void **state)
{
	static struct msg_join m;
	struct buf b;

	(void)state;
	memset(m.token_id, 'a', sizeof m.token_id - 1);
	memset(m.secret, 'a', sizeof m.secret - 1);
	memset(m.name, 'a', sizeof m.name - 1);
	memset(m.version, 'a', sizeof m.version - 1);
	memset(m.request_pem, 'a', sizeof m.request_pem - 1);
	buf_init(&b, PROTO_MSG_MAX);
	msg_join_encode(&m, &b);
	assert_true(b.len <= PROTO_JOIN_MAX);
	assert_int_equal(decode_join(b.data, b.len), 0);
	buf_free(&b);
}

static void test_others(void **state)
{
	const struct msg_renew renew = { .request_pem = "PEM" };
	const struct msg_joined joined = { .node_id = "n1", .name = "edge", .cert_pem = "C", .ca_pem = "A" };
	const struct msg_refused refused = { .code = 8, .retry_ms = 0x100, .reason = "no" };
	struct msg_renew got_renew;
	struct msg_joined got_joined;
	struct msg_refused got_refused;
	struct buf b;

	(void)state;
	buf_init(&b, PROTO_MSG_MAX);
	msg_renew_encode(&renew, &b);
	assert_wire(&b, "0703 0003 50454d");
	assert_robust(decode_renew, &b);
	assert_int_equal(msg_renew_decode(&got_renew, b.data, b.len), 0);
	assert_string_equal(got_renew.request_pem, "PEM");

	buf_reset(&b);
	msg_joined_encode(&joined, &b);
	assert_wire(&b, "0603 0002 6e31 0004 65646765 0001 43 0001 41");
	assert_robust(decode_joined, &b);
	assert_int_equal(msg_joined_decode(&got_joined, b.data, b.len), 0);
	assert_string_equal(got_joined.node_id, "n1");
	assert_string_equal(got_joined.name, "edge");
	assert_string_equal(got_joined.ca_pem, "A");

	buf_reset(&b);
	msg_refused_encode(&refused, &b);
	assert_wire(&b, "0a03 0008 00000100 0002 6e6f");
	assert_robust(decode_refused, &b);
	assert_int_equal(msg_refused_decode(&got_refused, b.data, b.len), 0);
	assert_int_equal(got_refused.code, 8);
	assert_int_equal(got_refused.retry_ms, 256);
	assert_string_equal(got_refused.reason, "no");
	buf_free(&b);
}

static void test_token(void **state)
{
	static const struct {
		const char *what, *s;
		bool ok;
	} cases[] = {
		{ "plain", "jt_01.c2VjcmV0-_." HEX64, true },
		{ "longest",
			"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
			"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb." HEX64,
			true },
		{ "id too long", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b." HEX64, false },
		{ "secret too long", "a.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb." HEX64,
			false },
		{ "no id", ".c2Vj." HEX64, false },
		{ "no secret", "jt.." HEX64, false },
		{ "no fingerprint", "jt.c2Vj.", false },
		{ "two parts", "jt.c2Vj", false },
		{ "short fingerprint", "jt.c2Vj.0123", false },
		{ "long fingerprint", "jt.c2Vj." HEX64 "0", false },
		{ "capital fingerprint", "jt.c2Vj.A123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
			false },
		{ "four parts", "jt.c2Vj." HEX64 ".x", false },
		{ "blank in front", " jt.c2Vj." HEX64, false },
		{ "newline behind", "jt.c2Vj." HEX64 "\n", false },
		{ "padding in the secret", "jt.c2Vj=." HEX64, false },
		{ "empty", "", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[JOIN_TOKEN_MAX];
		struct join_token t;

		if ((join_token_parse(&t, cases[i].s) == 0) != cases[i].ok)
			fail_msg("%s: wrong answer", cases[i].what);
		if (!cases[i].ok) {
			assert_string_equal(t.id, "");
			continue;
		}
		assert_int_equal(join_token_print(&t, text), 0);
		assert_string_equal(text, cases[i].s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_join),
		cmocka_unit_test(test_longest_join_fits),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_token),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
