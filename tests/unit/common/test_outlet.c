#include "common/tunnel/outlet.h"

#include "common/tunnel/mux_pool.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct wire {
	struct mux_pool pool;
	struct outlet out;
	int far;
};

static void wire_start(struct wire *w)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof a;
	int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);

	memset(w, 0, sizeof *w);
	assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &n), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	w->far = accept(listener, NULL, NULL);
	assert_true(w->far >= 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	close(listener);
	outlet_init(&w->out, fd, &w->pool);
}

static void wire_end(struct wire *w)
{
	close(w->out.fd);
	close(w->far);
	outlet_fini(&w->out);
	mux_pool_fini(&w->pool);
}

static unsigned told(const struct outlet *o)
{
	unsigned most = 0;
	socklen_t n = sizeof most;

	assert_int_equal(getsockopt(o->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &most, &n), 0);
	return most;
}

/* So much may wait, here and in the kernel, after the socket was full for so long; one case follows the other. */
static void test_judged(void **state)
{
	static const struct {
		uint64_t full_for_ns;
		size_t high;
	} cases[] = {
		{ 0, OUTLET_HIGH },
		{ OUTLET_SLOW_NS, OUTLET_HIGH },
		{ OUTLET_SLOW_NS + 1, OUTLET_HIGH / 2 },
		{ UINT64_MAX, OUTLET_HIGH / 4 },
		{ OUTLET_FAST_NS, OUTLET_HIGH / 4 },
		{ OUTLET_FAST_NS - 1, OUTLET_HIGH / 2 },
		{ 0, OUTLET_HIGH },
	};
	struct wire w;

	(void)state;
	wire_start(&w);
	assert_int_equal(told(&w.out), OUTLET_HIGH);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		outlet_judge(&w.out, cases[i].full_for_ns);
		assert_int_equal(w.out.high, cases[i].high);
		assert_int_equal(told(&w.out), cases[i].high);
	}
	for (unsigned i = 0; i < 10; i++)
		outlet_judge(&w.out, UINT64_MAX);
	assert_int_equal(w.out.high, OUTLET_HIGH_MIN);
	wire_end(&w);
}

static uint64_t take_all(int fd)
{
	uint8_t bytes[65536];
	uint64_t all = 0;
	ssize_t n;

	while ((n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
		all += (uint64_t)n;
	return all;
}

/* Full until the peer reads; then what waited leaves, its memory goes back, and the time it took was seen. */
static void test_full(void **state)
{
	static const uint8_t piece[65536];
	uint64_t pushed = 0, got = 0, now = 1000;
	struct wire w;

	(void)state;
	wire_start(&w);
	while (outlet_waiting(&w.out) == 0) {
		assert_int_equal(outlet_push(&w.out, piece, sizeof piece, now), 0);
		pushed += sizeof piece;
	}
	assert_int_equal(w.out.full_ns, now);
	assert_int_equal(w.out.bytes + outlet_waiting(&w.out), pushed);
	assert_int_equal(outlet_push(&w.out, piece, 100, now + 5), 0); /* behind it */
	pushed += 100;
	assert_int_equal(w.out.full_ns, now);
	while (got < pushed) {
		got += take_all(w.far);
		if (outlet_waiting(&w.out) > 0)
			assert_int_equal(outlet_resume(&w.out, now + 2 * OUTLET_SLOW_NS), 0);
	}
	assert_int_equal(got, pushed);
	assert_int_equal(w.out.bytes, pushed);
	assert_int_equal(outlet_waiting(&w.out), 0);
	assert_int_equal(w.out.full_ns, 0);
	assert_null(w.out.kept.data);
	assert_true(w.out.high < OUTLET_HIGH);
	wire_end(&w);
}

static void test_peer_that_never_reads(void **state)
{
	static const uint8_t piece[65536];
	struct wire w;
	int r = 0;

	(void)state;
	wire_start(&w);
	for (unsigned i = 0; i < 1000 && r == 0; i++)
		r = outlet_push(&w.out, piece, sizeof piece, 1);
	assert_int_equal(r, -1);
	assert_true(w.out.kept.failed);
	wire_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judged),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_peer_that_never_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
