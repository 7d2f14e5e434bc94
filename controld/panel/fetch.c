#include "controld/panel/fetch.h"

#include "common/base/clock.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

struct fetch {
	struct panel_call call;
	unsigned wanted; /* threads */
	pthread_t threads[FETCH_THREADS_MAX];
	unsigned started;
	atomic_bool stopping;
	pthread_mutex_t lock;
	pthread_cond_t todo, done;
	struct list queued, ready;
	size_t pending, n_ready;
};

static bool is_stopping(void *arg)
{
	return atomic_load(&((struct fetch *)arg)->stopping);
}

/* ---- the threads -------------------------------------------------------------------------------------------------- */

/* With the lock. NULL: the end. */
static struct fetch_page *next(struct fetch *f)
{
	while (!is_stopping(f) && (list_first(&f->queued) == NULL || f->n_ready >= f->wanted))
		pthread_cond_wait(&f->todo, &f->lock);
	if (is_stopping(f))
		return NULL;
	struct fetch_page *p = CONTAINER_OF(list_first(&f->queued), struct fetch_page, link);

	list_remove(&p->link);
	return p;
}

static void *work_fetch(void *arg)
{
	struct fetch *f = arg;
	struct fetch_page *p;

	prctl(PR_SET_NAME, "panel");
	pthread_mutex_lock(&f->lock);
	while ((p = next(f)) != NULL) {
		pthread_mutex_unlock(&f->lock);
		p->outcome = panel_call_get(&f->call, p->list, p->parent_id, p->number, &p->page, &p->err);
		pthread_mutex_lock(&f->lock);
		list_push_back(&f->ready, &p->link);
		f->n_ready++;
		pthread_cond_signal(&f->done);
	}
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

/* ---- the sync's side ----------------------------------------------------------------------------------------------- */

static int start_threads(struct fetch *f, struct err *e)
{
	sigset_t all, before;
	int rc = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (rc == 0 && f->started < f->wanted)
		if ((rc = pthread_create(&f->threads[f->started], NULL, work_fetch, f)) == 0)
			f->started++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc != 0 ? err_set_sys(e, ERR_NOMEM, rc, "panel: thread") : 0;
}

int fetch_open(struct fetch **out, const struct panel_call *call, unsigned threads, struct err *e)
{
	struct fetch *f = calloc(1, sizeof *f);
	pthread_condattr_t attr;

	if (f == NULL)
		return err_set(e, ERR_NOMEM, NULL, "panel: out of memory");
	f->call = *call;
	f->call.stop = is_stopping;
	f->call.arg = f;
	f->wanted = MIN(MAX(threads, 1u), FETCH_THREADS_MAX);
	list_init(&f->queued);
	list_init(&f->ready);
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->todo, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&f->done, &attr);
	pthread_condattr_destroy(&attr);
	if (start_threads(f, e) != 0) {
		fetch_close(f);
		return -1;
	}
	*out = f;
	return 0;
}

void fetch_page_free(struct fetch_page *p)
{
	if (p == NULL)
		return;
	panel_page_fini(&p->page);
	free(p);
}

static void free_all(struct list *l)
{
	struct list *it;

	while ((it = list_first(l)) != NULL) {
		list_remove(it);
		fetch_page_free(CONTAINER_OF(it, struct fetch_page, link));
	}
}

void fetch_close(struct fetch *f)
{
	if (f == NULL)
		return;
	pthread_mutex_lock(&f->lock);
	atomic_store(&f->stopping, true);
	pthread_cond_broadcast(&f->todo);
	pthread_mutex_unlock(&f->lock);
	for (unsigned i = 0; i < f->started; i++)
		pthread_join(f->threads[i], NULL);
	free_all(&f->queued);
	free_all(&f->ready);
	pthread_cond_destroy(&f->todo);
	pthread_cond_destroy(&f->done);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

int fetch_put(struct fetch *f, const struct panel_list *l, int64_t parent_id, int64_t number, struct err *e)
{
	struct fetch_page *p = calloc(1, sizeof *p);

	if (p == NULL)
		return err_set(e, ERR_NOMEM, NULL, "panel: out of memory");
	p->list = l;
	p->parent_id = parent_id;
	p->number = number;
	pthread_mutex_lock(&f->lock);
	list_push_back(&f->queued, &p->link);
	f->pending++;
	pthread_cond_signal(&f->todo);
	pthread_mutex_unlock(&f->lock);
	return 0;
}

struct fetch_page *fetch_get(struct fetch *f, uint64_t wait_ms)
{
	const uint64_t until_ms = clock_mono_ms() + wait_ms;
	const struct timespec until = { .tv_sec = (time_t)(until_ms / 1000),
		.tv_nsec = (long)(until_ms % 1000 * 1000000) };
	struct fetch_page *p = NULL;
	struct list *it;

	pthread_mutex_lock(&f->lock);
	while ((it = list_first(&f->ready)) == NULL && clock_mono_ms() < until_ms)
		(void)pthread_cond_timedwait(&f->done, &f->lock, &until);
	if (it != NULL) {
		p = CONTAINER_OF(it, struct fetch_page, link);
		list_remove(it);
		f->n_ready--;
		f->pending--;
		pthread_cond_signal(&f->todo);
	}
	pthread_mutex_unlock(&f->lock);
	return p;
}

size_t fetch_pending(struct fetch *f)
{
	size_t n;

	pthread_mutex_lock(&f->lock);
	n = f->pending;
	pthread_mutex_unlock(&f->lock);
	return n;
}
