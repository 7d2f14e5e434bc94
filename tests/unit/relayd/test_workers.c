#include "relayd/loop/workers.h"

#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/uv/fd_budget.h"
#include "common/uv/slab.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define N 3

static struct workers *ws;
static struct fd_budget fds;

static int set_up(void **state)
{
	(void)state;
	fd_budget_init(&fds, 1000);
	return workers_new(&ws, N, &fds, NULL) == 0 && workers_start(ws, NULL) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	workers_free(ws);
	assert_int_equal(fd_budget_used(&fds), 0);
	return 0;
}

static void work_count(struct worker *w, void *arg)
{
	unsigned *seen = arg;

	seen[w->index]++;
}

static void a_call_reaches_everyone_before_it_returns(void **state)
{
	unsigned seen[N] = { 0 };

	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		workers_call(ws, work_count, seen);
		workers_call_each(ws, work_count, seen);
		for (unsigned k = 0; k < N; k++)
			assert_int_equal(seen[k], 2 * (i + 1));
	}
	workers_stop(ws);
	workers_stop(ws);
	workers_call(ws, work_count, seen); /* no thread is left: here and now */
	assert_int_equal(seen[N - 1], 401);
}

/* An io that echoes one pipe into another, and closes itself when told. */
struct echo {
	struct io io;
	int to;
	struct worker *w;
	struct task bury;
	unsigned events, buried;
};

static void on_buried(struct task *t)
{
	CONTAINER_OF(t, struct echo, bury)->buried++;
}

static void on_echo(struct io *io, uint32_t events)
{
	struct echo *x = CONTAINER_OF(io, struct echo, io);
	char buf[64];
	ssize_t n;

	(void)events;
	x->events++;
	while ((n = read(io->fd, buf, sizeof buf)) > 0)
		if (write(x->to, buf, (size_t)n) != n)
			abort();
	if (n == 0) {
		io_close(io);
		worker_bury(x->w, &x->bury);
		if (write(x->to, "", 1) != 1)
			abort();
	}
}

static void work_add(struct worker *w, void *arg)
{
	struct echo *x = arg;

	if (w->index != 0)
		return;
	x->w = w;
	if (io_add(w, &x->io, EPOLLIN | EPOLLET) != 0)
		abort();
}

static void an_io_hears_until_it_is_closed(void **state)
{
	struct echo x = { .events = 0 };
	int up[2], down[2];
	char buf[8];

	(void)state;
	assert_int_equal(pipe(up) | pipe(down), 0);
	io_init(&x.io, on_echo, up[0]);
	task_init(&x.bury, on_buried);
	x.to = down[1];
	workers_call_each(ws, work_add, &x);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(write(up[1], "ping", 4), 4);
		assert_int_equal(read(down[0], buf, sizeof buf), 4);
	}
	close(up[1]);
	assert_int_equal(read(down[0], buf, sizeof buf), 1);
	workers_call(ws, work_count, (unsigned[N]){ 0 });
	workers_stop(ws);
	assert_int_equal(x.buried, 1);
	assert_int_equal(x.io.fd, -1);
	close(down[0]);
	close(down[1]);
}

static uint64_t ping(const int up[2], const int down[2], unsigned n, unsigned pause_us)
{
	const struct worker_looks before = workers_looks(ws);
	struct worker_looks after;
	char buf[8];

	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(write(up[1], "ping", 4), 4);
		assert_int_equal(read(down[0], buf, sizeof buf), 4);
		if (pause_us != 0)
			usleep(pause_us);
	}
	after = workers_looks(ws);
	return after.found + after.vain - before.found - before.vain;
}

/* Its thread is not there yet: workers_start() follows. */
static int set_up_busy(void **state)
{
	(void)state;
	fd_budget_init(&fds, 1000);
	if (workers_new(&ws, N, &fds, NULL) != 0)
		return -1;
	workers_set_busy_poll(ws, 500000);
	return workers_start(ws, NULL);
}

static void a_worker_looks_before_it_sleeps_while_events_come_fast(void **state)
{
	struct echo x = { .events = 0 };
	uint64_t looks;
	int up[2], down[2];
	char c;

	(void)state;
	assert_int_equal(pipe(up) | pipe(down), 0);
	assert_int_equal(fcntl(up[0], F_SETFL, O_NONBLOCK), 0); /* its echo comes back to the epoll after each */
	io_init(&x.io, on_echo, up[0]);
	task_init(&x.bury, on_buried);
	x.to = down[1];
	workers_call_each(ws, work_add, &x);
	for (unsigned i = 0; i < 1000 && workers_looks(ws).found == 0; i++) /* on a busy machine not at once */
		ping(up, down, 100, 0);
	assert_true(workers_looks(ws).found > 0);
	ping(up, down, 3, 20000); /* slower from here on: the next waits are long */
	/* Each of them may have been woken for something else, and one that is kept from sleeping believes that they come fast. */
	for (unsigned i = 0; i < 50; i++)
		if ((looks = ping(up, down, 20, 20000)) <= 2 * N)
			break;
	assert_true(looks <= 2 * N);
	close(up[1]);
	assert_int_equal(read(down[0], &c, 1), 1);
	workers_stop(ws);
	close(down[0]);
	close(down[1]);
}

