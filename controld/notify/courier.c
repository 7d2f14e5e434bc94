/* Hands queues that are due to senders, and what a sender does. */
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/notify/place_hold.h"
#include "controld/notify/room.h"
#include "controld/store/changes.h"

#include <stdlib.h>

#define SENT_AT_ONCE 50    /* then others have a turn */
#define ROUND_MS     2000  /* so have they after this: an endpoint may be slow and well */
#define SATED_MAX    16384 /* ids of tenants, one for each of 256 senders */
#define HOLD_MS      5000  /* besides the time of a call: to write what came of it */

/* A queue that a sender is at. */
struct round {
	struct pool_job job;
	struct list link; /* in the notify's rounds */
	struct notify *notify;
	struct delivery_hold hold;
	struct webhook webhook;
	struct delivery delivery;
	struct attempt attempt;
	struct delivery_result result;
	char why[64]; /* the webhook is to be paused; "" */
	char place[PLACE_SIZE];
	int64_t held_until_ms; /* the place is not to be called before; 0: it may be */
	bool ours;             /* the queue still is */
};

static int64_t hold_until(const struct notify *n)
{
	return clock_wall_ms() + (int64_t)n->conf.timeout_ms + HOLD_MS;
}

/* ---- what came of it --------------------------------------------------------------------------------------------- */

static int work_note(struct db *tx, void *arg, struct err *e)
{
	struct round *r = arg;
	const int rc = delivery_note(tx, &r->result, e);

	r->ours = rc > 0;
	if (rc >= 0 && r->attempt.everywhere)
		return place_hold(tx, r->place, r->result.now_ms + r->attempt.pause_ms, e);
	return MIN(rc, 0);
}

/* A logged change: it happens once until somebody enables the webhook again. */
static int work_pause(struct db *tx, void *arg, struct err *e)
{
	struct round *r = arg;
	struct change c = { .time_ms = r->result.now_ms, .actor = "system", .op = "pause", .fields = "paused_reason" };
	struct webhook w;
	int rc;

	if (work_note(tx, arg, e) != 0)
		return -1;
	if (!r->ours || (rc = webhook_pause(tx, r->webhook.id, r->why, r->result.now_ms, e)) == 0)
		return 0;
	if (rc < 0 || webhook_get(tx, "", r->webhook.id, &w, e) != 0)
		return -1;
	return webhook_log(tx, &w, &c, NULL, e);
}

static void plan(struct round *r)
{
	const struct notify *n = r->notify;
	const struct attempt *a = &r->attempt;
	const int64_t failures = r->webhook.failures + 1, now = clock_wall_ms();
	const uint64_t wait = attempt_backoff_ms(failures, n->conf.retry_ms, n->conf.retry_max_ms);

	r->why[0] = '\0';
	r->result = (struct delivery_result){ .hold = &r->hold,
		.id = r->delivery.id,
		.state = "pending",
		.status = a->status,
		.latency_ms = a->latency_ms,
		.now_ms = now,
		.due_ms = now + MAX((int64_t)wait, a->pause_ms),
		.until_ms = hold_until(n),
		.error = a->error };
	if (a->verdict == VERDICT_DELIVERED || a->verdict == VERDICT_REFUSED) {
		r->result.state = a->verdict == VERDICT_DELIVERED ? "delivered" : "refused";
		r->result.due_ms = a->pause_ms > 0 ? now + a->pause_ms : 0;
	} else if (a->verdict == VERDICT_DEAD) {
		(void)str_fmt(r->why, sizeof r->why, "the endpoint answered %d", a->status);
	} else if (failures >= (int64_t)n->conf.attempts) {
		(void)str_fmt(r->why, sizeof r->why, "%lld attempts in a row failed", (long long)failures);
	}
}

