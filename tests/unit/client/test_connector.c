/* connector: addresses one after the other, each asked for, within one deadline; its end is told once, or not at all. */
#define _GNU_SOURCE
#include "common/uv/connector.h"

#include "tests/unit/client/agent_world.h"

static struct {
	unsigned calls;
	int fd;
	struct err e;
	uint16_t allowed; /* a family that may be dialled; 0: none, AF_UNSPEC + 1: any */
	unsigned asked;
} got;

#define ANY 1

static bool may(const struct addr *to, void *arg)
{
	(void)arg;
	got.asked++;
	return got.allowed == ANY || to->sa.sa_family == got.allowed;
}

static void on_done(void *arg, int fd, const struct addr *to, const struct err *e)
{
	(void)arg;
	got.calls++;
	got.fd = fd;
	if (fd < 0)
		got.e = *e;
	else
		assert_non_null(to);
}

static bool is_done(struct world *w)
{
	(void)w;
	return got.calls > 0;
}

static struct connector *start(struct world *w, const char *host, uint16_t port, uint16_t allowed, uint64_t timeout_ms)
{
	const struct connector_conf conf = { .host = host,
		.port = port,
		.type = SOCK_STREAM,
		.timeout_ms = timeout_ms,
		.may = may,
		.on_done = on_done };
	struct connector *d;

	memset(&got, 0, sizeof got);
	got.fd = -1;
	got.allowed = allowed;
	d = connector_start(&w->worker, &conf);
	assert_non_null(d);
	assert_int_equal(got.calls, 0);
	return d;
}

static void expect(struct world *w, int code)
{
	world_run_until(w, is_done);
	worker_bury_all(&w->worker);
	assert_int_equal(got.calls, 1);
	if (code == ERR_NONE) {
		assert_true(got.fd >= 0);
		close(got.fd);
	} else {
		assert_int_equal(got.fd, -1);
		assert_int_equal(got.e.code, code);
	}
}

static void test_connects(void **state)
{
	struct world *w = *state;
	uint16_t port;
	int fd = world_listen(SOCK_STREAM, 0, &port);

	start(w, "127.0.0.1", port, AF_INET, 5000);
	expect(w, ERR_NONE);
	start(w, "localhost", port, AF_INET, 5000); /* where ::1 comes first, it is passed over */
	expect(w, ERR_NONE);
	start(w, "localhost", port, ANY, 5000); /* or tried, and refused */
	expect(w, ERR_NONE);
	close(fd);
}

static void test_does_not(void **state)
{
	struct world *w = *state;
	uint16_t port = world_free_port();

	start(w, "127.0.0.1", port, ANY, 5000);
	expect(w, ERR_TARGET_REFUSED);
	start(w, "localhost", port, 0, 5000);
	expect(w, ERR_DENIED_TARGET);
	assert_true(got.asked > 0);
	assert_non_null(strstr(got.e.msg, "localhost"));
}

/* Its queue is full and nobody accepts: the kernel says nothing. */
static void test_in_time(void **state)
{
	struct world *w = *state;
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), full[4];
	socklen_t len = sizeof a;

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(fd, 0), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	for (size_t i = 0; i < ARRAY_LEN(full); i++) {
		full[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)!connect(full[i], (struct sockaddr *)&a, sizeof a);
	}
	start(w, "127.0.0.1", ntohs(a.sin_port), ANY, 300);
	expect(w, ERR_TIMEOUT);
	for (size_t i = 0; i < ARRAY_LEN(full); i++)
		close(full[i]);
	close(fd);
}

static bool one_round(struct world *w)
{
	static unsigned looks;

	(void)w;
	return ++looks % 3 == 0;
}

static void test_cancelled(void **state)
{
	struct world *w = *state;
	const char *const hosts[] = { "127.0.0.1", "localhost" };

	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) { /* before its first step */
		struct connector *d = start(w, hosts[i], 1, ANY, 5000);

		connector_cancel(d);
		connector_cancel(d);
		connector_cancel(NULL);
	}
	world_run_until(w, one_round);
	assert_int_equal(got.calls, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_connects, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_does_not, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_in_time, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_cancelled, world_set_up, world_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
