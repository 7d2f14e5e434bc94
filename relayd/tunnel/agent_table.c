#include "relayd/tunnel/agent_table.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/tls.h"
#include "proto/client_conf.h"
#include "relayd/conf/snapshot.h"
#include "relayd/tunnel/agent_link.h"
#include "relayd/tunnel/registry.h"
#include "relayd/tunnel/visits.h"
#include "relayd/tunnel/watch.h"

#include <stdlib.h>
#include <string.h>

#define NOTES_PER_S   5
#define NOTES_AT_ONCE 100
#define SWEEP_NS      UINT64_C(1000000000)

static struct agent_link *link_in_table(struct list *it)
{
	return CONTAINER_OF(it, struct agent_link, in_table);
}

/* ---- seats -------------------------------------------------------------------------------------------------------- */

struct seat *agent_table_seat(const struct agent_table *t, const char *client)
{
	return map_get_str(&t->seats, client);
}

static struct seat *seat_new(struct agent_table *t, const char *id)
{
	struct seat *s = calloc(1, sizeof *s);

	if (s == NULL)
		return NULL;
	str_copy(s->id, sizeof s->id, id);
	list_init(&s->links);
	list_init(&s->waiting);
	list_init(&s->watches);
	reserve_init(&s->reserve);
	list_init(&s->doors);
	s->left_ns = t->worker->now_ns;
	if (map_put_str(&t->seats, s->id, s, NULL) == 0)
		return s;
	free(s);
	return NULL;
}

struct seat *agent_table_seat_for(struct agent_table *t, const char *client)
{
	struct seat *s = agent_table_seat(t, client);

	return s != NULL ? s : seat_new(t, client);
}

void agent_table_news(const struct agent_table *t)
{
	uv_async_send(t->news);
}

static void wake_waiting(struct agent_table *t, struct seat *s)
{
	struct list *first;

	while ((first = list_first(&s->waiting)) != NULL) {
		list_remove(first);
		worker_again(t->worker, CONTAINER_OF(first, struct task, link));
	}
}

static void seat_free(struct agent_table *t, struct seat *s)
{
	map_remove_str(&t->seats, s->id);
	watches_drop(s);
	object_unref(s->object);
	free(s);
}

void seat_add(struct agent_table *t, struct seat *s, struct list *link)
{
	list_push_back(&s->links, link);
	wake_waiting(t, s);
	if (!list_empty(&s->watches))
		agent_table_news(t);
}

void seat_remove(struct agent_table *t, struct seat *s, struct list *link)
{
	list_remove(link);
	s->left_ns = t->worker->now_ns;
	if (!list_empty(&s->watches))
		agent_table_news(t);
}

/* ---- the configuration -------------------------------------------------------------------------------------------- */

static bool same_rules(const struct client_conf *a, const struct client_conf *b)
{
	return a->heartbeat_s == b->heartbeat_s && a->reconnect == b->reconnect;
}

static void tell_rules(struct seat *s)
{
	LIST_FOREACH (it, &s->links)
		agent_link_tell_rules(CONTAINER_OF(it, struct agent_link, in_seat));
}

static void on_object(const struct object *old, const struct object *new_, void *arg)
{
	struct agent_table *t = arg;
	const struct object *one = new_ != NULL ? new_ : old;
	bool is_client = new_ != NULL && new_->kind == OBJECT_CLIENT;
	struct seat *s;

	watches_on_object(t, old, new_);
	if (old != NULL)
		reserve_mapping(t, old, false);
	if (new_ != NULL)
		reserve_mapping(t, new_, true);
	s = is_client ? agent_table_seat_for(t, one->id) : agent_table_seat(t, one->id);
	if (s == NULL)
		return; /* no memory: its agents are told to come later, and the next change makes it good */
	object_unref(s->object);
	s->object = is_client ? object_ref(new_) : NULL;
	if (!is_client)
		wake_waiting(t, s);
	else if (old != NULL && old->kind == OBJECT_CLIENT && !same_rules(&old->client, &new_->client))
		tell_rules(s);
}

static bool is_known(const struct agent_link *a)
{
	const struct seat *s = agent_table_seat(a->table, a->hello.client);

	return s != NULL && s->object != NULL;
}

