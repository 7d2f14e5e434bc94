/* msg: the header, and the values that several messages share. */
#include "common/base/cursor.h"
#include "tests/unit/proto/wire.h"

static void test_header(void **state)
{
	static const struct {
		const char *what, *bytes;
		size_t n;
		unsigned type;
	} cases[] = {
		{ "poll", "\x01\x03", 2, MSG_POLL },
		{ "refused", "\x0a\x03rest", 6, MSG_REFUSED },
		{ "type 0", "\x00\x03", 2, 0 },
		{ "type 13", "\x0d\x03", 2, 0 },
		{ "version 0", "\x01\x00", 2, 0 },
		{ "version 1", "\x01\x01", 2, 0 },
		{ "version 2", "\x01\x02", 2, 0 },
		{ "version 4", "\x01\x04", 2, 0 },
		{ "one byte", "\x01", 1, 0 },
		{ "nothing", "", 0, 0 },
	};
	struct buf b;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (msg_type_of(cases[i].bytes, cases[i].n) != cases[i].type)
			fail_msg("%s: wrong answer", cases[i].what);
	assert_int_equal(msg_type_of(NULL, 0), 0);
	buf_init(&b, 100);
	msg_begin(&b, MSG_ANSWER);
	assert_wire(&b, "0803");
	buf_free(&b);
}

static void test_open(void **state)
{
	struct cursor c;

	(void)state;
	cursor_init(&c, "\x01\x03z", 3);
	msg_open(&c, MSG_POLL);
	assert_int_equal(cursor_u8(&c), 'z');
	cursor_init(&c, "\x01\x03z", 3);
	msg_open(&c, MSG_UPDATE);
	assert_true(c.failed);
}

static void test_longest(void **state)
{
	uint8_t *big = calloc(1, PROTO_MSG_MAX + 1);

	(void)state;
	assert_non_null(big);
	big[0] = MSG_POLL;
	big[1] = PROTO_VERSION;
	assert_int_equal(msg_type_of(big, PROTO_MSG_MAX), MSG_POLL);
	assert_int_equal(msg_type_of(big, PROTO_MSG_MAX + 1), 0);
	free(big);
}

static void test_revision(void **state)
{
	struct proto_revision r = { .log_id = "0123456789abcde", .seq = 0x0102030405060708 }, got;
	struct cursor c;
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	msg_put_revision(&b, &r);
	assert_wire(&b, "30313233343536373839616263646500 0102030405060708");
	cursor_init(&c, b.data, b.len);
	msg_get_revision(&c, &got);
	assert_int_equal(cursor_done(&c), 0);
	assert_memory_equal(&r, &got, sizeof r);
	cursor_init(&c, b.data, 15);
	msg_get_revision(&c, &got);
	assert_true(c.failed);
	assert_int_equal(got.seq, 0);
	buf_free(&b);
}

static void test_small_values(void **state)
{
	struct cursor c;
	char id[PROTO_ID_SIZE];

	(void)state;
	cursor_init(&c, "\x00\x01\x02", 3);
	assert_false(msg_get_bool(&c));
	assert_true(msg_get_bool(&c));
	assert_false(msg_get_bool(&c)); /* 2 */
	assert_true(c.failed);
	cursor_init(&c, "\x03\x02\x04", 3);
	assert_int_equal(msg_get_enum(&c, 2, 3), 3);
	assert_int_equal(msg_get_enum(&c, 2, 3), 2);
	assert_int_equal(msg_get_enum(&c, 2, 3), 0);
	assert_true(c.failed);
	cursor_init(&c, "\x00\x01x\x00\x00", 5);
	msg_get_id(&c, id);
	assert_string_equal(id, "x");
	msg_get_id(&c, id); /* empty */
	assert_true(c.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_revision),
		cmocka_unit_test(test_small_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
