#include "controld/events/hub.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/metrics/metrics.h"
#include "controld/events/batch.h"
#include "controld/events/subscriber.h"
#include "controld/loop/loop.h"
#include "controld/loop/pool.h"
#include "controld/rest/stream.h"
#include "controld/rest/stream_shares.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define HUB_TICK_MS 1000
#define HUB_THREADS 2
#define HUB_QUEUE   100000 /* every subscriber has one job at most */

enum { METRIC_STREAMS, METRIC_OPENED, METRIC_REFUSED, METRIC_OF_COUNTS, METRICS_N = METRIC_OF_COUNTS + COUNTS };
static const struct metric_def metric_defs[] = {
	[METRIC_STREAMS] = { "events_streams", METRIC_GAUGE, "Streams of events that are open.", NULL, 0 },
	[METRIC_OPENED] = { "events_streams_opened_total", METRIC_COUNTER, "Streams of events begun.", NULL, 0 },
	[METRIC_REFUSED] = { "events_streams_refused_total", METRIC_COUNTER, "Streams refused: too many.", NULL, 0 },
	[METRIC_OF_COUNTS +
		COUNT_SENT] = { "events_sent_total", METRIC_COUNTER, "Events written to subscribers.", NULL, 0 },
	[METRIC_OF_COUNTS + COUNT_DROPPED] = { "events_streams_dropped_total", METRIC_COUNTER,
		"Subscribers who did not take what was sent.", NULL, 0 },
	[METRIC_OF_COUNTS + COUNT_CLOSED] = { "events_streams_closed_total", METRIC_COUNTER,
		"Subscribers whose rights had changed or ended.", NULL, 0 },
	[METRIC_OF_COUNTS + COUNT_GAPS] = { "events_log_gaps_total", METRIC_COUNTER,
		"Subscribers told that they had missed something.", NULL, 0 },
};

struct hub {
	struct subscriber_room room; /* first: subscribers know the hub by it */
	struct metrics *metrics;
	struct loop_timer *tick;

	pthread_mutex_t lock; /* of the shares */
	struct stream_shares shares;

	struct loop_task news; /* posted by the first commit since it last ran */
	atomic_bool told;
	bool reading, again; /* the job runs; and there is more */
	struct pool_job job;
	struct loop_task done;
	struct batch batch;
	int rc;
	struct err err;
};

static struct hub *hub_of(struct subscriber_room *r)
{
	return CONTAINER_OF(r, struct hub, room);
}

static struct metric *metric(struct hub *h, size_t i)
{
	return metrics_get(h->metrics, i, NULL);
}

/* ---- how many ------------------------------------------------------------------------------------------------------- */

static void on_count(struct subscriber_room *r, enum subscriber_count what, uint64_t n)
{
	metric_add(metric(hub_of(r), METRIC_OF_COUNTS + what), n);
}

static int admit_locked(struct hub *h, const char *key, struct err *e)
{
	const struct hub_conf *conf = &h->room.conf;

	switch (stream_shares_take(&h->shares, key, conf->streams_max, conf->streams_per_user_max)) {
	case STREAM_SHARE_TAKEN:
		return 0;
	case STREAM_SHARE_ALL_FULL:
		return err_set(e, ERR_OVERLOADED, NULL, "there are %u streams of events already (events.streams_max)",
			h->shares.n);
	case STREAM_SHARE_OWN_FULL:
		return err_set(e, ERR_RATE_LIMITED, NULL,
			"you have %u streams of events already (events.streams_per_user_max); end one first",
			conf->streams_per_user_max);
	default:
		return err_set(e, ERR_NOMEM, NULL, "events: out of memory");
	}
}

static int admit(struct hub *h, const char *key, struct err *e)
{
	int rc;

	pthread_mutex_lock(&h->lock);
	rc = admit_locked(h, key, e);
	pthread_mutex_unlock(&h->lock);
	metric_add(metric(h, rc == 0 ? METRIC_OPENED : METRIC_REFUSED), 1);
	return rc;
}

static void on_left(struct subscriber_room *r, const char *key)
{
	struct hub *h = hub_of(r);

	pthread_mutex_lock(&h->lock);
	stream_shares_give_back(&h->shares, key);
	pthread_mutex_unlock(&h->lock);
}

int hub_subscribe(struct hub *h, const struct hub_start *start, struct reply *rp, struct err *e)
{
	struct subscriber *s;
	char key[STREAM_SHARES_KEY_SIZE];

	stream_shares_key(key, &start->filter.who);
	if (admit(h, key, e) != 0)
		return -1;
	if (subscriber_new(&s, &h->room, start, e) != 0) {
		on_left(&h->room, key);
		return -1;
	}
	reply_stream(rp, "text/event-stream; charset=utf-8", &subscriber_ops, s);
	return 0;
}

