/* update and ask: golden bytes, the writer and the walk, refusals. */
#include "proto/update.h"
#include "tests/unit/proto/wire.h"

#define ZERO_LOG "00000000000000000000000000000000"

static int decode(const void *p, size_t n)
{
	struct msg_update m;

	return msg_update_decode(&m, p, n);
}

/* A delta with two asks, one object put and one gone. */
static void write_delta(struct buf *b)
{
	const struct msg_update head = {
		.kind = UPDATE_DELTA,
		.from = { .seq = 1 },
		.to = { .seq = 2 },
		.retry_ms = 0,
		.n_asks = 2,
		.asks = { { .id = 3, .kind = ASK_CUT, .conn = 77 },
			{ .id = 4, .kind = ASK_CONNECTIONS, .object = "m", .limit = 100 } },
	};
	size_t count_at;

	buf_init(b, PROTO_MSG_MAX);
	msg_update_begin(b, &head, &count_at);
	msg_update_put(b, OBJECT_MAPPING, "a", 5, "body", 4);
	msg_update_gone(b, OBJECT_MAPPING, "b", 6);
	msg_update_end(b, count_at, 2);
}

static void test_golden(void **state)
{
	struct buf b;

	(void)state;
	write_delta(&b);
	assert_wire(&b, "0203 01 " ZERO_LOG " 0000000000000001 " ZERO_LOG " 0000000000000002"
			" 0000000000000000 00000000 00000002"
			" 0000000000000003 02 0000 000000000000004d 00000000"
			" 0000000000000004 01 0001 6d 0000000000000000 00000064"
			" 00000002"
			" 00 01 0001 61 0000000000000005 00000004 626f6479"
			" 01 01 0001 62 0000000000000006");
	assert_robust(decode, &b);
	buf_free(&b);
}

static void test_walk(void **state)
{
	struct update_entry e;
	struct msg_update m;
	struct cursor it;
	struct buf b;

	(void)state;
	write_delta(&b);
	assert_int_equal(msg_update_decode(&m, b.data, b.len), 0);
	assert_int_equal(m.kind, UPDATE_DELTA);
	assert_int_equal(m.from.seq, 1);
	assert_int_equal(m.to.seq, 2);
	assert_int_equal(m.n_asks, 2);
	assert_int_equal(m.asks[0].conn, 77);
	assert_string_equal(m.asks[1].object, "m");
	assert_int_equal(m.n_entries, 2);
	for (int round = 0; round < 2; round++) { /* a copy is walked: again from the start */
		it = m.entries;
		assert_true(msg_update_next(&it, &e));
		assert_false(e.gone);
		assert_string_equal(e.id, "a");
		assert_int_equal(e.seq, 5);
		assert_int_equal(e.body_n, 4);
		assert_memory_equal(e.body, "body", 4);
		assert_true(msg_update_next(&it, &e));
		assert_true(e.gone);
		assert_null(e.body);
		assert_false(msg_update_next(&it, &e));
		assert_false(msg_update_next(&it, &e));
	}
	buf_free(&b);
}

/* Entries encoded once may be appended to many messages. */
static void test_entries_encoded_before(void **state)
{
	const struct msg_update head = { .kind = UPDATE_SNAPSHOT, .next_page = 9 };
	struct buf entries, b;
	struct msg_update m;
	size_t count_at;

	(void)state;
	buf_init(&entries, PROTO_MSG_MAX);
	buf_init(&b, PROTO_MSG_MAX);
	msg_update_put(&entries, OBJECT_MAPPING, "a", 1, NULL, 0);
	msg_update_put(&entries, 99, "of another kind", 2, "x", 1);
	msg_update_begin(&b, &head, &count_at);
	buf_put(&b, entries.data, entries.len);
	msg_update_end(&b, count_at, 2);
	assert_int_equal(msg_update_decode(&m, b.data, b.len), 0);
	assert_int_equal(m.next_page, 9);
	buf_free(&entries);
	buf_free(&b);
}

static void test_entries_fit_the_kind(void **state)
{
	static const struct {
		uint8_t kind;
		bool put, gone;
	} allowed[] = {
		{ UPDATE_NOTHING, false, false },
		{ UPDATE_DELTA, true, true },
		{ UPDATE_SNAPSHOT, true, false },
		{ UPDATE_LATER, false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(allowed); i++) {
		for (int gone = 0; gone < 3; gone++) { /* 2: no entry */
			const struct msg_update head = { .kind = allowed[i].kind };
			const bool want = gone == 2 || (gone ? allowed[i].gone : allowed[i].put);
			size_t count_at;
			struct buf b;

			buf_init(&b, PROTO_MSG_MAX);
			msg_update_begin(&b, &head, &count_at);
			if (gone == 1)
				msg_update_gone(&b, 1, "a", 1);
			else if (gone == 0)
				msg_update_put(&b, 1, "a", 1, "", 0);
			msg_update_end(&b, count_at, gone == 2 ? 0 : 1);
			assert_int_equal(decode(b.data, b.len), want ? 0 : -1);
			buf_free(&b);
		}
	}
}

static void test_refused(void **state)
{
	const size_t asks = 3 + 24 + 24 + 8 + 4, first_ask = asks + 4, count = first_ask + 23 + 24, first = count + 4;
	struct buf b;

	(void)state;
	write_delta(&b);
	assert_refused_with(decode, &b, 2, 4);             /* unknown kind */
	assert_refused_with(decode, &b, asks + 3, 17);     /* too many asks */
	assert_refused_with(decode, &b, first_ask + 8, 0); /* unknown kind of ask */
	assert_refused_with(decode, &b, first_ask + 8, 4);
	assert_refused_with(decode, &b, count + 3, 1); /* fewer entries announced than there are */
	assert_refused_with(decode, &b, count + 3, 3); /* more */
	assert_refused_with(decode, &b, count, 0xff);
	assert_refused_with(decode, &b, first, 2);         /* gone is neither yes nor no */
	assert_refused_with(decode, &b, first + 3, 0);     /* empty id */
	assert_refused_with(decode, &b, first + 4, 0);     /* NUL in the id */
	assert_refused_with(decode, &b, first + 13, 0xff); /* body longer than the message */
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_entries_encoded_before),
		cmocka_unit_test(test_entries_fit_the_kind),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
