#include "client/agent/relay/spares.h"

#include "client/agent/relay/relay.h"
#include "common/base/log.h"
#include "common/base/rand.h"

#include <stdlib.h>

#define LANE_MAX        64 /* more the relay does not take */
#define BACKOFF_BASE_MS 500
#define BACKOFF_MAX_MS  30000

static struct uplink *uplink_in(struct list *in)
{
	return CONTAINER_OF(in, struct uplink, in);
}

static bool is_busy(const struct uplink *u)
{
	return u->state >= UPLINK_UP && mux_count(&u->link.mux) > 0;
}

void spares_init(struct spares *s)
{
	*s = (struct spares){ .failures = 0 };
	list_init(&s->uplinks);
}

void spares_count(const struct spares *s, unsigned *ready, unsigned *busy)
{
	*ready = *busy = 0;
	LIST_FOREACH (it, &s->uplinks) {
		*busy += is_busy(uplink_in(it));
		*ready += uplink_in(it)->state == UPLINK_UP && !is_busy(uplink_in(it));
	}
}

/* ---- what they tell ----------------------------------------------------------------------------------------------- */

static void on_up(struct uplink *u, const struct frame_welcome *w)
{
	struct relay *r = u->owner;

	(void)w;
	r->spares.failures = 0;
	log_debug("spare_link_up", log_s("relay", r->name), log_u("lane", u->lane));
}

static void on_goaway(struct uplink *u, const struct frame_end *why)
{
	(void)u, (void)why; /* the relay's ordinary links say when there is to be another one */
}

static void on_taken(struct uplink *u)
{
	spares_settle(u->owner);
}

static void on_over(struct uplink *u)
{
	struct relay *r = u->owner;

	r->spares.failures += u->up_ns == 0 && u->last != UPLINK_WAITING;
	log_debug("spare_link_over", log_s("relay", r->name), log_s("reason", u->why));
	list_remove(&u->in);
	free(u);
	spares_settle(r);
	r->on_change(r, r->arg); /* may free r */
}

static const struct uplink_ops ops = {
	.on_up = on_up, .on_goaway = on_goaway, .on_taken = on_taken, .on_over = on_over
};

/* ---- as many as there should be ----------------------------------------------------------------------------------- */

static int add(struct relay *r, uint16_t lane)
{
	uint64_t delay_ms =
		r->spares.failures > 0 ? rand_backoff_ms(r->spares.failures, BACKOFF_BASE_MS, BACKOFF_MAX_MS) : 0;
	struct uplink *u = uplink_new(r->env, &ops, r, delay_ms);

	if (u == NULL)
		return -1;
	uplink_set_target(u, &r->url, r->web_tls, r->dials++);
	uplink_set_alone(u, lane);
	list_push_back(&r->spares.uplinks, &u->in);
	return 0;
}

static void settle_lane(struct relay *r, const struct uplink *asks)
{
	unsigned all = 0, ready = 0;

	LIST_FOREACH (it, &r->spares.uplinks) {
		const struct uplink *u = uplink_in(it);

		if (u->lane != asks->lane || u->state > UPLINK_UP)
			continue;
		all++;
		ready += !is_busy(u);
	}
	for (; ready < asks->reserve && all < LANE_MAX && add(r, asks->lane) == 0; ready++)
		all++;
}

void spares_settle(struct relay *r)
{
	if (r->closing || r->refused)
		return;
	LIST_FOREACH (it, &r->uplinks)
		if (uplink_in(it)->state == UPLINK_UP)
			settle_lane(r, uplink_in(it));
}

void spares_greet_again(struct spares *s)
{
	LIST_FOREACH (it, &s->uplinks)
		uplink_greet_again(uplink_in(it));
}

/* ---- the end: it comes at the end of the round, so the list stays as it is meanwhile ------------------------------ */

void spares_retire(struct spares *s, const char *why)
{
	LIST_FOREACH (it, &s->uplinks)
		uplink_retire(uplink_in(it), why);
}

void spares_close(struct spares *s, const char *why)
{
	LIST_FOREACH (it, &s->uplinks)
		uplink_close(uplink_in(it), why);
}

bool spares_are_over(const struct spares *s)
{
	return list_empty(&s->uplinks);
}