/* ---- the reader ------------------------------------------------------------------------------------------------------ */

static void work_read(struct pool_job *job)
{
	struct hub *h = CONTAINER_OF(job, struct hub, job);

	err_clear(&h->err);
	h->rc = batch_read(&h->batch, h->room.conf.store, &h->err);
	loop_post(h->room.conf.loop, &h->done);
}

/* Nobody listens: nothing is read, and the next who comes says where to begin. */
static void read_on(struct hub *h)
{
	if (h->reading) {
		h->again = true;
		return;
	}
	h->again = false;
	if (list_empty(&h->room.all) || h->room.pool == NULL)
		return;
	h->batch.from = h->room.end;
	list_init(&h->job.node);
	h->reading = pool_submit(h->room.pool, &h->job) == 0; /* otherwise the next tick tries again */
}

static void on_read(void *arg)
{
	struct hub *h = arg;

	h->reading = false;
	if (h->rc != 0) {
		log_warn("events_read_failed", log_err(&h->err)); /* again at the next tick */
		return;
	}
	if (h->batch.from == h->room.end) { /* else all left meanwhile, and others came */
		h->room.end = h->batch.to;
		LIST_FOREACH_SAFE (it, &h->room.all)
			subscriber_hear(subscriber_of(it), &h->batch);
	}
	if (!h->batch.at_end || h->again)
		read_on(h);
	if (!h->reading)
		batch_fini(&h->batch);
}

static void on_news(void *arg)
{
	struct hub *h = arg;

	atomic_store(&h->told, false);
	read_on(h);
}

/* Any thread. */
static void on_commit(int64_t last_seq, void *arg)
{
	struct hub *h = arg;

	(void)last_seq;
	if (!atomic_exchange(&h->told, true))
		loop_post(h->room.conf.loop, &h->news);
}

static void on_joined(struct subscriber_room *r)
{
	read_on(hub_of(r));
}

/* A wake-up that was lost costs a second. */
static void on_tick(void *arg)
{
	struct hub *h = arg;
	const uint64_t now_ms = clock_mono_ms();

	LIST_FOREACH_SAFE (it, &h->room.all)
		subscriber_tick(subscriber_of(it), now_ms);
	if (!h->reading)
		read_on(h);
}

/* ---- life ------------------------------------------------------------------------------------------------------------- */

static void on_collect(void *arg)
{
	struct hub *h = arg;

	pthread_mutex_lock(&h->lock);
	metric_set(metric(h, METRIC_STREAMS), h->shares.n);
	pthread_mutex_unlock(&h->lock);
}

int hub_new(struct hub **out, const struct hub_conf *conf, struct err *e)
{
	const struct pool_conf pool = { .name = "events", .threads = HUB_THREADS, .queue_max = HUB_QUEUE };
	struct hub *h = calloc(1, sizeof *h);

	if (h == NULL)
		return err_set(e, ERR_NOMEM, NULL, "events: out of memory");
	h->room = (struct subscriber_room){ .conf = *conf, .joined = on_joined, .left = on_left, .count = on_count };
	list_init(&h->room.all);
	pthread_mutex_init(&h->lock, NULL);
	stream_shares_init(&h->shares);
	h->news = (struct loop_task){ .fn = on_news, .arg = h };
	h->done = (struct loop_task){ .fn = on_read, .arg = h };
	h->job.work = work_read;
	if (metrics_new(&h->metrics, metric_defs, METRICS_N) != 0) {
		err_set(e, ERR_NOMEM, NULL, "events: out of memory");
		goto fail;
	}
	metrics_on_collect(h->metrics, on_collect, h);
	if (pool_new(&h->room.pool, &pool, e) != 0 || loop_timer_new(&h->tick, conf->loop, on_tick, h, e) != 0)
		goto fail;
	loop_timer_every(h->tick, HUB_TICK_MS);
	changes_on_commit(conf->store, on_commit, h);
	*out = h;
	return 0;
fail:
	hub_free(h);
	return -1;
}

/* The loop does not run any more, or this is it. */
void hub_free(struct hub *h)
{
	if (h == NULL)
		return;
	changes_off_commit(h->room.conf.store, h);
	loop_timer_free(h->tick);
	pool_free(h->room.pool);
	h->room.pool = NULL;           /* no more jobs */
	loop_flush(h->room.conf.loop); /* what jobs and commits have posted */
	LIST_FOREACH_SAFE (it, &h->room.all)
		subscriber_abandon(subscriber_of(it));
	batch_fini(&h->batch);
	metrics_free(h->metrics);
	stream_shares_fini(&h->shares);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

struct metrics *hub_metrics(struct hub *h)
{
	return h->metrics;
}

struct store *hub_store(struct hub *h)
{
	return h->room.conf.store;
}
