/* answer: golden bytes, round trip, refusals. */
#include "proto/answer.h"
#include "proto/mapping_conf.h"
#include "tests/unit/proto/wire.h"

static int decode(const void *p, size_t n)
{
	struct msg_answer m;
	int rc = msg_answer_decode(&m, p, n);

	if (rc == 0)
		msg_answer_fini(&m);
	else
		assert_null(m.conns);
	return rc;
}

static struct conn_info conn = {
	.id = 1,
	.mapping = "m",
	.protocol = MAPPING_UDP,
	.remote = "1.2.3.4:5",
	.local = "l",
	.target = "t",
	.bytes_in = 2,
	.bytes_out = 3,
	.opened_ms = -1,
};

static void write_answer(struct buf *b)
{
	const struct msg_answer m = { .ask = 9, .code = 0, .truncated = true, .n = 1, .conns = &conn };

	buf_init(b, PROTO_MSG_MAX);
	msg_answer_encode(&m, b);
}

static void test_golden(void **state)
{
	struct msg_answer got;
	struct buf b;

	(void)state;
	write_answer(&b);
	assert_wire(&b, "0803 0000000000000009 0000 01 00000001"
			" 0000000000000001 0001 6d 02 0009 312e322e332e343a35 0001 6c 0001 74"
			" 0000000000000002 0000000000000003 ffffffffffffffff");
	assert_robust(decode, &b);
	assert_int_equal(msg_answer_decode(&got, b.data, b.len), 0);
	assert_int_equal(got.ask, 9);
	assert_true(got.truncated);
	assert_int_equal(got.n, 1);
	assert_string_equal(got.conns[0].remote, "1.2.3.4:5");
	assert_true(got.conns[0].opened_ms == -1);
	assert_int_equal(got.conns[0].bytes_out, 3);
	msg_answer_fini(&got);
	msg_answer_fini(&got);
	buf_free(&b);
}

static void test_longest_list(void **state)
{
	struct msg_answer m = { .n = ANSWER_CONNS_MAX, .conns = calloc(ANSWER_CONNS_MAX, sizeof conn) };
	struct buf b;

	(void)state;
	assert_non_null(m.conns);
	for (size_t i = 0; i < ANSWER_CONNS_MAX; i++)
		m.conns[i] = conn;
	buf_init(&b, PROTO_MSG_MAX);
	msg_answer_encode(&m, &b);
	assert_int_equal(decode(b.data, b.len), 0);
	buf_patch_u32(&b, 13, ANSWER_CONNS_MAX + 1);
	assert_int_equal(decode(b.data, b.len), -1);
	msg_answer_fini(&m);
	buf_free(&b);
}

static void test_refused(void **state)
{
	struct buf b;

	(void)state;
	write_answer(&b);
	assert_refused_with(decode, &b, 12, 2); /* truncated */
	assert_refused_with(decode, &b, 16, 2); /* two announced */
	assert_refused_with(decode, &b, 16, 0); /* none announced */
	assert_refused_with(decode, &b, 26, 0); /* empty mapping */
	assert_refused_with(decode, &b, 28, 0); /* protocol */
	assert_refused_with(decode, &b, 28, 3);
	buf_free(&b);
}

static void test_ack(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10);
	msg_answer_ack_encode(&b);
	assert_wire(&b, "0903");
	assert_robust(msg_answer_ack_decode, &b);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_longest_list),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_ack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
