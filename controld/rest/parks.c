#include "controld/rest/parks.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "controld/loop/loop.h"
#include "controld/rest/call.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define PARKS_BUCKETS 256  /* a power of two */
#define PARKS_WAKES   8192 /* remembered; a power of two */

struct parks {
	struct loop *loop;
	void (*resume)(struct call *c);
	size_t max;
	pthread_mutex_t lock;
	struct list by_key[PARKS_BUCKETS];
	struct list by_time; /* earliest first */
	size_t n;
	uint64_t full; /* how often there was no room */
	bool closed;
	uint64_t wakes; /* ever; also the number of the newest */
	/* Hash of the key, by number: who took his ticket before a wake-up and parks after it must not sleep. */
	uint64_t recent[PARKS_WAKES];
	struct loop_timer *timer;
	struct loop_task arm;
	bool arm_posted;
};

static uint64_t parks_hash(const char *key)
{
	return map_hash(key, strlen(key));
}

/* ---- the loop's side: time ---------------------------------------------------------------------------------------- */

/* Loop thread: sets the timer to the earliest end of a wait. */
static void parks_arm(struct parks *p)
{
	struct list *first;
	uint64_t until_ms = 0;

	pthread_mutex_lock(&p->lock);
	first = list_first(&p->by_time);
	if (first != NULL)
		until_ms = CONTAINER_OF(first, struct call, parked.by_time)->parked.until_ms;
	pthread_mutex_unlock(&p->lock);
	if (until_ms != 0) {
		const uint64_t now_ms = clock_mono_ms();

		loop_timer_in(p->timer, until_ms > now_ms ? until_ms - now_ms : 0);
	}
}

static void on_arm(void *arg)
{
	struct parks *p = arg;

	pthread_mutex_lock(&p->lock);
	p->arm_posted = false;
	pthread_mutex_unlock(&p->lock);
	parks_arm(p);
}

/* With the lock held. */
static void parks_take_out(struct parks *p, struct call *c, struct list *to)
{
	list_remove(&c->parked.by_key);
	list_remove(&c->parked.by_time);
	list_push_back(to, &c->parked.by_time);
	p->n--;
}

static void parks_resume_all(struct parks *p, struct list *calls)
{
	struct list *it;

	while ((it = list_first(calls)) != NULL) {
		list_remove(it);
		p->resume(CONTAINER_OF(it, struct call, parked.by_time));
	}
}

static void on_time(void *arg)
{
	struct parks *p = arg;
	const uint64_t now_ms = clock_mono_ms();
	struct list over;
	struct list *it;

	list_init(&over);
	pthread_mutex_lock(&p->lock);
	while ((it = list_first(&p->by_time)) != NULL) {
		struct call *c = CONTAINER_OF(it, struct call, parked.by_time);

		if (c->parked.until_ms > now_ms)
			break;
		parks_take_out(p, c, &over);
	}
	pthread_mutex_unlock(&p->lock);
	parks_resume_all(p, &over);
	parks_arm(p);
}

/* ---- waiting ------------------------------------------------------------------------------------------------------ */

/* With the lock held. A wake-up too old to be remembered counts as one of this key: too early is safe, too late not. */
static bool parks_woken_since(const struct parks *p, uint64_t hash, uint64_t ticket)
{
	if (p->wakes - ticket > PARKS_WAKES)
		return true;
	for (uint64_t number = p->wakes; number > ticket; number--)
		if (p->recent[number % PARKS_WAKES] == hash)
			return true;
	return false;
}

/* Most waits are equally long, so the place is near the end. */
static void parks_insert_by_time(struct parks *p, struct call *c)
{
	struct list *after = p->by_time.prev;

	while (after != &p->by_time &&
		CONTAINER_OF(after, struct call, parked.by_time)->parked.until_ms > c->parked.until_ms)
		after = after->prev;
	list_insert_between(&c->parked.by_time, after, after->next);
}

bool parks_add(struct parks *p, struct call *c)
{
	const struct reply_park *park = &c->rp.park;
	bool waits;
	bool arm = false;

	c->parked.hash = parks_hash(park->key);
	c->parked.until_ms = clock_mono_ms() + park->wait_ms;
	pthread_mutex_lock(&p->lock);
	waits = !p->closed && p->n < p->max && !parks_woken_since(p, c->parked.hash, park->ticket);
	p->full += !p->closed && p->n >= p->max;
	if (waits) {
		list_push_back(&p->by_key[c->parked.hash % PARKS_BUCKETS], &c->parked.by_key);
		parks_insert_by_time(p, c);
		p->n++;
		arm = !p->arm_posted && list_first(&p->by_time) == &c->parked.by_time;
		p->arm_posted |= arm;
	}
	pthread_mutex_unlock(&p->lock);
	if (arm)
		loop_post(p->loop, &p->arm);
	return waits;
}

uint64_t park_ticket(struct parks *p, const char *key)
{
	uint64_t ticket;

	(void)key; /* one count for all keys: simpler, and no entry per key that somebody must end */
	pthread_mutex_lock(&p->lock);
	ticket = p->wakes;
	pthread_mutex_unlock(&p->lock);
	return ticket;
}

void park_wake(struct parks *p, const char *key)
{
	const uint64_t hash = parks_hash(key);
	struct list woken;

	list_init(&woken);
	pthread_mutex_lock(&p->lock);
	p->wakes++;
	p->recent[p->wakes % PARKS_WAKES] = hash;
	LIST_FOREACH_SAFE (it, &p->by_key[hash % PARKS_BUCKETS]) {
		struct call *c = CONTAINER_OF(it, struct call, parked.by_key);

		if (c->parked.hash == hash && strcmp(c->rp.park.key, key) == 0)
			parks_take_out(p, c, &woken);
	}
	pthread_mutex_unlock(&p->lock);
	parks_resume_all(p, &woken);
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

int parks_new(struct parks **out, struct loop *loop, size_t max, void (*resume)(struct call *c), struct err *e)
{
	struct parks *p = calloc(1, sizeof *p);

	if (p == NULL)
		return err_set(e, ERR_NOMEM, NULL, "parks: out of memory");
	p->loop = loop;
	p->resume = resume;
	p->max = max;
	p->arm = (struct loop_task){ .fn = on_arm, .arg = p };
	pthread_mutex_init(&p->lock, NULL);
	list_init(&p->by_time);
	for (size_t i = 0; i < PARKS_BUCKETS; i++)
		list_init(&p->by_key[i]);
	if (loop_timer_new(&p->timer, loop, on_time, p, e) != 0) {
		parks_free(p);
		return -1;
	}
	*out = p;
	return 0;
}

void parks_free(struct parks *p)
{
	if (p == NULL)
		return;
	loop_timer_free(p->timer);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

void parks_close(struct parks *p)
{
	struct list all;
	struct list *it;

	list_init(&all);
	pthread_mutex_lock(&p->lock);
	p->closed = true;
	while ((it = list_first(&p->by_time)) != NULL)
		parks_take_out(p, CONTAINER_OF(it, struct call, parked.by_time), &all);
	pthread_mutex_unlock(&p->lock);
	parks_resume_all(p, &all);
}

void parks_stats(struct parks *p, struct parks_stats *out)
{
	pthread_mutex_lock(&p->lock);
	*out = (struct parks_stats){ .waiting = p->n, .full = p->full };
	pthread_mutex_unlock(&p->lock);
}
