/*
 * One direction of a session by itself: a worker that does not run, and a connection at each end. What the epoll would tell is told by
 * the test.
 */
#define _GNU_SOURCE
#include "common/uv/flow.h"

#include "common/base/macros.h"
#include "common/uv/fd_budget.h"
#include "common/uv/stock.h"
#include "common/uv/worker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB    (1024 * 1024)
#define PLENTY (UINT64_C(1) << 40)
#define PER_S  UINT64_C(1000000000)

static struct fd_budget fds;
static struct worker w;

/* Two ends that flows lead between, and what their owner has. */
struct owner {
	struct flow_way way;
	struct rate rate;
	struct allowance allowance;
	uint64_t cell, *cells;
	struct stock stock;
};

struct line {
	struct owner *o;
	struct flow flow;
	struct side from, to;
	int source, sink; /* the far ends */
	uint64_t sent, got;
};

static void on_low(struct allowance *a)
{
	(void)a;
}

static void on_event(struct io *io, uint32_t events)
{
	(void)io;
	(void)events;
}

static void owner_init(struct owner *o)
{
	memset(o, 0, sizeof *o);
	rate_init(&o->rate);
	allowance_init(&o->allowance, on_low);
	allowance_set(&o->allowance, PLENTY, PLENTY);
	o->cells = &o->cell;
	o->way = (struct flow_way){
		.worker = &w, .cells = &o->cells, .rate = &o->rate, .allowance = &o->allowance, .stock = &o->stock
	};
	list_init(&o->way.throttled);
	stock_init(&o->stock, &w);
}

static int set_up(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN); /* workers block it */
	fd_budget_init(&fds, 2000);
	return worker_init(&w, 0, &fds, NULL, NULL, NULL);
}

static int tear_down(void **state)
{
	(void)state;
	worker_fini(&w);
	assert_int_equal(fd_budget_used(&fds), 0);
	return 0;
}

/* A connection over loopback: *near is non-blocking. */
static void connect_pair(int *near, int *far)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &len), 0);
	*far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(*far, (struct sockaddr *)&a, sizeof a), 0);
	*near = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(*near >= 0);
	fcntl(*far, F_SETFL, O_NONBLOCK);
	close(listener);
}

