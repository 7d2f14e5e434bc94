#include "controld/loop/pool.h"

#include "common/base/err.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>

struct pool {
	struct pool_conf conf;
	pthread_mutex_t lock;
	pthread_cond_t work_there;
	struct list queue;
	size_t queued;
	unsigned idle; /* threads that wait */
	bool waking;   /* one of them was signalled and has not come yet: the next is his to wake */
	bool stopping;
	uint64_t done, refused;
	pthread_t *threads;
	unsigned n_threads; /* started */
};

/* With the lock held. */
static void pool_wake_one(struct pool *p)
{
	if (p->queued == 0 || p->idle == 0 || p->waking)
		return;
	p->waking = true;
	pthread_cond_signal(&p->work_there);
}

static struct pool_job *pool_take(struct pool *p)
{
	struct pool_job *job = CONTAINER_OF(list_first(&p->queue), struct pool_job, node);

	list_remove(&job->node);
	p->queued--;
	return job;
}

static void pool_wait(struct pool *p)
{
	p->idle++;
	pthread_cond_wait(&p->work_there, &p->lock);
	p->idle--;
	p->waking = false;
}

static void *work_pool(void *arg)
{
	struct pool *p = arg;

	prctl(PR_SET_NAME, p->conf.name);
	pthread_mutex_lock(&p->lock);
	while (!p->stopping || p->queued > 0) {
		struct pool_job *job;

		if (p->queued == 0) {
			pool_wait(p);
			continue;
		}
		job = pool_take(p);
		pool_wake_one(p);
		pthread_mutex_unlock(&p->lock);
		job->work(job);
		pthread_mutex_lock(&p->lock);
		p->done++;
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* Signals are the loop thread's business. */
static int pool_start_thread(struct pool *p)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&p->threads[p->n_threads], NULL, work_pool, p);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0)
		return rc;
	p->n_threads++;
	return 0;
}

int pool_new(struct pool **out, const struct pool_conf *conf, struct err *e)
{
	struct pool *p = calloc(1, sizeof *p);

	if (p == NULL)
		return err_set(e, ERR_NOMEM, NULL, "pool %s: out of memory", conf->name);
	p->conf = *conf;
	list_init(&p->queue);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work_there, NULL);
	p->threads = calloc(MAX(conf->threads, 1u), sizeof p->threads[0]);
	if (p->threads == NULL) {
		err_set(e, ERR_NOMEM, NULL, "pool %s: out of memory", conf->name);
		goto fail;
	}
	while (p->n_threads < MAX(conf->threads, 1u)) {
		const int rc = pool_start_thread(p);

		if (rc != 0) {
			err_set_sys(e, ERR_NOMEM, rc, "pool %s: start thread %u", conf->name, p->n_threads + 1);
			goto fail;
		}
	}
	*out = p;
	return 0;
fail:
	pool_free(p);
	return -1;
}

void pool_free(struct pool *p)
{
	if (p == NULL)
		return;
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->work_there);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->n_threads; i++)
		pthread_join(p->threads[i], NULL);
	pthread_cond_destroy(&p->work_there);
	pthread_mutex_destroy(&p->lock);
	free(p->threads);
	free(p);
}

/* With the lock held. */
static void pool_enqueue(struct pool *p, struct pool_job *job)
{
	list_push_back(&p->queue, &job->node);
	p->queued++;
}

static int pool_admit(struct pool *p, struct pool_job *job, bool wake)
{
	int rc = 0;

	pthread_mutex_lock(&p->lock);
	if (p->stopping) {
		rc = -1;
	} else if (p->queued >= p->conf.queue_max) {
		p->refused++;
		rc = -1;
	} else {
		pool_enqueue(p, job);
		if (wake)
			pool_wake_one(p);
	}
	pthread_mutex_unlock(&p->lock);
	return rc;
}

int pool_submit(struct pool *p, struct pool_job *job)
{
	return pool_admit(p, job, true);
}

int pool_submit_quietly(struct pool *p, struct pool_job *job)
{
	return pool_admit(p, job, false);
}

void pool_wake(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	pool_wake_one(p);
	pthread_mutex_unlock(&p->lock);
}

void pool_resume(struct pool *p, struct pool_job *job)
{
	bool late;

	pthread_mutex_lock(&p->lock);
	late = p->stopping;
	if (!late) {
		pool_enqueue(p, job);
		pool_wake_one(p);
	}
	pthread_mutex_unlock(&p->lock);
	if (late)
		job->work(job);
}

void pool_stats(struct pool *p, struct pool_stats *out)
{
	pthread_mutex_lock(&p->lock);
	*out = (struct pool_stats){
		.queued = p->queued,
		.busy = p->n_threads - p->idle,
		.done = p->done,
		.refused = p->refused,
	};
	pthread_mutex_unlock(&p->lock);
}
