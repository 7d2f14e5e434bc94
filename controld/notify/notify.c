#include "controld/notify/notify.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "controld/notify/place_hold.h"
#include "controld/notify/room.h"
#include "controld/store/changes.h"

#include <stdlib.h>
#include <time.h>

#define LOOK_MS  1000 /* for what other controlds have done */
#define COUNT_MS 5000

const struct sql_table *const notify_sql[] = { &webhook_sql, &delivery_sql, &place_hold_sql };
const size_t notify_sql_n = ARRAY_LEN(notify_sql);
const struct erasure *const notify_erasures[] = { &webhook_erasure, &delivery_erasure };
const size_t notify_erasures_n = ARRAY_LEN(notify_erasures);

void notify_poke(struct notify *n)
{
	pthread_mutex_lock(&n->lock);
	n->poked = true;
	pthread_cond_signal(&n->wake);
	pthread_mutex_unlock(&n->lock);
}

bool notify_is_stopping(void *arg)
{
	return atomic_load(&((struct notify *)arg)->stopping);
}

static void on_commit(int64_t last_seq, void *arg)
{
	(void)last_seq;
	notify_poke(arg);
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

static void sleep_until_poked(struct notify *n, uint64_t ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(ms / 1000);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&n->lock);
	while (!n->poked && !notify_is_stopping(n))
		if (pthread_cond_timedwait(&n->wake, &n->lock, &until) != 0)
			break;
	n->poked = false;
	pthread_mutex_unlock(&n->lock);
}

static int count(struct notify *n, struct err *e)
{
	int64_t waiting = 0, paused = 0;
	struct db *db;
	int rc;

	if (store_read_begin(n->conf.store, &db, e) != 0)
		return -1;
	rc = webhook_totals(db, &waiting, &paused, e);
	store_read_end(db);
	if (rc == 0)
		notify_metrics_totals(n->metrics, waiting, paused);
	return rc;
}

/* ---- a clock that was set back ------------------------------------------------------------------------------------ */

#define CORRECTION_MS 1000                        /* a clock is set back by more than this, or hardly at all */
#define MOST_MS       (24 * 3600 * INT64_C(1000)) /* nothing waits for longer on purpose */

static int work_set_back(struct db *tx, void *arg, struct err *e)
{
	const struct set_back *s = arg;
	const int queues = delivery_set_back(tx, s, e);

	if (queues < 0 || place_hold_set_back(tx, s, e) < 0)
		return -1;
	if (queues > 0 && s->by_ms > 0)
		log_warn("clock_set_back", log_i("ms", s->by_ms), log_i("webhooks", queues));
	return 0;
}

/* Each queue bears the time of its last turn: it would be silent until the clock shows that again. */
static int look_at_clock(struct notify *n, struct err *e)
{
	const int64_t now_ms = clock_wall_ms(), ahead_ms = now_ms - (int64_t)clock_mono_ms();
	struct set_back s = { now_ms, n->looked ? n->ahead_ms - ahead_ms : 0, MOST_MS };

	if ((!n->looked || s.by_ms > CORRECTION_MS) &&
		store_write(n->conf.store, STORE_OPERATIONAL, work_set_back, &s, e) != 0)
		return -1;
	n->looked = true;
	n->ahead_ms = ahead_ms;
	return 0;
}

/* What there is to do now; how long there is nothing. */
static uint64_t step(struct notify *n)
{
	struct err e = { 0 };
	int64_t next_ms = 0, wait;
	bool more = false;

	if (look_at_clock(n, &e) != 0 || log_reader_step(n, &more, &e) != 0 || courier_step(n, &next_ms, &e) != 0) {
		log_warn("webhooks_failed", log_err(&e));
		return LOOK_MS;
	}
	if (more)
		return 0;
	if (next_ms == 0)
		return LOOK_MS;
	wait = next_ms - clock_wall_ms();
	return wait <= 0 ? 1 : MIN((uint64_t)wait, LOOK_MS);
}

