#include "common/nng/nng_close.h"

#include "common/base/clock.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

/* nng_close() on a thread of its own, so that somebody can stop waiting for it. Whoever comes last gives it back. */
struct closing {
	nng_socket socket;
	pthread_mutex_t lock;
	pthread_cond_t over;
	bool done;
	bool left; /* nobody waits any more */
};

static void closing_free(struct closing *c)
{
	pthread_cond_destroy(&c->over);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static void *work_close(void *arg)
{
	struct closing *c = arg;
	bool left;

	nng_close(c->socket);
	pthread_mutex_lock(&c->lock);
	c->done = true;
	left = c->left;
	pthread_cond_signal(&c->over);
	pthread_mutex_unlock(&c->lock);
	if (left)
		closing_free(c);
	return NULL;
}

/* False: from now on it is the thread's. */
static bool wait_closed(struct closing *c, uint64_t end_ms)
{
	const struct timespec until = { .tv_sec = (time_t)(end_ms / 1000), .tv_nsec = (long)(end_ms % 1000) * 1000000 };
	bool done;
	int rc = 0;

	pthread_mutex_lock(&c->lock);
	while (!c->done && rc == 0)
		rc = pthread_cond_timedwait(&c->over, &c->lock, &until);
	done = c->done;
	c->left = !done;
	pthread_mutex_unlock(&c->lock);
	return done;
}

int nng_close_within(nng_socket socket, uint64_t ms)
{
	struct closing *c = calloc(1, sizeof *c);
	pthread_condattr_t attr;
	pthread_t thread;

	if (c == NULL)
		return -1;
	c->socket = socket;
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->over, &attr);
	pthread_condattr_destroy(&attr);
	if (pthread_create(&thread, NULL, work_close, c) != 0) {
		closing_free(c);
		return -1;
	}
	if (!wait_closed(c, clock_mono_ms() + ms)) {
		pthread_detach(thread);
		return -1;
	}
	pthread_join(thread, NULL);
	closing_free(c);
	return 0;
}
