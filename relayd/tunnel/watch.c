#include "relayd/tunnel/watch.h"

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/tunnel/frame_check.h"
#include "relayd/tunnel/agent_link.h"
#include "relayd/tunnel/agent_table.h"
#include "relayd/tunnel/visits.h"

#include <stdlib.h>

static const uint8_t types[] = {
	[HEALTH_NONE] = FRAME_CHECK_NONE,
	[HEALTH_TCP] = FRAME_CHECK_TCP,
	[HEALTH_HTTP] = FRAME_CHECK_HTTP,
};

bool watch_is_wanted(const struct object *o)
{
	return o != NULL && o->kind == OBJECT_MAPPING && o->mapping.enabled && o->mapping.target_client[0] != '\0' &&
	       o->mapping.health.type != HEALTH_NONE;
}

static struct watch *watch_in_seat(struct list *it)
{
	return CONTAINER_OF(it, struct watch, in_seat);
}

static struct watch *find(const struct seat *s, const char *mapping)
{
	LIST_FOREACH (it, &s->watches)
		if (str_eq(watch_in_seat(it)->object->id, mapping))
			return watch_in_seat(it);
	return NULL;
}

/* ---- what links are asked ----------------------------------------------------------------------------------------- */

static void ask(struct agent_link *a, const struct object *o)
{
	const struct health_conf *h = &o->mapping.health;
	struct frame_check c = { .spec = { .type = types[h->type],
					 .port = o->mapping.target_port,
					 .interval_ms = h->interval_ms,
					 .timeout_ms = h->timeout_ms,
					 .rise = (uint8_t)h->rise,
					 .fall = (uint8_t)h->fall,
					 .expect = (uint16_t)h->expect } };

	if (!standings_check(&a->standings, o->id))
		return; /* it serves on, unchecked */
	str_copy(c.mapping, sizeof c.mapping, o->id);
	str_copy(c.spec.host, sizeof c.spec.host, o->mapping.target_host);
	str_copy(c.spec.path, sizeof c.spec.path, h->path);
	frame_check_put(&a->link.mux.out, &c);
	tunnel_link_flush(&a->link);
}

static void ask_no_more(struct agent_link *a, const struct object *o)
{
	struct frame_check c = { .spec = { .type = FRAME_CHECK_NONE } };

	standings_forget(&a->standings, o->id);
	str_copy(c.mapping, sizeof c.mapping, o->id);
	frame_check_put(&a->link.mux.out, &c);
	tunnel_link_flush(&a->link);
}

static void each_link(
	const struct seat *s, void (*fn)(struct agent_link *a, const struct object *o), const struct object *o)
{
	LIST_FOREACH (it, &s->links)
		fn(CONTAINER_OF(it, struct agent_link, in_seat), o);
}

void watches_ask(struct agent_link *a)
{
	LIST_FOREACH (it, &a->seat->watches)
		ask(a, watch_in_seat(it)->object);
}

int watches_hear(struct agent_link *a, const struct frame_head *h, const uint8_t *payload)
{
	struct frame_health said;

	if (a->link.state != TUNNEL_UP || frame_health_get(&said, payload, h->n) != 0)
		return -1;
	str_make_utf8(said.reason);
	if (visits_hear(a, &said)) {
		if (agent_table_may_tell(a->table))
			log_info(said.up ? "visit_open" : "visit_not_open", log_s("mapping", said.mapping),
				log_s("client", a->hello.client), log_s("instance", a->hello.instance),
				log_s("reason", said.reason));
		agent_table_news(a->table);
	}
	if (!standings_say(&a->standings, said.mapping, said.up, said.reason))
		return 0;
	if (agent_table_may_tell(a->table))
		log_info(said.up ? "target_up" : "target_down", log_s("mapping", said.mapping),
			log_s("client", a->hello.client), log_s("instance", a->hello.instance),
			log_s("reason", said.reason));
	agent_table_news(a->table);
	return 0;
}

/* ---- the configuration -------------------------------------------------------------------------------------------- */

static void watch_free(struct watch *w)
{
	list_remove(&w->in_seat);
	object_unref(w->object);
	free(w);
}

static void put(struct agent_table *t, const struct object *o)
{
	struct seat *s = agent_table_seat_for(t, o->mapping.target_client);
	struct watch *w = s != NULL ? find(s, o->id) : NULL;

	if (w == NULL) {
		w = s != NULL ? calloc(1, sizeof *w) : NULL;
		if (w == NULL)
			return; /* no memory: it serves, unchecked */
		list_push_back(&s->watches, &w->in_seat);
	}
	object_unref(w->object);
	w->object = object_ref(o);
	each_link(s, ask, o);
}

static void drop(struct agent_table *t, const struct object *o)
{
	struct seat *s = agent_table_seat(t, o->mapping.target_client);
	struct watch *w = s != NULL ? find(s, o->id) : NULL;

	if (w == NULL)
		return;
	each_link(s, ask_no_more, o);
	watch_free(w);
}

void watches_on_object(struct agent_table *t, const struct object *old, const struct object *new_)
{
	if (watch_is_wanted(old) &&
		(!watch_is_wanted(new_) || !str_eq(old->mapping.target_client, new_->mapping.target_client)))
		drop(t, old);
	if (watch_is_wanted(new_))
		put(t, new_);
}

void watches_drop(struct seat *s)
{
	LIST_FOREACH_SAFE (it, &s->watches)
		watch_free(watch_in_seat(it));
}
