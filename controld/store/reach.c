#include "controld/store/reach.h"

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/rand.h"

void reach_init(struct reach *r)
{
	*r = (struct reach){ .epoch = 1 };
	pthread_mutex_init(&r->lock, NULL);
}

void reach_fini(struct reach *r)
{
	pthread_mutex_destroy(&r->lock);
}

int reach_ask(struct reach *r, uint64_t now_ms, struct err *e)
{
	int rc = 0;

	pthread_mutex_lock(&r->lock);
	if (r->down && (r->trying || now_ms < r->next_ms))
		rc = err_set(e, ERR_UNAVAILABLE, NULL, "database: not reachable; controld goes on trying");
	else
		r->trying = r->down;
	pthread_mutex_unlock(&r->lock);
	return rc;
}

/* With the lock. The pause differs a little from one program to the next, so that they do not come all at once. */
static void reach_fall(struct reach *r, const char *why, uint64_t now_ms)
{
	if (!r->down && r->known)
		log_error("database_unreachable", log_s("reason", why));
	r->pause_ms = r->down ? MIN(2 * r->pause_ms, REACH_LAST_MS) : REACH_FIRST_MS;
	r->next_ms = now_ms + r->pause_ms - rand_below(r->pause_ms / 4);
	r->down = true;
}

unsigned reach_tell(struct reach *r, const char *why, uint64_t now_ms)
{
	unsigned epoch;

	pthread_mutex_lock(&r->lock);
	r->trying = false;
	if (why != NULL) {
		reach_fall(r, why, now_ms);
	} else {
		if (r->down)
			log_info("database_reachable");
		r->down = false;
		r->known = true;
	}
	epoch = r->epoch;
	pthread_mutex_unlock(&r->lock);
	return epoch;
}

void reach_silent(struct reach *r, unsigned epoch, uint64_t now_ms)
{
	pthread_mutex_lock(&r->lock);
	if (epoch == r->epoch) {
		r->epoch++;
		reach_fall(r, "it does not answer", now_ms);
	}
	pthread_mutex_unlock(&r->lock);
}

unsigned reach_epoch(struct reach *r)
{
	unsigned epoch;

	pthread_mutex_lock(&r->lock);
	epoch = r->epoch;
	pthread_mutex_unlock(&r->lock);
	return epoch;
}
