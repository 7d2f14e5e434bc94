/* poll and node_state: golden bytes, round trip, refusals. */
#include "common/base/cursor.h"
#include "proto/poll.h"
#include "tests/unit/proto/wire.h"

#define LOG_ID "101112131415161718191a1b1c1d1e1f"

static struct node_refusal refusals[] = {
	{ .kind = 1, .id = "map_1", .seq = 7, .code = 30, .reason = "address already in use: 0.0.0.0:80" },
	{ .kind = 200, .id = "x", .seq = 8, .code = 65535, .reason = "" },
};

static struct msg_poll sample(void)
{
	struct msg_poll m = {
		.have = { .seq = 42 },
		.page_token = 5,
		.state = { .applied = { .seq = 41 }, .serial = 9, .n = 2, .more = 3, .refusals = refusals },
	};

	for (uint8_t i = 0; i < PROTO_LOG_ID_SIZE; i++)
		m.have.log_id[i] = m.state.applied.log_id[i] = (uint8_t)(0x10 + i);
	return m;
}

static int decode(const void *p, size_t n)
{
	struct msg_poll m;
	int rc = msg_poll_decode(&m, p, n);

	if (rc == 0)
		msg_poll_fini(&m);
	else
		assert_null(m.state.refusals);
	return rc;
}

static void test_golden(void **state)
{
	const struct msg_poll m = sample();
	struct buf b;

	(void)state;
	buf_init(&b, PROTO_MSG_MAX);
	msg_poll_encode(&m, &b);
	assert_wire(&b, "0103 " LOG_ID " 000000000000002a 0000000000000005"
			" " LOG_ID " 0000000000000029 0000000000000009 00000003 00000002"
			" 01 0005 6d61705f31 0000000000000007 001e"
			" 0022 6164647265737320616c726561647920696e207573653a20302e302e302e303a3830"
			" c8 0001 78 0000000000000008 ffff 0000");
	assert_robust(decode, &b);
	buf_free(&b);
}

static void test_round_trip(void **state)
{
	const struct msg_poll m = sample();
	struct msg_poll got;
	struct buf b, again;

	(void)state;
	buf_init(&b, PROTO_MSG_MAX);
	buf_init(&again, PROTO_MSG_MAX);
	msg_poll_encode(&m, &b);
	assert_int_equal(msg_poll_decode(&got, b.data, b.len), 0);
	assert_int_equal(got.have.seq, 42);
	assert_int_equal(got.page_token, 5);
	assert_int_equal(got.state.applied.seq, 41);
	assert_int_equal(got.state.serial, 9);
	assert_int_equal(got.state.more, 3);
	assert_int_equal(got.state.n, 2);
	assert_int_equal(got.state.refusals[0].code, 30);
	assert_string_equal(got.state.refusals[0].reason, refusals[0].reason);
	assert_int_equal(got.state.refusals[1].kind, 200);
	msg_poll_encode(&got, &again);
	assert_int_equal(again.len, b.len);
	assert_memory_equal(again.data, b.data, b.len);
	msg_poll_fini(&got);
	msg_poll_fini(&got);
	buf_free(&b);
	buf_free(&again);
}

static void test_empty_state(void **state)
{
	const struct msg_poll m = { .page_token = 0 };
	struct msg_poll got;
	struct buf b;

	(void)state;
	buf_init(&b, PROTO_MSG_MAX);
	msg_poll_encode(&m, &b);
	assert_int_equal(msg_poll_decode(&got, b.data, b.len), 0);
	assert_null(got.state.refusals);
	msg_poll_fini(&got);
	buf_free(&b);
}

static void test_longest_list(void **state)
{
	static struct node_refusal many[NODE_REFUSALS_MAX];
	struct msg_poll m = { .state = { .n = NODE_REFUSALS_MAX, .refusals = many } };
	struct buf b;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		memset(many[i].id, 'i', sizeof many[i].id - 1);
		memset(many[i].reason, 'r', sizeof many[i].reason - 1);
	}
	buf_init(&b, PROTO_MSG_MAX);
	msg_poll_encode(&m, &b);
	assert_false(b.failed); /* a full list fits a message */
	assert_int_equal(decode(b.data, b.len), 0);
	buf_patch_u32(&b, 2 + 24 + 8 + 24 + 8 + 4, NODE_REFUSALS_MAX + 1);
	assert_int_equal(decode(b.data, b.len), -1);
	buf_free(&b);
}

static void test_refused(void **state)
{
	const size_t count = 2 + 24 + 8 + 24 + 8 + 4, first = count + 4;
	const struct msg_poll m = sample();
	struct buf b;

	(void)state;
	buf_init(&b, PROTO_MSG_MAX);
	msg_poll_encode(&m, &b);
	assert_refused_with(decode, &b, count, 0xff);      /* more than can be there */
	assert_refused_with(decode, &b, count + 3, 1);     /* bytes left over */
	assert_refused_with(decode, &b, first + 2, 0);     /* an id without characters */
	assert_refused_with(decode, &b, first + 2, 40);    /* an id that is too long */
	assert_refused_with(decode, &b, first + 3, 0);     /* NUL in an id */
	assert_refused_with(decode, &b, first + 30, 0xff); /* a reason that is no UTF-8 */
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_empty_state),
		cmocka_unit_test(test_longest_list),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
