/* ticket_conf: golden bytes, round trip, what is not sound. */
#include "proto/ticket_conf.h"
#include "tests/unit/proto/wire.h"

static int decode(const void *p, size_t n)
{
	static const struct ticket_conf nothing;
	struct ticket_conf c;
	int rc = ticket_conf_decode(&c, p, n);

	if (rc != 0)
		assert_memory_equal(&c, &nothing, sizeof c);
	return rc;
}

static void encode(struct buf *b, const struct ticket_conf *c)
{
	buf_init(b, PROTO_MSG_MAX);
	ticket_conf_encode(c, b);
	assert_false(b->failed);
}

static const struct ticket_conf one = { 1,
	{ { { 0xa1, [15] = 0xa2 }, { 0xb1, [31] = 0xb2 }, { 0xc1, [31] = 0xc2 }, 1, 2 } } };

#define ZEROS_14 "0000000000000000000000000000"
#define ZEROS_30 ZEROS_14 ZEROS_14 "0000"

static void test_golden(void **state)
{
	struct ticket_conf got;
	struct buf b;

	(void)state;
	encode(&b, &one);
	assert_wire(
		&b, "01 00000001 a1" ZEROS_14 "a2 b1" ZEROS_30 "b2 c1" ZEROS_30 "c2 0000000000000001 0000000000000002");
	assert_int_equal(ticket_conf_decode(&got, b.data, b.len), 0);
	assert_memory_equal(&got, &one, sizeof got);
	for (size_t n = 0; n < b.len; n++)
		assert_int_equal(wire_decode_copy(decode, b.data, n), -1);
	buf_u8(&b, 0);
	assert_int_equal(wire_decode_copy(decode, b.data, b.len), -1);
	buf_free(&b);
}

static void test_refused(void **state)
{
	const size_t from = 5 + 16 + 32 + 32, until = from + 8;
	struct buf b;

	(void)state;
	encode(&b, &one);
	assert_refused_with(decode, &b, 0, 2);         /* version */
	assert_refused_with(decode, &b, 4, 9);         /* more than TICKET_KEYS_MAX */
	assert_refused_with(decode, &b, from, 0x80);   /* before 1970 */
	assert_refused_with(decode, &b, until + 7, 1); /* ends when it begins */
	buf_free(&b);
}

static void test_none_and_most(void **state)
{
	struct ticket_conf c = { .n = 0 };
	struct buf b;

	(void)state;
	encode(&b, &c);
	assert_int_equal(decode(b.data, b.len), 0);
	buf_free(&b);
	c.n = TICKET_KEYS_MAX;
	for (unsigned i = 0; i < TICKET_KEYS_MAX; i++)
		c.keys[i] = one.keys[0];
	encode(&b, &c);
	assert_int_equal(decode(b.data, b.len), 0);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_none_and_most),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
