#define _GNU_SOURCE
#include "common/uv/udp_send.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int out, in;
static struct addr to;

static int set_up(void **state)
{
	struct timeval limit = { .tv_sec = 20 };
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	int size = 4 << 20;

	(void)state;
	in = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	out = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (bind(in, (struct sockaddr *)&a, sizeof a) != 0 || getsockname(in, (struct sockaddr *)&a, &len) != 0)
		return -1;
	setsockopt(in, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(in, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	addr_from_sockaddr(&to, (struct sockaddr *)&a, sizeof a);
	return connect(out, (struct sockaddr *)&a, sizeof a);
}

static int tear_down(void **state)
{
	(void)state;
	close(in);
	close(out);
	return 0;
}

static const struct {
	const char *what;
	size_t n;
	size_t sizes[UDP_BATCH];
} bursts[] = {
	{ "one", 1, { 5 } },
	{ "two alike", 2, { 5, 5 } },
	{ "two different", 2, { 5, 6 } },
	{ "a shorter one ends a train", 5, { 100, 100, 40, 100, 100 } },
	{ "a longer one begins another", 4, { 40, 40, 100, 100 } },
	{ "empty ones", 4, { 0, 7, 0, 0 } },
	{ "an empty one behind a train", 3, { 9, 9, 0 } },
	{ "long ones", 3, { 30000, 30000, 30000 } },
	{ "the longest", 2, { 65507, 65507 } },
	{ "sixty-four", 64,
		{ 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12,
			12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12,
			12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12 } },
};

static unsigned mismatches(const size_t *sizes, size_t n)
{
	static uint8_t got[70000];
	unsigned bad = 0;

	for (size_t i = 0; i < n; i++) {
		ssize_t k = recv(in, got, sizeof got, 0);

		bad += k != (ssize_t)sizes[i] || (k > 0 && got[0] != (uint8_t)i);
	}
	return bad;
}

static void bursts_arrive_as_they_were(void **state)
{
	static uint8_t bytes[UDP_BATCH][65507];
	unsigned bad = 0;

	(void)state;
	for (size_t c = 0; c < ARRAY_LEN(bursts); c++) {
		for (unsigned way = 0; way < 4; way++) { /* connected or not, with trains or without */
			struct udp_route r = { .fd = out, .to = way & 1 ? &to : NULL, .segments = way & 2 };
			struct iovec d[UDP_BATCH];
			uint64_t all = bursts[c].n == 64 ? UINT64_MAX : (UINT64_C(1) << bursts[c].n) - 1;

			for (size_t i = 0; i < bursts[c].n; i++) {
				memset(bytes[i], (int)i, bursts[c].sizes[i]);
				d[i] = (struct iovec){ bytes[i], bursts[c].sizes[i] };
			}
			if (udp_send(&r, d, (unsigned)bursts[c].n) != all ||
				mismatches(bursts[c].sizes, bursts[c].n) != 0) {
				print_error("%s, way %u\n", bursts[c].what, way);
				bad++;
			}
		}
	}
	assert_int_equal(bad, 0);
}

/* The kernel cuts no train whose checksums are off: that stands for a kernel or a path that cuts none at all. */
static void a_refused_train_goes_as_single_ones(void **state)
{
	static uint8_t bytes[4][100];
	static const size_t sizes[] = { 100, 100, 100, 50 };
	struct udp_route r = { .fd = out, .segments = true };
	struct iovec d[4];
	int on = 1;

	(void)state;
	assert_int_equal(setsockopt(out, SOL_SOCKET, SO_NO_CHECK, &on, sizeof on), 0);
	for (unsigned i = 0; i < 4; i++) {
		memset(bytes[i], (int)i, sizeof bytes[i]);
		d[i] = (struct iovec){ bytes[i], sizes[i] };
	}
	assert_int_equal(udp_send(&r, d, 4), 15);
	assert_false(r.segments);
	assert_int_equal(mismatches(sizes, 4), 0);
}

static void what_is_too_long_is_left_out(void **state)
{
	static uint8_t bytes[70000];
	struct iovec d[3] = { { bytes, 10 }, { bytes, 70000 }, { bytes, 10 } };
	struct udp_route r = { .fd = out, .segments = true };

	(void)state;
	assert_int_equal(udp_send(&r, d, 3), 5);
}

static void a_full_socket_drops_the_rest(void **state)
{
	struct iovec d[UDP_BATCH];
	struct udp_route r = { .segments = false };
	static uint8_t bytes[1000];
	uint64_t taken = UINT64_MAX;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
	r.fd = pair[0];
	for (unsigned i = 0; i < UDP_BATCH; i++)
		d[i] = (struct iovec){ bytes, sizeof bytes };
	for (unsigned i = 0; i < 100 && taken == UINT64_MAX; i++)
		taken = udp_send(&r, d, UDP_BATCH);
	assert_true(taken != UINT64_MAX);
	assert_int_equal(taken & (taken + 1), 0); /* the first so many */
	close(pair[0]);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(bursts_arrive_as_they_were, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_refused_train_goes_as_single_ones, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_too_long_is_left_out, set_up, tear_down),
		cmocka_unit_test(a_full_socket_drops_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