static void *work_thread(void *arg)
{
	struct notify *n = arg;
	uint64_t counted = 0;

	while (!notify_is_stopping(n)) {
		const uint64_t wait = step(n);
		struct err e = { 0 };

		if (counted == 0 || clock_mono_ms() - counted >= COUNT_MS) {
			if (count(n, &e) != 0)
				log_warn("webhooks_count_failed", log_err(&e));
			counted = clock_mono_ms();
		}
		if (wait > 0)
			sleep_until_poked(n, wait);
	}
	return NULL;
}

/* ---- upkeep ------------------------------------------------------------------------------------------------------ */

#define CLEAN_BATCH 500

struct cleaning {
	int64_t before_ms, now_ms;
	unsigned n;
};

static int work_clean(struct db *tx, void *arg, struct err *e)
{
	struct cleaning *c = arg;

	return place_hold_prune(tx, c->now_ms, e) != 0 ? -1 : delivery_prune(tx, c->before_ms, CLEAN_BATCH, &c->n, e);
}

int notify_clean(struct notify *n, int64_t now_ms, struct err *e)
{
	struct cleaning c = { now_ms - (int64_t)n->conf.keep_ms, now_ms, 0 };

	do {
		if (store_write(n->conf.store, STORE_OPERATIONAL, work_clean, &c, e) != 0)
			return -1;
	} while (c.n == CLEAN_BATCH);
	return 0;
}

struct route_table notify_routes(struct notify *n, size_t i)
{
	const struct route_table tables[NOTIFY_ROUTES] = { { webhook_rows, webhook_rows_n, n },
		{ webhook_admin_rows, webhook_admin_rows_n, n }, { dispatch_rows, dispatch_rows_n, n } };

	return tables[i];
}

struct metrics *notify_metrics(struct notify *n)
{
	return notify_metrics_registry(n->metrics);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

int notify_new(struct notify **out, const struct notify_conf *conf, struct err *e)
{
	struct notify *n = calloc(1, sizeof *n);
	pthread_condattr_t attr;

	if (n == NULL)
		return err_set(e, ERR_NOMEM, NULL, "webhooks: out of memory");
	n->conf = *conf;
	list_init(&n->rounds);
	pthread_mutex_init(&n->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&n->wake, &attr);
	pthread_condattr_destroy(&attr);
	if (notify_metrics_new(&n->metrics, e) != 0) {
		notify_free(n);
		return -1;
	}
	*out = n;
	return 0;
}

static int work_begin(struct db *tx, void *arg, struct err *e)
{
	const struct notify *n = arg;

	if (delivery_begin_reader(tx, e) != 0)
		return -1;
	return n->conf.shared ? 0 : delivery_release_all(tx, e);
}

int notify_start(struct notify *n, struct err *e)
{
	const struct pool_conf pool = { "webhooks", n->conf.senders, n->conf.senders };

	if (store_write(n->conf.store, STORE_OPERATIONAL, work_begin, n, e) != 0 ||
		pool_new(&n->senders, &pool, e) != 0)
		return -1;
	if (pthread_create(&n->thread, NULL, work_thread, n) != 0)
		return err_set(e, ERR_NOMEM, NULL, "webhooks: no thread");
	n->started = true;
	changes_on_commit(n->conf.store, on_commit, n);
	return 0;
}

void notify_stop(struct notify *n)
{
	if (n == NULL || atomic_exchange(&n->stopping, true))
		return;
	changes_off_commit(n->conf.store, n);
	notify_poke(n);
	if (n->started)
		pthread_join(n->thread, NULL);
	pool_free(n->senders); /* waits for what they are at */
	n->senders = NULL;
}

void notify_free(struct notify *n)
{
	if (n == NULL)
		return;
	notify_stop(n);
	notify_metrics_free(n->metrics);
	pthread_cond_destroy(&n->wake);
	pthread_mutex_destroy(&n->lock);
	free(n);
}