/* True to go on with the next one. */
static bool note(struct round *r, struct err *e)
{
	const bool pause = r->why[0] != '\0';

	if (store_write(r->notify->conf.store, pause ? STORE_LOGGED : STORE_OPERATIONAL, pause ? work_pause : work_note,
		    r, e) != 0 ||
		!r->ours)
		return false;
	if (pause)
		log_warn("webhook_paused", log_s("webhook", r->webhook.id), log_s("tenant", r->webhook.tenant_id),
			log_s("why", r->why));
	return !str_eq(r->result.state, "pending") && r->result.due_ms == 0;
}

/* ---- whose turn it may be ---------------------------------------------------------------------------------------- */

/*
 * A sender that is at a slow endpoint cannot be called back, so some must be free before others want one: a tenant is given
 * another one while it has fewer than are free. One alone has half of them, the next one half of what is left, and so on;
 * the platform's webhooks are those of one more.
 */
static void join(struct round *r)
{
	struct notify *n = r->notify;

	pthread_mutex_lock(&n->lock);
	list_push_back(&n->rounds, &r->link);
	atomic_fetch_add(&n->busy, 1);
	pthread_mutex_unlock(&n->lock);
}

static void leave(struct round *r)
{
	struct notify *n = r->notify;

	pthread_mutex_lock(&n->lock);
	list_remove(&r->link);
	atomic_fetch_sub(&n->busy, 1);
	pthread_mutex_unlock(&n->lock);
	buf_free(&r->delivery.body);
	free(r);
}

/* With the lock: how many senders are at this tenant's queues. */
static unsigned held_by(const struct notify *n, const char *tenant_id)
{
	unsigned held = 0;

	LIST_FOREACH (it, &n->rounds)
		held += str_eq(CONTAINER_OF(it, struct round, link)->hold.tenant_id, tenant_id);
	return held;
}

/* ",those,these,": who has his share, some of them twice and more. */
static void put_sated(struct notify *n, struct buf *out)
{
	unsigned spare;

	buf_put(out, ",", 1);
	pthread_mutex_lock(&n->lock);
	spare = n->conf.senders - MIN(n->conf.senders, atomic_load(&n->busy));
	LIST_FOREACH (it, &n->rounds) {
		const char *tenant_id = CONTAINER_OF(it, struct round, link)->hold.tenant_id;

		if (held_by(n, tenant_id) >= spare)
			buf_printf(out, "%s,", tenant_id);
	}
	pthread_mutex_unlock(&n->lock);
}

/* ---- a sender ---------------------------------------------------------------------------------------------------- */

static int read_next(struct round *r, struct err *e)
{
	struct db *db;
	int rc;

	if (store_read_begin(r->notify->conf.store, &db, e) != 0)
		return -1;
	r->held_until_ms = 0;
	rc = webhook_get(db, "", r->hold.webhook_id, &r->webhook, e);
	if (rc == 0) {
		place_of(r->place, &r->webhook);
		rc = place_held(db, r->place, clock_wall_ms(), &r->held_until_ms, e);
	}
	if (rc == 0 && r->held_until_ms == 0)
		rc = delivery_head(db, r->hold.webhook_id, &r->delivery, e);
	store_read_end(db);
	return rc > 0 && (!r->webhook.enabled || r->webhook.paused[0] != '\0') ? 0 : rc;
}

/* True when it went well and there may be another one. */
static bool send_next(struct round *r, struct err *e)
{
	struct notify *n = r->notify;
	const struct attempt_conf conf = { n->conf.outbound, n->conf.timeout_ms, notify_is_stopping, n };

	if (read_next(r, e) <= 0)
		return false;
	attempt_make(&r->attempt, &conf, &r->webhook, &r->delivery);
	if (r->attempt.verdict == VERDICT_STOPPED)
		return false;
	notify_metrics_tried(n->metrics, &r->attempt);
	if (r->attempt.everywhere)
		log_warn("webhook_place_held", log_s("place", r->place), log_i("ms", r->attempt.pause_ms));
	plan(r);
	return note(r, e);
}