/*
 * Who may not be here any more is told and goes; nobody's second chance depends on it, so it is not for good. A link that
 * takes no new streams carries the old ones, and has no seat to be found by.
 */
static void sweep(struct agent_table *t)
{
	int64_t now = clock_wall_ms();

	LIST_FOREACH_SAFE (it, &t->links) {
		struct agent_link *a = link_in_table(it);

		if (a->link.state != TUNNEL_UP || a->link.last_words)
			continue;
		if (!agent_link_may_stay(a, now) && !(agent_link_take_early(a) && agent_link_may_stay(a, now)))
			agent_link_refuse(a, is_known(a) ? ERR_FORBIDDEN : ERR_NOT_FOUND, 1000,
				"the client or its secret is not good any more");
		else
			reserve_recover(a);
	}
}

static void settle_seats(struct agent_table *t)
{
	struct seat *s;
	size_t it = 0;

	while ((s = map_next(&t->seats, &it)) != NULL)
		if (s->object == NULL && s->reserve.mappings == 0 && list_empty(&s->links) &&
			list_empty(&s->reserve.ready) && list_empty(&s->waiting) && list_empty(&s->watches) &&
			list_empty(&s->doors))
			seat_free(t, s);
		else
			reserve_settle(t, s);
}

void agent_table_apply(struct agent_table *t, const struct snapshot *old, const struct snapshot *new_)
{
	snapshot_diff(old, new_, on_object, t);
	sweep(t);
	settle_seats(t);
}

static void on_sweep(struct timer *timer)
{
	struct agent_table *t = CONTAINER_OF(timer, struct agent_table, sweep);

	sweep(t);
	settle_seats(t);
	wheel_arm(&t->worker->wheel, timer, t->worker->now_ns + SWEEP_NS);
}

/* ---- all links ---------------------------------------------------------------------------------------------------- */

bool agent_table_may_tell(struct agent_table *t)
{
	if (bucket_take(&t->notes, 1, 1, t->worker->now_ns) == 1)
		return true;
	agent_count(&t->counts.untold);
	return false;
}

void agent_table_cut_before(struct agent_table *t, const struct frame_hello *h)
{
	LIST_FOREACH_SAFE (it, &t->links) {
		struct agent_link *a = link_in_table(it);

		if (a->registered && a->hello.epoch < h->epoch && str_eq(a->hello.client, h->client) &&
			str_eq(a->hello.instance, h->instance))
			tunnel_link_close(&a->link, "a later start of this instance took over");
	}
}

void agent_table_go_away(struct agent_table *t, uint32_t within_ms)
{
	t->quiet = true;
	LIST_FOREACH (it, &t->links)
		agent_link_go_away(link_in_table(it), within_ms);
}

void agent_table_close(struct agent_table *t)
{
	LIST_FOREACH_SAFE (it, &t->links)
		tunnel_link_close(&link_in_table(it)->link, "this relay ends");
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

int agent_table_init(struct agent_table *t, struct worker *w, struct registry *r, const struct agents_conf *conf)
{
	*t = (struct agent_table){ .worker = w, .registry = r, .conf = conf };
	bucket_init(&t->notes, NOTES_PER_S, NOTES_AT_ONCE, w->now_ns);
	map_init(&t->seats);
	map_init(&t->doors);
	list_init(&t->links);
	timer_init(&t->sweep, on_sweep);
	if (tunnel_desk_init(&t->desk) != 0)
		return -1;
	wheel_arm(&w->wheel, &t->sweep, w->now_ns + SWEEP_NS);
	return 0;
}

void agent_table_fini(struct agent_table *t)
{
	struct seat *s;
	size_t it = 0;

	if (t->worker == NULL)
		return;
	agent_table_close(t);
	worker_bury_all(t->worker);
	wheel_disarm(&t->sweep);
	visits_forget(t);
	while ((s = map_next(&t->seats, &it)) != NULL)
		seat_free(t, s);
	map_free(&t->seats);
	map_free(&t->doors);
	tls_ctx_unref(t->tls);
	tunnel_desk_fini(&t->desk);
}
