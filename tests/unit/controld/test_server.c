/* Connections to the server over a real socket: clients that vanish, deadlines, limits, the graceful end. */
#include "controld/rest/server.h"

#include "tests/unit/controld/server_bench.h"

/* ---- limits and deadlines ---------------------------------------------------------------------------------------------- */

static void expect_closed_silently(int fd)
{
	char answer[256];

	assert_int_equal(client_read_all(fd, answer, sizeof answer), 0);
	close(fd);
}

static void test_vanished_client_costs_nothing(void **state)
{
	char answer[8192];
	struct bench b;

	(void)state;
	bench_start(&b, &conf_default);
	for (unsigned round = 0; round < 20; round++) {
		const struct linger hard = { .l_onoff = 1 };
		const int fd = client_open(&b);

		client_say(fd, round % 2 == 0 ? "GET /gate HTTP/1.1\r\n" HOST "\r\n"
					      : "GET /waits/x HTTP/1.1\r\n" HOST "\r\n");
		if (round == 0)
			gate_wait_inside(&b.feature.gate, 1);
		if (round % 3 == 0)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
		close(fd);
	}
	ask(&b, LAST, answer, sizeof answer);
	assert_non_null(strstr(answer, "HTTP/1.1 200"));
	gate_open(&b.feature.gate);
	bench_stop(&b);
}

static void test_deadlines(void **state)
{
	struct server_conf conf = conf_default;
	char answer[8192];
	struct bench b;
	int idle, slow, body;

	(void)state;
	conf.head_ms = conf.body_ms = conf.idle_ms = 50;
	bench_start(&b, &conf);
	idle = client_open(&b);
	slow = client_open(&b);
	client_say(slow, "GET /loop/1 HTTP/1.1\r\nHost:");
	body = client_open(&b);
	client_say(body, "POST /things HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n{");
	expect_closed_silently(idle);
	expect_closed_silently(slow);
	expect_closed_silently(body);
	for (unsigned i = 0; i == 0 || answer[0] == '\0'; i++) { /* who asks too late is not answered: then again */
		assert_true(i < 100);
		idle = client_open(&b);
		client_say(idle, "GET /loop/1 HTTP/1.1\r\n" HOST "\r\n");
		client_read_all(idle, answer, sizeof answer); /* ends: idle after an answer */
		close(idle);
	}
	assert_non_null(strstr(answer, "HTTP/1.1 200"));
	bench_stop(&b);
}

/* A header line now and then does not buy time. */
static void test_slow_headers_do_not_renew_the_deadline(void **state)
{
	struct server_conf conf = conf_default;
	struct bench b;
	int fd;

	(void)state;
	conf.head_ms = 300;
	bench_start(&b, &conf);
	fd = client_open(&b);
	client_say(fd, "GET /loop/1 HTTP/1.1\r\n");
	for (unsigned i = 0; i < 1000; i++) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		if (poll(&p, 1, 20) == 1)
			break;
		client_say(fd, "X: y\r\n");
		assert_true(i < 900);
	}
	close(fd);
	bench_stop(&b);
}

static void test_connection_limits(void **state)
{
	struct server_conf conf = conf_default;
	char answer[8192];
	struct bench b;
	int fds[3];

	(void)state;
	conf.connections_per_address_max = 3;
	bench_start(&b, &conf);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = client_open(&b);
		client_say(fds[i], "GET /loop/1 HTTP/1.1\r\n" HOST "\r\n");
		assert_true(client_read_until(fds[i], answer, sizeof answer, "{\"id\":\"1\"}"));
	}
	expect_closed_silently(client_open(&b));
	close(fds[0]);
	do /* as soon as the loop has seen the close */
		ask(&b, "GET /metrics HTTP/1.1\r\n" HOST END, answer, sizeof answer);
	while (strncmp(answer, "HTTP/1.1 200", 12) != 0);
	close(fds[1]);
	close(fds[2]);
	bench_stop(&b);

	conf.connections_per_address_max = 0;
	conf.connections_max = 1;
	conf.requests_per_connection = 2;
	bench_start(&b, &conf);
	fds[0] = client_open(&b);
	client_say(fds[0], "GET /loop/1 HTTP/1.1\r\n" HOST "\r\n");
	assert_true(client_read_until(fds[0], answer, sizeof answer, "{\"id\":\"1\"}"));
	expect_closed_silently(client_open(&b));
	client_say(fds[0], "GET /loop/1 HTTP/1.1\r\n" HOST "\r\n");
	client_read_all(fds[0], answer, sizeof answer); /* the second is the last */
	assert_non_null(strstr(answer, "\r\nConnection: close\r\n"));
	close(fds[0]);
	bench_stop(&b);
}

