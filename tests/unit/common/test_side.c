/*
 * One end of a session by itself: what it makes of what the epoll tells, and what it asks of its socket when.
 */
#define _GNU_SOURCE
#include "common/uv/side.h"

#include "common/base/clock.h"
#include "common/base/macros.h"
#include "common/uv/fd_budget.h"
#include "common/uv/worker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct fd_budget fds;
static struct worker w;
static struct side side;
static int far;
static unsigned told; /* events that the epoll had */

static void on_event(struct io *io, uint32_t events)
{
	told++;
	side_hear(CONTAINER_OF(io, struct side, io), &w, events);
}

static void on_stop(struct timer *t)
{
	(void)t;
	worker_stop(&w);
}

/* Lets the worker run for 20 ms. */
static void run(void)
{
	struct timer t;

	timer_init(&t, on_stop);
	w.now_ns = clock_mono_ns();
	wheel_arm(&w.wheel, &t, w.now_ns + 20000000);
	w.stopping = false;
	worker_run(&w);
}

static int set_up(void **state)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	fd_budget_init(&fds, 100);
	assert_int_equal(worker_init(&w, 0, &fds, NULL, NULL, NULL), 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &len), 0);
	far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(far, (struct sockaddr *)&a, sizeof a), 0);
	side_init(&side, on_event, accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC));
	close(listener);
	assert_int_equal(io_add(&w, &side.io, IO_STREAM), 0);
	told = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	side_close(&side, false);
	side_close(&side, false); /* any number of times */
	assert_false(side_is_open(&side));
	close(far);
	worker_fini(&w);
	return 0;
}

static int option(int level, int name)
{
	int value = -1;
	socklen_t len = sizeof value;

	assert_int_equal(getsockopt(side.io.fd, level, name, &value, &len), 0);
	return value;
}

static const struct {
	const char *what;
	uint32_t events;
	bool readable, writable, fin, urgent;
} hears[] = {
	{ "bytes", EPOLLIN, true, false, false, false },
	{ "room", EPOLLOUT, false, true, false, false },
	{ "the peer's end", EPOLLRDHUP, true, false, true, false },
	{ "urgent data", EPOLLPRI, true, false, false, true },
	{ "an error: both calls say which", EPOLLERR, true, true, false, false },
	{ "all is over", EPOLLHUP, true, true, false, false },
	{ "bytes, the end and room", EPOLLIN | EPOLLRDHUP | EPOLLOUT, true, true, true, false },
};

static void what_the_epoll_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hears); i++) {
		struct side s;

		side_init(&s, on_event, -1);
		side_hear(&s, &w, hears[i].events);
		if (s.readable != hears[i].readable || s.writable != hears[i].writable || s.fin != hears[i].fin ||
			s.urgent != hears[i].urgent)
			fail_msg("%s", hears[i].what);
	}
}

static int arrived(void)
{
	int n = -1;

	assert_int_equal(ioctl(side.io.fd, FIONREAD, &n), 0);
	return n;
}

static void send_some(void)
{
	const int want = arrived() + 4;

	assert_int_equal(send(far, "some", 4, MSG_NOSIGNAL), 4);
	while (arrived() < want) /* the kernel may take its time, on loopback too */
		sched_yield();
	run();
}

/* Nobody reads: after a few times the epoll is asked to be silent, and when all was read it speaks again. */
static void a_side_that_nobody_reads_is_muted(void **state)
{
	char got[1024];

	(void)state;
	run();
	assert_true(side.writable);
	assert_false(side.readable);
	for (unsigned i = 0; i < 2 * SIDE_TOLD_MAX; i++)
		send_some();
	assert_true(side.readable);
	assert_true(side.muted);
	told = 0;
	for (unsigned i = 0; i < 10; i++)
		send_some();
	assert_int_equal(told, 0);
	while (recv(side.io.fd, got, sizeof got, 0) > 0)
		;
	side_drained(&side, &w);
	assert_false(side.readable);
	assert_false(side.muted);
	run();
	send_some();
	assert_true(side.readable);
	assert_in_range(told, 1, 3);
}

/* The end is told all the same. */
static void a_muted_side_hears_the_end(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2 * SIDE_TOLD_MAX; i++)
		send_some();
	assert_true(side.muted);
	assert_false(side.fin);
	shutdown(far, SHUT_WR);
	assert_int_equal(poll(&(struct pollfd){ .fd = side.io.fd, .events = POLLRDHUP }, 1, 30000), 1);
	run();
	assert_true(side.fin);
}

