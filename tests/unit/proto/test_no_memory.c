/* Decoders that allocate, without memory: the message is refused, and nothing leaks. */
#define _GNU_SOURCE
#include "tests/unit/lib/alloc_fail.h"

#include "proto/answer.h"
#include "proto/mapping_conf.h"
#include "proto/poll.h"
#include "proto/report.h"
#include "tests/unit/proto/wire.h"

static int decode_poll(const void *p, size_t n)
{
	struct msg_poll m;
	int rc = msg_poll_decode(&m, p, n);

	if (rc == 0)
		msg_poll_fini(&m);
	return rc;
}

static int decode_report(const void *p, size_t n)
{
	struct msg_report m;
	int rc = msg_report_decode(&m, p, n);

	if (rc == 0)
		msg_report_fini(&m);
	return rc;
}

static int decode_answer(const void *p, size_t n)
{
	struct msg_answer m;
	int rc = msg_answer_decode(&m, p, n);

	if (rc == 0)
		msg_answer_fini(&m);
	return rc;
}

static int decode_mapping(const void *p, size_t n)
{
	struct mapping_conf m;
	int rc = mapping_conf_decode(&m, p, n);

	if (rc == 0)
		mapping_conf_fini(&m);
	return rc;
}

static void check(wire_decode_fn decode, struct buf *b, size_t allocations)
{
	assert_false(b->failed);
	ALLOC_FAIL_EACH(n)
	{
		bool failed;
		int rc;

		alloc_fail_after(n);
		rc = decode(b->data, b->len);
		failed = alloc_fail_stop();
		assert_int_equal(rc, failed ? -1 : 0);
		if (failed)
			continue;
		assert_int_equal(n, ALLOC_FAIL_WORKS ? allocations : 0);
		break;
	}
	buf_free(b);
}

static void test_decoders(void **state)
{
	struct node_refusal refusal = { .kind = 1, .id = "m" };
	struct node_state ns = { .n = 1, .refusals = &refusal };
	struct client_state client = { .client = "1", .instance = "i", .state = CLIENT_STATE_ONLINE };
	const struct client_states clients = { .told = true, .n = 1, .items = &client };
	struct conn_info conn = { .mapping = "m", .protocol = MAPPING_TCP };
	struct cidr range = { 4, 8, { 10 } };
	struct mapping_cidrs ranges = { &range, 1 };
	const struct mapping_conf mapping = {
		.protocol = MAPPING_TCP,
		.port_first = 1,
		.port_last = 1,
		.target_host = "t",
		.target_port = 1,
		.allow = ranges,
		.deny = ranges,
		.proxy_trusted = ranges,
		.dial_allow = ranges,
	};
	size_t count_at;
	struct buf b;

	(void)state;
	buf_init(&b, PROTO_MSG_MAX);
	msg_poll_encode(&(struct msg_poll){ .state = ns }, &b);
	check(decode_poll, &b, 1);
	msg_report_begin(&b, &(struct msg_report){ .state = ns, .clients = clients }, &count_at);
	check(decode_report, &b, 2);
	msg_answer_encode(&(struct msg_answer){ .n = 1, .conns = &conn }, &b);
	check(decode_answer, &b, 1);
	mapping_conf_encode(&mapping, &b);
	check(decode_mapping, &b, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decoders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