static int work_release(struct db *tx, void *arg, struct err *e)
{
	const struct round *r = arg;

	return delivery_release(tx, &r->hold, MAX(clock_wall_ms(), r->held_until_ms), e);
}

static void work_round(struct pool_job *job)
{
	struct round *r = CONTAINER_OF(job, struct round, job);
	struct notify *n = r->notify;
	const uint64_t until_ms = clock_mono_ms() + ROUND_MS;
	struct err e = { 0 };

	for (int i = 0; i < SENT_AT_ONCE && clock_mono_ms() < until_ms && !notify_is_stopping(n) && send_next(r, &e);
		i++)
		;
	if (e.code != 0 && e.code != ERR_NOT_FOUND)
		log_warn("webhook_round_failed", log_s("webhook", r->hold.webhook_id), log_err(&e));
	if (store_write(n->conf.store, STORE_OPERATIONAL, work_release, r, &e) != 0)
		log_warn("webhook_release_failed", log_s("webhook", r->hold.webhook_id), log_err(&e));
	leave(r);
	notify_poke(n);
}

/* ---- who is next ------------------------------------------------------------------------------------------------- */

struct taking {
	struct notify *notify;
	const char *not_of;
	struct delivery_hold hold;
	bool taken;
};

static int work_take(struct db *tx, void *arg, struct err *e)
{
	struct taking *t = arg;
	const struct delivery_turn turn = { clock_wall_ms(), hold_until(t->notify), t->not_of };
	const int rc = delivery_take(tx, &turn, &t->hold, e);

	t->taken = rc > 0;
	return MIN(rc, 0);
}

static int hand_over(struct notify *n, const struct delivery_hold *hold, struct err *e)
{
	struct round *r = calloc(1, sizeof *r);

	if (r == NULL)
		return err_set(e, ERR_NOMEM, NULL, "webhooks: out of memory");
	r->job.work = work_round;
	r->notify = n;
	r->hold = *hold;
	list_init(&r->link);
	buf_init(&r->delivery.body, TOPIC_BODY_MAX);
	join(r);
	if (pool_submit(n->senders, &r->job) == 0)
		return 0;
	leave(r);
	return err_set(e, ERR_OVERLOADED, NULL, "webhooks: no sender is free");
}

/* Whether a queue may be due: looked at before anything is written. */
static int look(struct notify *n, const char *not_of, int64_t *next_ms, struct err *e)
{
	struct db *db;
	int rc;

	if (store_read_begin(n->conf.store, &db, e) != 0)
		return -1;
	rc = delivery_next_due(db, not_of, next_ms, e);
	store_read_end(db);
	return rc;
}

/* 1: a sender has one more; 0: none is due whose turn it may be. */
static int serve_one(struct notify *n, const char *not_of, int64_t *next_ms, struct err *e)
{
	struct taking t = { .notify = n, .not_of = not_of };

	if (look(n, not_of, next_ms, e) != 0)
		return -1;
	if (*next_ms == 0 || *next_ms > clock_wall_ms())
		return 0;
	if (store_write(n->conf.store, STORE_OPERATIONAL, work_take, &t, e) != 0)
		return -1;
	if (!t.taken)
		return 0;
	return hand_over(n, &t.hold, e) != 0 ? -1 : 1;
}

int courier_step(struct notify *n, int64_t *next_ms, struct err *e)
{
	struct buf sated;
	int rc = 1;

	buf_init(&sated, SATED_MAX);
	while (rc == 1 && atomic_load(&n->busy) < n->conf.senders) {
		buf_reset(&sated);
		put_sated(n, &sated);
		rc = serve_one(n, buf_cstr(&sated), next_ms, e);
	}
	buf_free(&sated);
	if (rc == 1)
		*next_ms = 0; /* a sender that ends says so */
	return MIN(rc, 0);
}
