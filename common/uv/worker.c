#include "common/uv/worker.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/uv/fd_budget.h"
#include "common/uv/sys.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define EVENTS_MAX  128                       /* of one wait */
#define ROUND_BYTES ((size_t)2 * 1024 * 1024) /* about a millisecond's work for all callbacks of a round */
#define TURN_MIN    ((size_t)64 * 1024)

static unsigned run_tasks(struct list *from)
{
	struct list due, *first;
	unsigned n = 0;

	list_init(&due);
	list_splice(&due, from);
	while ((first = list_first(&due)) != NULL) {
		struct task *t = CONTAINER_OF(first, struct task, link);

		list_remove(first);
		t->run(t);
		n++;
	}
	return n;
}

static void on_uv_ready(struct io *io, uint32_t events)
{
	struct worker *w = CONTAINER_OF(io, struct worker, uv_io);

	(void)events;
	uv_run(&w->uv, UV_RUN_NOWAIT);
}

static void on_wake(uv_async_t *async)
{
	struct worker *w = async->data;

	w->on_wake(w, w->on_wake_arg);
}

static void on_letter(uv_async_t *async)
{
	worker_take_posted(async->data);
}

int worker_init(struct worker *w, unsigned index, struct fd_budget *fds, worker_fn fn, void *arg, struct err *e)
{
	*w = (struct worker){ .index = index, .fds = fds, .epfd = -1, .on_wake = fn, .on_wake_arg = arg };
	list_init(&w->posted);
	list_init(&w->again);
	list_init(&w->ends);
	list_init(&w->graves);
	pipe_pool_init(&w->pipes, fds);
	w->now_ns = clock_mono_ns();
	wheel_init(&w->wheel, w->now_ns);
	if (uv_loop_init(&w->uv) != 0)
		return err_set(e, ERR_NOMEM, NULL, "worker %u: cannot make an event loop", index);
	w->uv.data = w->wake.data = w->letter.data = w;
	uv_mutex_init(&w->lock);
	if (uv_async_init(&w->uv, &w->wake, on_wake) != 0 || uv_async_init(&w->uv, &w->letter, on_letter) != 0)
		goto fail;
	w->scratch = malloc(WORKER_SCRATCH);
	w->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (w->scratch == NULL || w->epfd < 0)
		goto fail;
	uv_run(&w->uv, UV_RUN_NOWAIT); /* libuv puts its descriptors in its epoll only when it runs */
	io_init(&w->uv_io, on_uv_ready, uv_backend_fd(&w->uv));
	if (io_add(w, &w->uv_io, EPOLLIN) != 0)
		goto fail;
	return 0;
fail:
	err_set_sys(e, ERR_NO_DESCRIPTORS, errno, "worker %u: cannot make an epoll", index);
	worker_fini(w);
	return -1;
}

void worker_bury_all(struct worker *w)
{
	while (!list_empty(&w->graves))
		run_tasks(&w->graves);
}

