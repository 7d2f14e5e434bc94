#include "relayd/tunnel/reserve.h"

#include "common/tunnel/frame.h"
#include "relayd/tunnel/agent_link.h"
#include "relayd/tunnel/agent_table.h"

#define NEEDED_NS UINT64_C(600000000000) /* so long after the last connection that would have one */

static struct agent_link *link_in_seat(struct list *it)
{
	return CONTAINER_OF(it, struct agent_link, in_seat);
}

void reserve_init(struct reserve *r)
{
	*r = (struct reserve){ .mappings = 0 };
	list_init(&r->ready);
}

void reserve_mapping(struct agent_table *t, const struct object *mapping, bool comes)
{
	const struct mapping_conf *m = &mapping->mapping;
	struct seat *s;

	if (mapping->kind != OBJECT_MAPPING || m->transport != MAPPING_TRANSPORT_DEDICATED ||
		m->target_client[0] == '\0' || m->protocol != MAPPING_TCP)
		return;
	s = comes ? agent_table_seat_for(t, m->target_client) : agent_table_seat(t, m->target_client);
	if (s == NULL)
		return; /* no memory: its connections share links until some of them ask */
	if (comes)
		s->reserve.mappings++;
	else if (s->reserve.mappings > 0)
		s->reserve.mappings--;
}

static bool is_needed(const struct agent_table *t, const struct reserve *r)
{
	return r->mappings > 0 || (r->needed_ns != 0 && t->worker->now_ns - r->needed_ns < NEEDED_NS);
}

void reserve_tell(const struct seat *s, struct agent_link *a)
{
	frame_reserve_put(&a->link.mux.out, s->reserve.told);
	tunnel_link_flush(&a->link);
}

void reserve_settle(struct agent_table *t, struct seat *s)
{
	uint16_t wanted = s->object != NULL && is_needed(t, &s->reserve) ? (uint16_t)t->conf->reserve : 0;

	if (wanted == s->reserve.told)
		return;
	s->reserve.told = wanted;
	LIST_FOREACH (it, &s->links)
		reserve_tell(s, link_in_seat(it));
	while (wanted == 0 && !list_empty(&s->reserve.ready))
		agent_link_dismiss(
			link_in_seat(list_first(&s->reserve.ready)), "no connection needs a link of its own");
}

struct agent_link *reserve_take(struct agent_table *t, struct seat *s, uint32_t agent)
{
	s->reserve.needed_ns = t->worker->now_ns;
	reserve_settle(t, s);
	LIST_FOREACH (it, &s->reserve.ready) {
		struct agent_link *a = link_in_seat(it);

		if (a->agent != agent)
			continue;
		list_remove(&a->in_seat);
		agent_count(&t->counts.alone);
		return a;
	}
	agent_count(&t->counts.not_alone);
	return NULL;
}

void reserve_recover(struct agent_link *a)
{
	if (a->hello.role == FRAME_FOR_ONE && a->seat != NULL && list_empty(&a->in_seat) &&
		mux_count(&a->link.mux) == 0)
		reserve_put(a->seat, a);
}

void reserve_put(struct seat *s, struct agent_link *a)
{
	unsigned ready = 0;

	list_remove(&a->in_seat); /* it may be there: its agent opens and closes streams as it likes */
	LIST_FOREACH (it, &s->reserve.ready)
		ready += link_in_seat(it)->agent == a->agent;
	if (ready >= s->reserve.told)
		agent_link_dismiss(a, "there are links enough");
	else
		list_push_front(&s->reserve.ready, &a->in_seat); /* its TCP has got up speed */
}