static void small_pieces_do_not_wait_from_the_second_on(void **state)
{
	(void)state;
	side_before_write(&side, 0);
	assert_int_equal(option(IPPROTO_TCP, TCP_NODELAY), 0);
	side_before_write(&side, 1);
	assert_true(option(IPPROTO_TCP, TCP_NODELAY) != 0);
	assert_true(side.nodelay);
}

static void silence_is_probed(void **state)
{
	(void)state;
	side_probe(&side, 40);
	assert_true(option(SOL_SOCKET, SO_KEEPALIVE) != 0);
	assert_int_equal(option(IPPROTO_TCP, TCP_KEEPIDLE), 40);
	assert_int_equal(option(IPPROTO_TCP, TCP_KEEPINTVL), 40);
	side_probe(&side, 1000000); /* beyond what the kernel takes */
	assert_int_equal(option(IPPROTO_TCP, TCP_KEEPIDLE), 32767);
}

static void first_bytes_go_whole_or_not(void **state)
{
	static uint8_t much[32 * 1024 * 1024];
	char got[8];

	(void)state;
	assert_int_equal(side_send_first(&side, (const uint8_t *)"first", 5), 0);
	assert_int_equal(recv(far, got, sizeof got, 0), 5);
	assert_int_equal(side_send_first(&side, much, sizeof much), -1);
}

static void an_end_is_an_end_and_a_reset_a_reset(void **state)
{
	char c;

	(void)state;
	assert_int_equal(side_finish(&side), 0);
	assert_int_equal(recv(far, &c, 1, 0), 0);
	assert_int_equal(send(far, "x", 1, 0), 1); /* the other way goes on */
	assert_int_equal(poll(&(struct pollfd){ .fd = side.io.fd, .events = POLLIN }, 1, 30000), 1);
	assert_int_equal(recv(side.io.fd, &c, 1, 0), 1);
	side_close(&side, true);
	assert_int_equal(poll(&(struct pollfd){ .fd = far, .events = POLLERR }, 1, 30000), 1);
	assert_int_equal(send(far, "x", 1, MSG_NOSIGNAL), -1);
}

static void a_reset_is_told(void **state)
{
	char c;

	(void)state;
	side_close(&side, true);
	assert_int_equal(recv(far, &c, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
}

/* An end without a socket is asked for all that. */
static unsigned finished, closed;

static ssize_t fake_send(struct side *s, const uint8_t *p, size_t n)
{
	(void)s;
	(void)p;
	return n > 10 ? 10 : (ssize_t)n;
}

static int fake_finish(struct side *s)
{
	(void)s;
	finished++;
	return 0;
}

static void fake_close(struct side *s, bool reset)
{
	(void)s;
	closed += reset ? 10 : 1;
}

static void an_end_without_a_socket(void **state)
{
	static const struct side_ops ops = { .send = fake_send, .finish = fake_finish, .close = fake_close };
	struct side s;

	(void)state;
	finished = closed = 0;
	side_init(&s, on_event, -1);
	assert_false(side_is_open(&s));
	s.ops = &ops;
	assert_true(side_is_open(&s));
	assert_int_equal(side_send_first(&s, (const uint8_t *)"0123456789", 10), 0);
	assert_int_equal(side_send_first(&s, (const uint8_t *)"0123456789a", 11), -1);
	side_before_write(&s, 100);
	side_probe(&s, 10);
	for (unsigned i = 0; i < 3 * SIDE_TOLD_MAX; i++)
		side_hear(&s, &w, EPOLLIN);
	assert_false(s.muted); /* there is no epoll to ask */
	assert_int_equal(side_finish(&s), 0);
	side_close(&s, true);
	side_close(&s, true);
	assert_int_equal(finished, 1);
	assert_int_equal(closed, 10);
	assert_false(side_is_open(&s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_the_epoll_says, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_side_that_nobody_reads_is_muted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_muted_side_hears_the_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(small_pieces_do_not_wait_from_the_second_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(silence_is_probed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(first_bytes_go_whole_or_not, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_end_is_an_end_and_a_reset_a_reset, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_reset_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_end_without_a_socket, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