/* Work that is put off is not starved, and does not starve events. */
struct spin {
	struct task task;
	struct worker *w;
	unsigned left;
	int tell;
};

static void on_spin(struct task *t)
{
	struct spin *s = CONTAINER_OF(t, struct spin, task);

	if (--s->left > 0)
		worker_again(s->w, t);
	else if (write(s->tell, "", 1) != 1)
		abort();
}

static void work_spin(struct worker *w, void *arg)
{
	struct spin *s = arg;

	if (w->index != 0)
		return;
	s->w = w;
	task_init(&s->task, on_spin);
	worker_again(w, &s->task);
	worker_again(w, &s->task);
}

static void put_off_work_goes_on_round_after_round(void **state)
{
	struct spin s = { .left = 1000 };
	int tell[2];
	char c;

	(void)state;
	assert_int_equal(pipe(tell), 0);
	s.tell = tell[1];
	workers_call_each(ws, work_spin, &s);
	assert_int_equal(read(tell[0], &c, 1), 1);
	assert_int_equal(s.left, 0); /* asked for twice, put off once */
	workers_stop(ws);
	close(tell[0]);
	close(tell[1]);
}

static void a_budget_keeps_room_for_sessions(void **state)
{
	struct fd_budget b;
	unsigned ports = 0, sessions = 0;

	(void)state;
	fd_budget_init(&b, FD_SPARE + 80);
	while (fd_budget_take(&b, 1, FD_FOR_PORTS))
		ports++;
	assert_int_equal(ports, 70);
	while (fd_budget_take(&b, 2, FD_FOR_SESSIONS))
		sessions++;
	assert_int_equal(sessions, 5);
	fd_budget_give(&b, 80);
	assert_int_equal(fd_budget_used(&b), 0);
	fd_budget_init(&b, 10);
	assert_false(fd_budget_take(&b, 1, FD_FOR_SESSIONS));
}

static void pipes_are_lent_and_come_back(void **state)
{
	struct pipe_pool p;
	struct pipe *a, *b;
	unsigned n = 0;
	struct pipe *many[PIPE_POOL_MAX];

	(void)state;
	pipe_pool_init(&p, &fds);
	a = pipe_pool_get(&p, 1);
	assert_non_null(a);
	assert_true(a->size >= PIPE_SIZE_MIN);
	pipe_pool_put(&p, a, true);
	b = pipe_pool_get(&p, 1);
	assert_ptr_equal(a, b); /* the warm one */
	pipe_pool_put(&p, b, false);
	assert_int_equal(p.n_open, 0); /* bytes of another connection must not come out */
	while (n < PIPE_POOL_MAX && (many[n] = pipe_pool_get(&p, 1)) != NULL)
		n++;
	assert_in_range(n, 1, PIPE_POOL_MAX);
	assert_null(pipe_pool_get(&p, 2));
	while (n > 0)
		pipe_pool_put(&p, many[--n], true);
	assert_in_range(p.n_open, 1, PIPE_POOL_KEEP);
	pipe_pool_fini(&p);
}

static void a_slab_gives_zeroed_aligned_objects(void **state)
{
	struct slab s;
	void *p[300];

	(void)state;
	slab_init(&s, 200);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < ARRAY_LEN(p); i++) {
			static const char zero[200];

			p[i] = slab_get(&s);
			assert_non_null(p[i]);
			assert_int_equal((uintptr_t)p[i] % 64, 0);
			assert_memory_equal(p[i], zero, sizeof zero);
			memset(p[i], 0xff, 200);
		}
		for (unsigned i = 0; i < ARRAY_LEN(p); i++)
			slab_put(&s, p[i]);
	}
	assert_ptr_equal(slab_get(&s), p[ARRAY_LEN(p) - 1]);
	slab_put(&s, p[ARRAY_LEN(p) - 1]);
	slab_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_call_reaches_everyone_before_it_returns, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_io_hears_until_it_is_closed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_worker_looks_before_it_sleeps_while_events_come_fast, set_up_busy, tear_down),
		cmocka_unit_test_setup_teardown(put_off_work_goes_on_round_after_round, set_up, tear_down),
		cmocka_unit_test(a_budget_keeps_room_for_sessions),
		cmocka_unit_test_setup_teardown(pipes_are_lent_and_come_back, set_up, tear_down),
		cmocka_unit_test(a_slab_gives_zeroed_aligned_objects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
