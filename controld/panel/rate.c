#include "controld/panel/rate.h"

#include "common/base/err.h"

#include <pthread.h>
#include <stdlib.h>

#define ROOM      4096 /* requests that are remembered: a higher limit counts as none */
#define HELD_PART 8    /* none are left: a look after this part of a window, since we do not know where it ends */
#define FLYING_MS 20   /* all that is allowed is on its way: a look after this */

struct rate {
	pthread_mutex_t lock;
	unsigned limit; /* ours; 0: none */
	unsigned told;  /* the panel's; 0: unknown */
	uint64_t window_ms;
	uint64_t held_until_ms;
	unsigned flying;        /* sent, and not answered */
	uint64_t done_ms[ROOM]; /* a ring: when requests were answered */
	unsigned first, n;
	uint64_t requests;
};

int rate_new(struct rate **out, unsigned limit, uint64_t window_ms, struct err *e)
{
	struct rate *r = calloc(1, sizeof *r);

	if (r == NULL)
		return err_set(e, ERR_NOMEM, NULL, "panel: out of memory");
	pthread_mutex_init(&r->lock, NULL);
	rate_set(r, limit, window_ms);
	*out = r;
	return 0;
}

void rate_free(struct rate *r)
{
	if (r == NULL)
		return;
	pthread_mutex_destroy(&r->lock);
	free(r);
}

void rate_set(struct rate *r, unsigned limit, uint64_t window_ms)
{
	pthread_mutex_lock(&r->lock);
	r->limit = limit > ROOM ? 0 : limit;
	r->window_ms = window_ms + 1; /* times are cut to whole milliseconds */
	pthread_mutex_unlock(&r->lock);
}

/* ---- with the lock ------------------------------------------------------------------------------------------------ */

static unsigned limit_of(const struct rate *r)
{
	if (r->limit == 0)
		return 0; /* lifted by hand: 429 alone slows it down */
	return r->told > 0 ? MIN(r->limit, r->told) : r->limit;
}

static void forget_old(struct rate *r, uint64_t now_ms)
{
	while (r->n > 0 && r->done_ms[r->first] + r->window_ms <= now_ms) {
		r->first = (r->first + 1) % ROOM;
		r->n--;
	}
}

/* Of the oldest that must be over before another one may be sent. */
static uint64_t wait_of(const struct rate *r, unsigned limit, uint64_t now_ms)
{
	const unsigned over = r->flying + r->n - limit;

	return over < r->n ? r->done_ms[(r->first + over) % ROOM] + r->window_ms - now_ms : FLYING_MS;
}

/* ---- calls -------------------------------------------------------------------------------------------------------- */

uint64_t rate_take(struct rate *r, uint64_t now_ms)
{
	unsigned limit;
	uint64_t wait = 0;

	pthread_mutex_lock(&r->lock);
	forget_old(r, now_ms);
	limit = limit_of(r);
	if (r->held_until_ms > now_ms) {
		wait = r->held_until_ms - now_ms;
	} else if (limit > 0 && r->flying + r->n >= limit) {
		wait = wait_of(r, limit, now_ms);
	} else {
		r->flying++;
		r->requests++;
	}
	pthread_mutex_unlock(&r->lock);
	return wait;
}

void rate_done(struct rate *r, uint64_t now_ms)
{
	pthread_mutex_lock(&r->lock);
	r->flying--;
	if (r->n == ROOM) { /* only without a limit */
		r->first = (r->first + 1) % ROOM;
		r->n--;
	}
	r->done_ms[(r->first + r->n++) % ROOM] = now_ms;
	pthread_mutex_unlock(&r->lock);
}

void rate_heard(struct rate *r, uint64_t now_ms, unsigned limit, int64_t left)
{
	pthread_mutex_lock(&r->lock);
	if (limit > 0)
		r->told = limit;
	if (left == 0 && r->limit > 0)
		r->held_until_ms = MAX(r->held_until_ms, now_ms + r->window_ms / HELD_PART);
	pthread_mutex_unlock(&r->lock);
}

void rate_hold(struct rate *r, uint64_t now_ms, uint64_t ms)
{
	pthread_mutex_lock(&r->lock);
	r->held_until_ms = MAX(r->held_until_ms, now_ms + ms);
	pthread_mutex_unlock(&r->lock);
}

void rate_state(struct rate *r, uint64_t now_ms, struct rate_state *out)
{
	pthread_mutex_lock(&r->lock);
	forget_old(r, now_ms);
	out->limit = limit_of(r);
	out->used = r->flying + r->n;
	out->held_ms = r->held_until_ms > now_ms ? r->held_until_ms - now_ms : 0;
	out->requests = r->requests;
	pthread_mutex_unlock(&r->lock);
}
