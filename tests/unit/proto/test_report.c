/* report: golden bytes, rows with few of the counters, refusals; the acknowledgement. */
#include "proto/report.h"
#include "tests/unit/proto/wire.h"

#define ZERO_LOG "00000000000000000000000000000000"

static int decode(const void *p, size_t n)
{
	struct msg_report m;
	int rc = msg_report_decode(&m, p, n);

	if (rc == 0)
		msg_report_fini(&m);
	return rc;
}

static int decode_ack(const void *p, size_t n)
{
	struct msg_report_ack m;

	return msg_report_ack_decode(&m, p, n);
}

static struct client_state client = { .client = "7", .instance = "i", .state = CLIENT_STATE_ONLINE, .links = 2 };

static struct backend_state backend = {
	.pool = "p", .backend = "b", .state = BACKEND_EJECTED, .flaps = 3, .since_ms = 4, .reason = "r"
};
static struct pool_panic panic = { .pool = "p", .since_ms = 5 };

static const struct msg_report head = {
	.boot = "b1",
	.number = 3,
	.last = true,
	.load = { .version = "0.1",
		.uptime_s = 1,
		.workers = 2,
		.fds = 3,
		.fds_max = 4,
		.connections = 5,
		.mappings = 6,
		.cpu_permille = 7,
		.rss_bytes = 8,
		.loop_lag_us = 9,
		.agents = "e:1",
		.http_port = 80,
		.tls_port = 443,
		.name = "e" },
	.state = { .applied = { .seq = 10 }, .serial = 11 },
	.clients = { .told = true, .n = 1, .items = &client },
	.backends = { .told = true, .n = 1, .more = 6, .items = &backend, .n_panics = 1, .panics = &panic },
};

static void write_report(struct buf *b)
{
	struct meter_row row = { .slot = 1, .object = "m" };
	size_t count_at;

	buf_init(b, PROTO_MSG_MAX);
	msg_report_begin(b, &head, &count_at);
	msg_report_row(b, &row); /* nothing passed yet */
	row.slot = 2;
	row.value[METER_bytes_in] = 0x10;
	row.value[METER_reset] = UINT64_MAX;
	msg_report_row(b, &row);
	msg_report_end(b, count_at, 2);
}

static void test_golden(void **state)
{
	struct buf b;

	(void)state;
	write_report(&b);
	assert_wire(&b, "0303 0002 6231 0000000000000003 01"
			" 0003 302e31 0000000000000001 00000002 00000003 00000004 00000005 00000006 00000007"
			" 0000000000000008 00000009 0003 653a31 0050 01bb 0001 65"
			" " ZERO_LOG " 000000000000000a 000000000000000b 00000000 00000000"
			" 01 00000000 00 00000000 00000001 0001 37 0001 69 0000 0000 01 00000002 0000000000000000 "
			"00000000 00000000"
			" 01 00000006 00000001 0001 70 0001 62 03 00000003 0000000000000004 0001 72"
			" 00000001 0001 70 0000000000000005"
			" 00000002"
			" 0000000000000001 0001 6d 00000000"
			" 0000000000000002 0001 6d 00008001 0000000000000010 ffffffffffffffff");
	assert_robust(decode, &b);
	buf_free(&b);
}

static void test_round_trip(void **state)
{
	struct msg_report m;
	struct meter_row row;
	struct cursor it;
	struct buf b;

	(void)state;
	write_report(&b);
	assert_int_equal(msg_report_decode(&m, b.data, b.len), 0);
	assert_string_equal(m.boot, "b1");
	assert_int_equal(m.number, 3);
	assert_true(m.last);
	assert_string_equal(m.load.version, "0.1");
	assert_int_equal(m.load.loop_lag_us, 9);
	assert_string_equal(m.load.name, "e");
	assert_int_equal(m.state.serial, 11);
	assert_true(m.clients.told);
	assert_int_equal(m.clients.n, 1);
	assert_string_equal(m.clients.items[0].client, "7");
	assert_true(m.backends.told);
	assert_int_equal(m.backends.n, 1);
	assert_int_equal(m.backends.more, 6);
	assert_string_equal(m.backends.items[0].reason, "r");
	assert_int_equal(m.backends.items[0].state, BACKEND_EJECTED);
	assert_int_equal(m.backends.n_panics, 1);
	assert_int_equal(m.backends.panics[0].since_ms, 5);
	assert_int_equal(m.n_rows, 2);
	it = m.rows;
	assert_true(msg_report_next(&it, &row));
	assert_int_equal(row.slot, 1);
	for (size_t i = 0; i < METER_COUNTERS_N; i++)
		assert_int_equal(row.value[i], 0);
	assert_true(msg_report_next(&it, &row));
	assert_string_equal(row.object, "m");
	for (size_t i = 0; i < METER_COUNTERS_N; i++)
		assert_true(row.value[i] == (i == METER_bytes_in ? 0x10 : i == METER_reset ? UINT64_MAX : 0));
	assert_false(msg_report_next(&it, &row));
	msg_report_fini(&m);
	buf_free(&b);
}

