/* report with its rows, and its acknowledgement. */
#include "proto/report.h"
#include "tests/fuzz/fuzz.h"

static void fuzz_report(const uint8_t *data, size_t size)
{
	struct meter_row row;
	struct msg_report m;
	struct cursor it;
	size_t count_at;
	uint32_t n = 0;
	struct buf b;

	if (msg_report_decode(&m, data, size) != 0)
		return;
	buf_init(&b, PROTO_MSG_MAX);
	msg_report_begin(&b, &m, &count_at);
	for (it = m.rows; msg_report_next(&it, &row); n++)
		msg_report_row(&b, &row);
	FUZZ_CHECK(n == m.n_rows && cursor_done(&it) == 0);
	msg_report_end(&b, count_at, n);
	/* Counters that only a newer peer knows are dropped: then it is shorter, and that is all that may differ. */
	FUZZ_CHECK(!b.failed && b.len <= size);
	if (b.len == size)
		FUZZ_CHECK(memcmp(b.data, data, size) == 0);
	buf_free(&b);
	msg_report_fini(&m);
}

static void fuzz_report_ack(const uint8_t *data, size_t size)
{
	struct msg_report_ack m;
	struct buf b;

	if (msg_report_ack_decode(&m, data, size) != 0)
		return;
	buf_init(&b, PROTO_MSG_MAX);
	msg_report_ack_encode(&m, &b);
	fuzz_check_same(&b, data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_report(data, size);
	fuzz_report_ack(data, size);
	return 0;
}