static void line_init(struct line *l, struct owner *o)
{
	int near[2], small = 64 * 1024; /* so that they stall soon */

	*l = (struct line){ .o = o };
	connect_pair(&near[0], &l->source);
	connect_pair(&near[1], &l->sink);
	setsockopt(near[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	setsockopt(l->sink, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	side_init(&l->from, on_event, near[0]);
	side_init(&l->to, on_event, near[1]);
	l->to.writable = true;
	flow_init(&l->flow);
}

static void line_fini(struct line *l)
{
	flow_fini(&l->flow, &l->o->way);
	side_close(&l->from, false);
	side_close(&l->to, false);
	close(l->source);
	close(l->sink);
}

/* Until the kernel has brought what was sent, the end too: it need not be there when send() is back. */
static void all_arrives(int fd)
{
	int left;

	do {
		assert_int_equal(ioctl(fd, SIOCOUTQ, &left), 0);
		if (left > 0)
			sched_yield();
	} while (left > 0);
}

static uint8_t byte_at(uint64_t at)
{
	return (uint8_t)(at * 2654435761U >> 13);
}

/* As much of n bytes as its kernel takes. */
static size_t feed(struct line *l, size_t n)
{
	uint8_t *p = malloc(n);
	ssize_t r;

	for (size_t i = 0; i < n; i++)
		p[i] = byte_at(l->sent + i);
	r = send(l->source, p, n, MSG_NOSIGNAL);
	free(p);
	if (r <= 0)
		return 0;
	l->sent += (uint64_t)r;
	return (size_t)r;
}

/* Reads at most n bytes of what came out, and looks at each. */
static size_t drain(struct line *l, size_t n)
{
	uint8_t *p = malloc(n);
	ssize_t r = recv(l->sink, p, n, 0);

	for (ssize_t i = 0; i < r; i++)
		assert_int_equal(p[i], byte_at(l->got + (uint64_t)i));
	free(p);
	if (r <= 0)
		return 0;
	l->got += (uint64_t)r;
	return (size_t)r;
}

static enum flow_result pump(struct line *l)
{
	enum flow_result r;

	w.turn = MIB;
	l->from.readable = l->to.writable = true;
	do {
		r = flow_pump(&l->flow, &l->o->way, &l->from, &l->to);
	} while (r == FLOW_BUSY);
	return r;
}

/* The sink reads nothing until the flow holds bytes that it could not hand over. */
static void stall(struct line *l, bool splicing)
{
	for (unsigned i = 0; i < 10000 && l->flow.held == 0; i++) {
		l->flow.splicing = splicing;
		l->flow.large_run = 0;
		feed(l, FLOW_SPLICE_AFTER / 2);
		pump(l);
	}
	assert_true(l->flow.held > 0);
}

/* Everything that was fed comes out. */
static void finish(struct line *l)
{
	for (unsigned i = 0; i < 100000 && l->got < l->sent; i++) {
		drain(l, MIB);
		pump(l);
	}
	assert_int_equal(l->got, l->sent);
	assert_int_equal(l->flow.bytes, l->sent);
	assert_int_equal(l->flow.held, 0);
}

static void every_byte_passes_through_a_stall(void **state)
{
	(void)state;
	for (unsigned splicing = 0; splicing < 2; splicing++) {
		struct owner o;
		struct line l;

		owner_init(&o);
		line_init(&l, &o);
		stall(&l, splicing != 0);
		finish(&l);
		assert_int_equal(o.stock.kept, 0);
		assert_int_equal(o.cell, l.sent);
		assert_int_equal(o.allowance.taken, l.sent);
		line_fini(&l);
		rate_fini(&o.rate);
	}
}

/* ---- what was granted and did not pass ------------------------------------------------------------------------------ */

static uint64_t rate_left(struct owner *o)
{
	return o->way.slice.left;
}

/* As a copy, then as a splice, into an end that takes no more. */
static void a_grant_comes_back_when_the_far_side_breaks(void **state)
{
	(void)state;
	for (unsigned splicing = 0; splicing < 2; splicing++) {
		struct owner o;
		struct line l;
		uint64_t left;

		owner_init(&o);
		line_init(&l, &o);
		rate_set(&o.rate, PER_S, w.now_ns);
		feed(&l, 1000);
		all_arrives(l.source);
		assert_int_equal(pump(&l), FLOW_BLOCKED);
		all_arrives(l.to.io.fd);
		assert_int_equal(drain(&l, 1000), 1000);
		left = rate_left(&o);
		l.flow.splicing = splicing != 0;
		feed(&l, 50000);
		all_arrives(l.source);
		shutdown(l.to.io.fd, SHUT_WR);
		assert_int_equal(pump(&l), FLOW_BROKEN);
		line_fini(&l);
		assert_int_equal(o.cell, 1000);
		assert_int_equal(o.allowance.done, 1000);
		assert_int_equal(o.allowance.taken, 1000);
		assert_int_equal(rate_left(&o), left);
		rate_fini(&o.rate);
	}
}

/* A session that is cut while bytes of it wait. */
static void a_grant_comes_back_when_a_stalled_flow_ends(void **state)
{
	(void)state;
	for (unsigned splicing = 0; splicing < 2; splicing++) {
		struct owner o;
		struct line l;
		uint64_t passed, before;

		owner_init(&o);
		line_init(&l, &o);
		rate_set(&o.rate, PER_S * 1000, w.now_ns);
		assert_int_equal(pump(&l), FLOW_BLOCKED);
		before = rate_left(&o);
		stall(&l, splicing != 0);
		assert_int_equal(l.flow.pipe != NULL, splicing);
		passed = l.flow.bytes;
		line_fini(&l);
		assert_int_equal(o.cell, passed);
		assert_int_equal(o.allowance.done, passed);
		assert_int_equal(o.allowance.taken, passed);
		assert_int_equal(o.stock.kept, 0);
		assert_int_equal(before - rate_left(&o), passed);
		rate_fini(&o.rate);
	}
}

/* What a slice gets back is no more than a second's tenth, whatever the limit was when it was taken. */
static void a_lowered_limit_is_not_exceeded_by_what_comes_back(void **state)
{
	struct owner o;
	struct line l;

	(void)state;
	owner_init(&o);
	line_init(&l, &o);
	stall(&l, false);
	rate_set(&o.rate, 10000, w.now_ns);
	line_fini(&l);
	assert_in_range(rate_left(&o), 0, 2048);
	rate_fini(&o.rate);
}

/* ---- what stalled flows leave to others ----------------------------------------------------------------------------- */

#define STALLED 140

static struct line stalled[STALLED];

static unsigned with_pipes(const struct line *l, unsigned n)
{
	unsigned found = 0;

	for (unsigned i = 0; i < n; i++)
		found += l[i].flow.pipe != NULL;
	return found;
}

static void an_owner_leaves_pipes_to_others(void **state)
{
	struct owner greedy, other;
	struct line l;

	(void)state;
	owner_init(&greedy);
	owner_init(&other);
	for (unsigned i = 0; i < STALLED; i++) {
		line_init(&stalled[i], &greedy);
		stall(&stalled[i], true);
	}
	assert_in_range(with_pipes(stalled, STALLED), PIPE_POOL_MAX / 2, PIPE_POOL_MAX - PIPE_POOL_MAX / 4);
	assert_int_equal(greedy.stock.n_pipes, with_pipes(stalled, STALLED));
	line_init(&l, &other);
	stall(&l, true);
	assert_non_null(l.flow.pipe);
	finish(&l);
	line_fini(&l);
	for (unsigned i = 0; i < STALLED; i++) {
		finish(&stalled[i]);
		line_fini(&stalled[i]);
	}
	assert_int_equal(greedy.stock.n_pipes, 0);
	assert_int_equal(greedy.stock.kept, 0);
	assert_int_equal(greedy.cell, greedy.allowance.taken);
	rate_fini(&greedy.rate);
	rate_fini(&other.rate);
}

/* The pipes of those that are slow go to those that come, and what was in them is not lost. */
static void a_slow_flow_gives_its_pipe_away(void **state)
{
	struct owner o;
	struct line l;
	unsigned n = 0;

	(void)state;
	owner_init(&o);
	do {
		line_init(&stalled[n], &o);
		stall(&stalled[n], true);
	} while (stalled[n++].flow.pipe != NULL && n < STALLED);
	assert_int_equal(with_pipes(stalled, n), n - 1);
	w.now_ns += PIPE_LONG_NS;
	line_init(&l, &o);
	stall(&l, true);
	assert_non_null(l.flow.pipe);
	assert_null(stalled[0].flow.pipe); /* the one that had it for longest */
	assert_int_equal(with_pipes(stalled, n), n - 2);
	assert_true(o.stock.kept >= stalled[0].flow.held);
	assert_int_equal(w.kept, o.stock.kept);
	finish(&l);
	line_fini(&l);
	while (n-- > 0) {
		finish(&stalled[n]);
		line_fini(&stalled[n]);
	}
	assert_int_equal(w.kept, 0);
	rate_fini(&o.rate);
}

/* Its bytes stay in its pipe while nothing more may be kept for its owner; one of another owner may still go. */
static void nothing_is_kept_beyond_the_share(void **state)
{
	struct owner o, other;
	struct line l;

	(void)state;
	owner_init(&o);
	owner_init(&other);
	o.stock.kept += 48 * MIB;
	w.kept += 48 * MIB;
	line_init(&l, &o);
	for (unsigned i = 0; i < 200; i++) {
		l.flow.large_run = 0;
		feed(&l, FLOW_SPLICE_AFTER / 2);
		pump(&l);
	}
	assert_true(l.sent > l.flow.bytes); /* it stalled, and */
	assert_int_equal(l.flow.held, 0);
	assert_int_equal(o.stock.kept, 48 * MIB);
	finish(&l);
	assert_int_equal(o.allowance.taken, l.sent);
	assert_int_equal(o.cell, l.sent);
	line_fini(&l);
	line_init(&l, &other);
	stall(&l, false);
	assert_int_equal(other.stock.kept, l.flow.held);
	finish(&l);
	line_fini(&l);
	w.kept -= 48 * MIB;
	rate_fini(&o.rate);
	rate_fini(&other.rate);
}

/* Urgent data and the end, when bytes are looked at first. */
static void what_is_looked_at_is_the_same_stream(void **state)
{
	struct owner o;
	struct line l;
	char got[16];

	(void)state;
	owner_init(&o);
	o.stock.kept = w.kept = 48 * MIB;
	line_init(&l, &o);
	l.from.urgent = true;
	assert_int_equal(send(l.source, "abc", 3, 0), 3);
	assert_int_equal(send(l.source, "!", 1, MSG_OOB), 1);
	assert_int_equal(send(l.source, "def", 3, 0), 3);
	all_arrives(l.source);
	assert_int_equal(pump(&l), FLOW_BLOCKED);
	all_arrives(l.to.io.fd);
	assert_int_equal(recv(l.sink, got, sizeof got, 0), 6);
	assert_memory_equal(got, "abcdef", 6);
	assert_int_equal(send(l.source, "g", 1, 0), 1);
	shutdown(l.source, SHUT_WR);
	all_arrives(l.source);
	assert_int_equal(pump(&l), FLOW_ENDED);
	all_arrives(l.to.io.fd);
	assert_int_equal(recv(l.sink, got, sizeof got, 0), 1);
	assert_int_equal(o.cell, 7);
	assert_int_equal(o.allowance.taken, 7);
	line_fini(&l);
	w.kept = 0;
	rate_fini(&o.rate);
}

/* A side that was not told of urgent data, as nobody read it: a read that ends there is not the last. */
static void a_muted_side_does_not_end_at_urgent_data(void **state)
{
	struct owner o;
	struct line l;
	char got[16];

	(void)state;
	owner_init(&o);
	line_init(&l, &o);
	assert_int_equal(io_add(&w, &l.from.io, IO_STREAM), 0);
	assert_int_equal(send(l.source, "abc", 3, 0), 3);
	assert_int_equal(send(l.source, "!", 1, MSG_OOB), 1);
	assert_int_equal(send(l.source, "def", 3, 0), 3);
	shutdown(l.source, SHUT_WR);
	all_arrives(l.source);
	l.from.muted = l.from.fin = true;
	assert_int_equal(pump(&l), FLOW_ENDED);
	all_arrives(l.to.io.fd);
	assert_int_equal(recv(l.sink, got, sizeof got, 0), 6);
	assert_memory_equal(got, "abcdef", 6);
	line_fini(&l);
	rate_fini(&o.rate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_byte_passes_through_a_stall, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_grant_comes_back_when_the_far_side_breaks, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_grant_comes_back_when_a_stalled_flow_ends, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_lowered_limit_is_not_exceeded_by_what_comes_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_owner_leaves_pipes_to_others, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_slow_flow_gives_its_pipe_away, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nothing_is_kept_beyond_the_share, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_looked_at_is_the_same_stream, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_muted_side_does_not_end_at_urgent_data, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