static void on_handle_left(uv_handle_t *h, void *arg)
{
	(void)arg;
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

/* Waits for names that the system's resolver still works on: their requests point into the loop. */
void worker_fini(struct worker *w)
{
	worker_bury_all(w);
	pipe_pool_fini(&w->pipes);
	uv_walk(&w->uv, on_handle_left, NULL);
	uv_run(&w->uv, UV_RUN_DEFAULT);
	uv_loop_close(&w->uv);
	uv_mutex_destroy(&w->lock);
	if (w->epfd >= 0)
		close(w->epfd);
	free(w->scratch);
}

static void dispatch(const struct epoll_event *ev)
{
	struct io *io = (struct io *)(uintptr_t)(ev->data.u64 & UINT64_C(0xffffffffffff));

	if (io->tag == ev->data.u64 >> 48 && io->added)
		io->on_event(io, ev->events);
}

static int wait_ms(struct worker *w)
{
	uint64_t next, now;

	if (!list_empty(&w->again) || !list_empty(&w->ends))
		return 0;
	next = wheel_next_ns(&w->wheel);
	if (next == UINT64_MAX)
		return -1;
	now = w->now_ns;
	return next <= now ? 0 : (int)((next - now) / 1000000 + 1);
}

static void note_lag(struct worker *w)
{
	uint64_t lag = clock_mono_ns() - w->now_ns;

	if (lag > __atomic_load_n(&w->lag_ns, __ATOMIC_RELAXED))
		__atomic_store_n(&w->lag_ns, lag, __ATOMIC_RELAXED);
}

static void count(uint64_t *n)
{
	__atomic_store_n(n, *n + 1, __ATOMIC_RELAXED);
}

static int look(struct worker *w, struct epoll_event *events, uint64_t until_ns)
{
	int n;

	do {
		n = sys_epoll_wait(w->epfd, events, EVENTS_MAX, 0);
	} while (n == 0 && clock_mono_ns() < until_ns);
	count(n != 0 ? &w->found : &w->vain);
	return n;
}

/*
 * Events that came within twice the time that it looks for are near enough to be caught the next time; who waited longer has
 * nothing to gain, and sleeps at once until events come faster again.
 */
static int wait_busily(struct worker *w, struct epoll_event *events, int ms)
{
	const uint64_t began = clock_mono_ns();
	int n = w->soon ? look(w, events, began + w->busy_ns) : 0;

	if (n != 0)
		return n;
	n = sys_epoll_wait(w->epfd, events, EVENTS_MAX, ms);
	w->soon = clock_mono_ns() - began < 2 * w->busy_ns;
	return n;
}

static int wait_events(struct worker *w, struct epoll_event *events)
{
	const int ms = wait_ms(w);

	if (w->busy_ns == 0 || ms == 0)
		return sys_epoll_wait(w->epfd, events, EVENTS_MAX, ms);
	return wait_busily(w, events, ms);
}

void worker_run(struct worker *w)
{
	struct epoll_event events[EVENTS_MAX];

	while (!w->stopping) {
		int n = wait_events(w, events);

		w->now_ns = clock_mono_ns();
		w->turn = MAX(ROUND_BYTES / ((unsigned)MAX(n, 0) + w->n_again + 1), TURN_MIN);
		for (int i = 0; i < n; i++)
			dispatch(&events[i]);
		wheel_advance(&w->wheel, w->now_ns);
		w->n_again = run_tasks(&w->again);
		run_tasks(&w->ends);
		worker_bury_all(w);
		note_lag(w);
	}
}

void worker_stop(struct worker *w)
{
	w->stopping = true;
}

void worker_wake(struct worker *w)
{
	uv_async_send(&w->wake);
}

void worker_post(struct worker *w, struct task *t)
{
	uv_mutex_lock(&w->lock);
	list_push_back(&w->posted, &t->link);
	uv_mutex_unlock(&w->lock);
	uv_async_send(&w->letter);
}

void worker_take_posted(struct worker *w)
{
	struct list due;

	list_init(&due);
	uv_mutex_lock(&w->lock);
	list_splice(&due, &w->posted);
	uv_mutex_unlock(&w->lock);
	run_tasks(&due);
}

uint64_t worker_take_lag_ns(struct worker *w)
{
	return __atomic_exchange_n(&w->lag_ns, 0, __ATOMIC_RELAXED);
}

/* Where descriptors are short, those that are kept for later go first. */
static void spare_some(struct worker *w, uint32_t n)
{
	if (w->spare != NULL && fd_budget_is_short(w->fds))
		w->spare(w->spare_arg, n);
}

bool worker_take_fds(struct worker *w, uint32_t n)
{
	spare_some(w, n);
	return fd_budget_take(w->fds, n, FD_FOR_SESSIONS);
}

bool worker_take_fds_of(struct worker *w, struct fd_share *share, uint32_t n)
{
	if (fd_budget_is_over_share(w->fds, share, n))
		return false;
	spare_some(w, n);
	return fd_budget_take_share(w->fds, share, n);
}

void worker_give_fds_of(struct worker *w, struct fd_share *share, uint32_t n)
{
	fd_budget_give_share(w->fds, share, n);
}

void task_init(struct task *t, task_fn run)
{
	list_init(&t->link);
	t->run = run;
}

void worker_again(struct worker *w, struct task *t)
{
	if (list_empty(&t->link))
		list_push_back(&w->again, &t->link);
}

void worker_finish(struct worker *w, struct task *t)
{
	if (list_empty(&t->link))
		list_push_back(&w->ends, &t->link);
}

void worker_bury(struct worker *w, struct task *t)
{
	list_remove(&t->link);
	list_push_back(&w->graves, &t->link);
}
