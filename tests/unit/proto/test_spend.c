/* spend, grant: golden bytes, what is refused. */
#include "proto/spend.h"
#include "tests/unit/proto/wire.h"

static struct msg_spend spend = { .boot = "b1", .n = 1, .items = { { "usr_1", 0x10, 0x0f, true } } };
static struct msg_grant grant = { .n = 1, .items = { { "usr_1", 0x20, true, 0x30 } } };

static int decode_spend(const void *p, size_t n)
{
	static struct msg_spend m;

	return msg_spend_decode(&m, p, n);
}

static int decode_grant(const void *p, size_t n)
{
	static struct msg_grant m;

	return msg_grant_decode(&m, p, n);
}

static void test_spend(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, PROTO_MSG_MAX);
	msg_spend_encode(&spend, &b);
	assert_wire(&b, "0b03 0002 6231 00000001 0005 7573725f31 0000000000000010 000000000000000f 01");
	assert_robust(decode_spend, &b);
	assert_refused_with(decode_spend, &b, 9, 2);     /* more than there are */
	assert_refused_with(decode_spend, &b, 17, 0x80); /* not a number of controld's */
	assert_refused_with(decode_spend, &b, b.len - 1, 2);
	buf_free(&b);
}

static void test_grant(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, PROTO_MSG_MAX);
	msg_grant_encode(&grant, &b);
	assert_wire(&b, "0c03 00000001 0005 7573725f31 0000000000000020 01 0000000000000030");
	assert_robust(decode_grant, &b);
	assert_refused_with(decode_grant, &b, 13, 0x80);
	assert_refused_with(decode_grant, &b, 21, 2);
	assert_refused_with(decode_grant, &b, 22, 0x80); /* before 1970 */
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spend),
		cmocka_unit_test(test_grant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