static void test_heartbeat(void **state)
{
	struct msg_report beat = head;
	const struct meter_row row = { .object = "m" };
	size_t count_at;
	struct buf b;

	(void)state;
	beat.boot[0] = '\0';
	buf_init(&b, PROTO_MSG_MAX);
	msg_report_begin(&b, &beat, &count_at);
	assert_int_equal(decode(b.data, b.len), 0);
	msg_report_row(&b, &row);
	msg_report_end(&b, count_at, 1);
	assert_int_equal(decode(b.data, b.len), -1); /* counters of no boot */
	buf_free(&b);
}

/* A relay that knows more counters than this side: the known ones arrive. */
static void test_counters_of_a_newer_peer(void **state)
{
	struct msg_report m;
	struct meter_row row;
	struct cursor it;
	size_t count_at;
	struct buf b;

	(void)state;
	buf_init(&b, PROTO_MSG_MAX);
	msg_report_begin(&b, &head, &count_at);
	buf_u64(&b, 1);
	buf_str16(&b, "m");
	buf_u32(&b, BIT(METER_opened) | BIT(31));
	buf_u64(&b, 5);
	buf_u64(&b, 6);
	msg_report_end(&b, count_at, 1);
	assert_int_equal(msg_report_decode(&m, b.data, b.len), 0);
	it = m.rows;
	assert_true(msg_report_next(&it, &row));
	assert_int_equal(row.value[METER_opened], 5);
	msg_report_fini(&m);
	buf_free(&b);
}

static void test_refused(void **state)
{
	const size_t last = 2 + 4 + 8, clients = last + 1 + 5 + 44 + 5 + 4 + 3 + 40, backends = clients + 14 + 23 + 8,
		     rows = backends + 46, first = rows + 4, second = first + 15;
	struct buf b;

	(void)state;
	write_report(&b);
	assert_refused_with(decode, &b, last, 2);
	assert_refused_with(decode, &b, clients, 2);
	assert_refused_with(decode, &b, backends, 2);
	assert_refused_with(decode, &b, backends + 9 + 6, 5);        /* no state */
	assert_refused_with(decode, &b, backends + 9 + 6 + 5, 0x80); /* before all time */
	assert_refused_with(decode, &b, rows + 3, 1);
	assert_refused_with(decode, &b, rows + 3, 3);
	assert_refused_with(decode, &b, rows, 0x80);
	assert_refused_with(decode, &b, first + 9, 0);       /* empty object id */
	assert_refused_with(decode, &b, second + 15 + 7, 0); /* a counter that is zero all the same */
	assert_refused_with(decode, &b, second + 14, 0x03);  /* one counter announced more than there is */
	buf_free(&b);
}

static void test_ack(void **state)
{
	const struct msg_report_ack m = { .boot = "b1", .stored = 0x1122, .forget = true };
	struct msg_report_ack got;
	struct buf b;

	(void)state;
	buf_init(&b, PROTO_MSG_MAX);
	msg_report_ack_encode(&m, &b);
	assert_wire(&b, "0403 0002 6231 0000000000001122 01");
	assert_robust(decode_ack, &b);
	assert_int_equal(msg_report_ack_decode(&got, b.data, b.len), 0);
	assert_string_equal(got.boot, "b1");
	assert_int_equal(got.stored, 0x1122);
	assert_true(got.forget);
	assert_refused_with(decode_ack, &b, b.len - 1, 2);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_heartbeat),
		cmocka_unit_test(test_counters_of_a_newer_peer),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_ack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
