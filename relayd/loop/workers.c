#include "relayd/loop/workers.h"

#include "common/base/err.h"
#include "common/base/log.h"

#include <signal.h>
#include <stdlib.h>

/* One call is under way at a time; lock guards it. */
struct call {
	worker_fn fn;
	void *arg;
	unsigned running;
};

struct workers {
	unsigned n, n_ready, n_started;
	uv_mutex_t lock;
	uv_cond_t done;
	struct call call;
	uv_thread_t *threads;
	struct worker *all;
};

static void on_worker_wake(struct worker *w, void *arg)
{
	struct workers *ws = arg;
	struct call call;

	uv_mutex_lock(&ws->lock);
	call = ws->call;
	uv_mutex_unlock(&ws->lock);
	call.fn(w, call.arg);
	uv_mutex_lock(&ws->lock);
	if (--ws->call.running == 0)
		uv_cond_signal(&ws->done);
	uv_mutex_unlock(&ws->lock);
}

int workers_new(struct workers **out, unsigned n, struct fd_budget *fds, struct err *e)
{
	struct workers *ws = calloc(1, sizeof *ws);

	if (ws == NULL)
		return err_set(e, ERR_NOMEM, NULL, "workers: out of memory");
	uv_mutex_init(&ws->lock);
	uv_cond_init(&ws->done);
	ws->n = n;
	ws->threads = calloc(n, sizeof *ws->threads);
	ws->all = calloc(n, sizeof *ws->all);
	if (ws->threads == NULL || ws->all == NULL) {
		err_set(e, ERR_NOMEM, NULL, "workers: out of memory for %u", n);
		goto fail;
	}
	for (; ws->n_ready < n; ws->n_ready++)
		if (worker_init(&ws->all[ws->n_ready], ws->n_ready, fds, on_worker_wake, ws, e) != 0)
			goto fail;
	*out = ws;
	return 0;
fail:
	workers_free(ws);
	return -1;
}

/* Signals are the control thread's business; a splice into a closed socket must not raise one here. */
static void work_run(void *arg)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP };
	sigset_t all;

	sigfillset(&all);
	for (size_t i = 0; i < ARRAY_LEN(faults); i++)
		sigdelset(&all, faults[i]);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	worker_run(arg);
}

void workers_set_busy_poll(struct workers *ws, uint64_t ns)
{
	for (unsigned i = 0; i < ws->n; i++)
		ws->all[i].busy_ns = ns;
}

int workers_start(struct workers *ws, struct err *e)
{
	for (; ws->n_started < ws->n; ws->n_started++) {
		int rc = uv_thread_create(&ws->threads[ws->n_started], work_run, &ws->all[ws->n_started]);

		if (rc != 0) {
			workers_stop(ws);
			return err_set_sys(e, ERR_OVERLOADED, -rc, "workers: cannot start thread %u of %u",
				ws->n_started + 1, ws->n);
		}
	}
	return 0;
}

static void call_some(struct workers *ws, unsigned first, unsigned n, worker_fn fn, void *arg)
{
	if (ws->n_started == 0) {
		for (unsigned i = first; i < first + n; i++)
			fn(&ws->all[i], arg);
		return;
	}
	uv_mutex_lock(&ws->lock);
	ws->call = (struct call){ .fn = fn, .arg = arg, .running = n };
	for (unsigned i = first; i < first + n; i++)
		worker_wake(&ws->all[i]);
	while (ws->call.running > 0)
		uv_cond_wait(&ws->done, &ws->lock);
	uv_mutex_unlock(&ws->lock);
}

void workers_call(struct workers *ws, worker_fn fn, void *arg)
{
	call_some(ws, 0, ws->n_started > 0 ? ws->n_started : ws->n, fn, arg);
}

void workers_call_each(struct workers *ws, worker_fn fn, void *arg)
{
	for (unsigned i = 0; i < ws->n; i++)
		call_some(ws, i, 1, fn, arg);
}

static void work_stop(struct worker *w, void *arg)
{
	(void)arg;
	worker_stop(w);
}

void workers_stop(struct workers *ws)
{
	if (ws->n_started == 0)
		return;
	workers_call(ws, work_stop, NULL);
	while (ws->n_started > 0)
		uv_thread_join(&ws->threads[--ws->n_started]);
}

void workers_free(struct workers *ws)
{
	if (ws == NULL)
		return;
	workers_stop(ws);
	while (ws->n_ready > 0)
		worker_fini(&ws->all[--ws->n_ready]);
	uv_cond_destroy(&ws->done);
	uv_mutex_destroy(&ws->lock);
	free(ws->threads);
	free(ws->all);
	free(ws);
}

unsigned workers_count(const struct workers *ws)
{
	return ws->n;
}

struct worker *workers_at(struct workers *ws, unsigned index)
{
	return &ws->all[index];
}

uint64_t workers_take_lag_ns(struct workers *ws)
{
	uint64_t worst = 0;

	for (unsigned i = 0; i < ws->n; i++)
		worst = MAX(worst, worker_take_lag_ns(&ws->all[i]));
	return worst;
}

struct worker_looks workers_looks(struct workers *ws)
{
	struct worker_looks sum = { .found = 0 };

	for (unsigned i = 0; i < ws->n; i++) {
		sum.found += __atomic_load_n(&ws->all[i].found, __ATOMIC_RELAXED);
		sum.vain += __atomic_load_n(&ws->all[i].vain, __ATOMIC_RELAXED);
	}
	return sum;
}
