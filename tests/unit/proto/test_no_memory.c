/* Decoders that allocate, without memory: the message is refused, and nothing leaks. */
#define _GNU_SOURCE
#include "tests/unit/lib/alloc_fail.h"

#include "proto/acme_conf.h"
#include "proto/answer.h"
#include "proto/cert_conf.h"
#include "proto/mapping_conf.h"
#include "proto/poll.h"
#include "proto/pool_conf.h"
#include "proto/report.h"
#include "proto/route_conf.h"
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

static int decode_pool(const void *p, size_t n)
{
	struct pool_conf pool;
	int rc = pool_conf_decode(&pool, p, n);

	if (rc == 0)
		pool_conf_fini(&pool);
	return rc;
}

static int decode_route(const void *p, size_t n)
{
	struct route_conf route;
	int rc = route_conf_decode(&route, p, n);

	if (rc == 0)
		route_conf_fini(&route);
	return rc;
}

static int decode_cert(const void *p, size_t n)
{
	struct cert_conf c;
	int rc = cert_conf_decode(&c, p, n);

	if (rc == 0)
		cert_conf_fini(&c);
	return rc;
}

static int decode_acme(const void *p, size_t n)
{
	struct acme_conf c;
	int rc = acme_conf_decode(&c, p, n);

	if (rc == 0)
		acme_conf_fini(&c);
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
	struct pool_backend backend = { .id = "b", .host = "h", .port = 1 };
	const struct pool_conf pool = { .algorithm = POOL_ROUND_ROBIN,
		.headroom_percent = 100,
		.dial_allow = ranges,
		.backends = &backend,
		.n_backends = 1 };
	const char *host = "*";
	struct route_target target = { .pool = "p" };
	const struct route_conf route = {
		.hosts = &host, .n_hosts = 1, .targets = &target, .n_targets = 1, .allow = ranges
	};
	struct backend_state away = { .pool = "p", .backend = "b", .state = BACKEND_UNHEALTHY };
	struct pool_panic panic = { .pool = "p" };
	const struct backend_states backends = {
		.told = true, .n = 1, .items = &away, .n_panics = 1, .panics = &panic
	};
	size_t count_at;
	struct buf b;

	(void)state;
	buf_init(&b, PROTO_MSG_MAX);
	msg_poll_encode(&(struct msg_poll){ .state = ns }, &b);
	check(decode_poll, &b, 1);
	msg_report_begin(&b, &(struct msg_report){ .state = ns, .clients = clients, .backends = backends }, &count_at);
	check(decode_report, &b, 4);
	msg_answer_encode(&(struct msg_answer){ .n = 1, .conns = &conn }, &b);
	check(decode_answer, &b, 1);
	mapping_conf_encode(&mapping, &b);
	check(decode_mapping, &b, 4);
	pool_conf_encode(&pool, &b);
	check(decode_pool, &b, 3);
	route_conf_encode(&route, &b);
	check(decode_route, &b, 4);
}

static void test_certificates(void **state)
{
	static char name[1][HOST_NAME_SIZE] = { "a" }, pem[] = "p";
	static uint8_t ocsp[] = { 1 };
	struct buf b;

	(void)state;
	buf_init(&b, PROTO_MSG_MAX);
	cert_conf_encode(&(struct cert_conf){ "t", 1, name, pem, pem, 1, ocsp, 1 }, &b);
	check(decode_cert, &b, 4);
	acme_conf_encode(&(struct acme_conf){ ACME_TLS, "a", "", "", pem, pem, 1 }, &b);
	check(decode_acme, &b, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decoders),
		cmocka_unit_test(test_certificates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
