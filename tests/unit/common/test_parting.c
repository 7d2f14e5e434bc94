#include "common/tunnel/parting.h"

#include "common/base/clock.h"
#include "common/uv/fd_budget.h"
#include "common/uv/worker.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)

static struct fd_budget fds;
static struct worker worker;
static struct partings all;
static struct task round_end;

static void on_round_end(struct task *t)
{
	(void)t;
	worker_stop(&worker);
}

static void start(void)
{
	fd_budget_init(&fds, 2 * PARTINGS_MAX + 200);
	assert_int_equal(worker_init(&worker, 0, &fds, NULL, NULL, NULL), 0);
	task_init(&round_end, on_round_end);
	partings_init(&all);
}

static void stop(void)
{
	partings_fini(&all);
	assert_int_equal(all.n, 0);
	assert_int_equal(fd_budget_used(&fds), 0);
	worker_fini(&worker);
}

/* One round: what is there is served, and nothing is waited for. */
static void run(void)
{
	worker.stopping = false;
	worker_again(&worker, &round_end);
	worker_run(&worker);
}

/* One of a pair parts; the other end, which is answered, is its peer's. */
static int part(void)
{
	static struct io io;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	assert_true(fd_budget_take(&fds, 1, FD_FOR_SESSIONS));
	io_init(&io, NULL, pair[0]);
	assert_int_equal(io_add(&worker, &io, IO_STREAM), 0);
	assert_int_equal(send(pair[0], "last words", 10, 0), 10);
	partings_take(&all, &worker, &io);
	assert_int_equal(io.fd, -1);
	return pair[1];
}

static void assert_hears(int peer)
{
	char heard[16];

	assert_int_equal(recv(peer, heard, sizeof heard, 0), 10);
	assert_memory_equal(heard, "last words", 10);
	assert_int_equal(recv(peer, heard, sizeof heard, 0), 0); /* the end, and no error */
}

static void test_until_the_peer_has_closed(void **state)
{
	int peer;

	(void)state;
	start();
	peer = part();
	assert_int_equal(send(peer, "not heard yet", 13, 0), 13);
	run();
	assert_int_equal(all.n, 1);
	assert_int_equal(fd_budget_used(&fds), 1);
	assert_hears(peer);
	close(peer);
	run();
	assert_int_equal(all.n, 0);
	stop();
}

static void test_no_longer_than_its_time(void **state)
{
	int peer;

	(void)state;
	start();
	peer = part();
	wheel_advance(&worker.wheel, worker.now_ns + PARTING_NS - 500 * MS);
	assert_int_equal(all.n, 1);
	wheel_advance(&worker.wheel, worker.now_ns + PARTING_NS + 500 * MS);
	assert_int_equal(all.n, 0);
	assert_hears(peer);
	close(peer);
	stop();
}

/* Who goes on sending does not hear, and is listened to for so much only. */
static void test_no_more_than_its_bytes(void **state)
{
	static char much[65536];
	bool in_time = false;

	(void)state;
	for (unsigned i = 0; i < 20 && !in_time; i++) { /* one that took longer may have ended for that */
		size_t sent = 0;
		ssize_t n;
		int peer;

		start();
		peer = part();
		do {
			while ((n = send(peer, much, sizeof much, MSG_NOSIGNAL)) > 0)
				sent += (size_t)n;
			run();
		} while (all.n > 0 && sent < 4 * (size_t)PARTING_BYTES);
		assert_int_equal(all.n, 0);
		in_time = sent >= PARTING_BYTES;
		assert_true(sent <= PARTING_BYTES + 2 * 1024 * 1024);
		close(peer);
		stop();
	}
	assert_true(in_time);
}

/* The place of the oldest is the first that somebody else gets. */
static void test_no_more_than_so_many(void **state)
{
	int peers[PARTINGS_MAX + 1];
	char byte;

	(void)state;
	start();
	for (unsigned i = 0; i <= PARTINGS_MAX; i++)
		peers[i] = part();
	assert_int_equal(all.n, PARTINGS_MAX);
	assert_int_equal(fd_budget_used(&fds), PARTINGS_MAX);
	assert_int_equal(send(peers[0], "x", 1, MSG_NOSIGNAL), -1); /* nobody is there */
	assert_int_equal(send(peers[1], "x", 1, MSG_NOSIGNAL), 1);
	assert_int_equal(recv(peers[1], &byte, 1, 0), 1);
	for (unsigned i = 0; i <= PARTINGS_MAX; i++)
		close(peers[i]);
	for (unsigned i = 0; i < 10 && all.n > 0; i++)
		run(); /* a round has so many events */
	assert_int_equal(all.n, 0);
	stop();
}

/* At the end it is waited for peers, for a moment and no more. */
static void test_at_the_end(void **state)
{
	bool quick = false;
	uint64_t began;
	int peer;

	(void)state;
	start();
	for (unsigned i = 0; i < 20 && !quick; i++) { /* what an interrupted test took says nothing */
		peer = part();
		close(peer);
		began = clock_mono_ns();
		partings_fini(&all);
		quick = clock_mono_ns() - began < PARTING_END_MS * MS;
		assert_int_equal(all.n, 0);
	}
	assert_true(quick);
	peer = part();
	began = clock_mono_ns();
	partings_fini(&all);
	assert_true(clock_mono_ns() - began >= PARTING_END_MS * MS);
	assert_hears(peer);
	close(peer);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_until_the_peer_has_closed),
		cmocka_unit_test(test_no_longer_than_its_time),
		cmocka_unit_test(test_no_more_than_its_bytes),
		cmocka_unit_test(test_no_more_than_so_many),
		cmocka_unit_test(test_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