/* ---- the end ------------------------------------------------------------------------------------------------------------ */

static void test_stop_lets_running_requests_finish(void **state)
{
	char answer[8192];
	struct bench b;
	int running, idle, parked;

	(void)state;
	bench_start(&b, &conf_default);
	running = client_open(&b);
	client_say(running, "GET /gate HTTP/1.1\r\n" HOST "\r\n");
	gate_wait_inside(&b.feature.gate, 1);
	idle = client_open(&b);
	client_say(idle, "GET /loop/1 HTTP/1.1\r\n" HOST "\r\n");
	assert_true(client_read_until(idle, answer, sizeof answer, "{\"id\":\"1\"}"));
	parked = client_open(&b);
	client_say(parked, "GET /waits/long HTTP/1.1\r\n" HOST "\r\n");
	bench_ask_to_stop(&b);
	expect_closed_silently(idle);
	client_read_all(parked, answer, sizeof answer); /* what is parked is answered now */
	assert_true(answer[0] == '\0' || strstr(answer, "{\"done\":false}") != NULL);
	gate_open(&b.feature.gate);
	client_read_all(running, answer, sizeof answer);
	assert_non_null(strstr(answer, "HTTP/1.1 204"));
	assert_non_null(strstr(answer, "\r\nConnection: close\r\n"));
	close(running);
	close(parked);
	bench_end(&b);
}

static void test_stop_does_not_wait_for_ever(void **state)
{
	struct server_conf conf = conf_default;
	struct bench b;
	int fd;

	(void)state;
	conf.stop_ms = 50;
	bench_start(&b, &conf);
	fd = client_open(&b);
	client_say(fd, "GET /gate HTTP/1.1\r\n" HOST "\r\n");
	gate_wait_inside(&b.feature.gate, 1);
	bench_ask_to_stop(&b);
	expect_closed_silently(fd);
	pthread_join(b.thread, NULL);
	gate_open(&b.feature.gate);
	server_free(b.server);
	loop_free(b.loop);
}

static void test_a_taken_port_is_an_error(void **state)
{
	struct server_conf conf = conf_default;
	struct server *second;
	char listen_at[32];
	struct bench b;
	struct loop *loop;
	struct err e;

	(void)state;
	bench_start(&b, &conf_default);
	(void)snprintf(listen_at, sizeof listen_at, "127.0.0.1:%u", server_port(b.server));
	conf.listen = listen_at;
	assert_int_equal(loop_new(&loop, &e), 0);
	assert_int_equal(server_new(&second, &conf, loop, NULL, &authenticator, &e), 0);
	assert_int_equal(server_start(second, &e), -1);
	assert_int_equal(e.code, ERR_ADDR_IN_USE);
	assert_non_null(strstr(e.msg, listen_at));
	server_free(second);
	loop_free(loop);
	bench_stop(&b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vanished_client_costs_nothing),
		cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_slow_headers_do_not_renew_the_deadline),
		cmocka_unit_test(test_connection_limits),
		cmocka_unit_test(test_stop_lets_running_requests_finish),
		cmocka_unit_test(test_stop_does_not_wait_for_ever),
		cmocka_unit_test(test_a_taken_port_is_an_error),
	};

	log_init("test", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, STDERR_FILENO);
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
