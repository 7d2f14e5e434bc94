#include "relayd/tunnel/visits.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "common/net/addr.h"
#include "common/uv/side.h"
#include "proto/mapping_conf.h"
#include "relayd/tunnel/agent_link.h"
#include "relayd/tunnel/agent_table.h"

#include <string.h>

static struct visit_door *door_of_seat(struct list *it)
{
	return CONTAINER_OF(it, struct visit_door, of_seat);
}

/* ---- what agents are told ----------------------------------------------------------------------------------------- */

typedef void (*tell_fn)(struct buf *out, const struct visit_door *d);

static void put_offer(struct buf *out, const struct visit_door *d)
{
	frame_offer_put(out, &d->offer);
}

static void put_withdraw(struct buf *out, const struct visit_door *d)
{
	frame_withdraw_put(out, d->offer.mapping);
}

static void tell_links(const struct visit_door *d, tell_fn tell)
{
	const struct seat *s = agent_table_seat(d->table, d->client);

	LIST_FOREACH (it, &s->links) {
		struct agent_link *a = CONTAINER_OF(it, struct agent_link, in_seat);

		tell(&a->link.mux.out, d);
		tunnel_link_flush(&a->link);
	}
}

void visits_offer(struct agent_link *a)
{
	unsigned n = 0;

	LIST_FOREACH (it, &a->seat->doors)
		if (n++ < VISITS_MAX)
			put_offer(&a->link.mux.out, door_of_seat(it));
	if (n > 0)
		tunnel_link_flush(&a->link);
}

/* ---- doors -------------------------------------------------------------------------------------------------------- */

static struct frame_offer offer_of(const char *mapping, const struct mapping_conf *conf)
{
	struct frame_offer o = { .kind = conf->protocol == MAPPING_UDP ? FRAME_UDP : FRAME_TCP,
		.first = conf->port_first,
		.last = conf->port_last };

	str_copy(o.mapping, sizeof o.mapping, mapping);
	str_copy(o.bind, sizeof o.bind, conf->bind);
	return o;
}

int visit_door_open(struct visit_door *d, struct agents *a, const struct worker *w, const char *mapping,
	const struct mapping_conf *conf, visit_fn on_visit)
{
	struct agent_table *t = agents_table(a, w);
	struct seat *s = agent_table_seat_for(t, conf->source_client);

	if (s == NULL)
		return -1;
	*d = (struct visit_door){ .on_visit = on_visit, .offer = offer_of(mapping, conf) };
	str_copy(d->client, sizeof d->client, conf->source_client);
	list_init(&d->of_seat);
	if (map_put_str(&t->doors, d->offer.mapping, d, NULL) != 0)
		return -1;
	d->table = t;
	list_push_back(&s->doors, &d->of_seat);
	tell_links(d, put_offer);
	return 0;
}

void visit_door_close(struct visit_door *d)
{
	struct agent_table *t = d->table;

	if (t == NULL)
		return;
	tell_links(d, put_withdraw);
	LIST_FOREACH (it, &agent_table_seat(t, d->client)->links)
		standings_forget(&CONTAINER_OF(it, struct agent_link, in_seat)->shut, d->offer.mapping);
	map_remove_str(&t->doors, d->offer.mapping);
	list_remove(&d->of_seat);
	d->table = NULL;
}

void visits_forget(struct agent_table *t)
{
	struct visit_door *d;
	size_t it = 0;

	while ((d = map_next(&t->doors, &it)) != NULL) {
		map_remove_str(&t->doors, d->offer.mapping);
		list_remove(&d->of_seat);
		d->table = NULL;
	}
}

/* ---- coming in ---------------------------------------------------------------------------------------------------- */

/* A mapping of somebody else is answered as one that is not there. */
static struct visit_door *find(const struct agent_link *a, const struct frame_open *o)
{
	struct visit_door *d = map_get_str(&a->table->doors, o->mapping);

	if (d == NULL || a->seat == NULL || !str_eq(d->client, a->hello.client))
		return NULL;
	return o->kind == d->offer.kind && o->port >= d->offer.first && o->port <= d->offer.last ? d : NULL;
}

void visits_take(struct agent_link *a, uint32_t id, const struct frame_open *o)
{
	struct visit_door *d = find(a, o);
	const struct side socket = { .io = a->link.io };
	struct addr at;
	struct visit v = {
		.mux = &a->link.mux, .id = id, .open = o, .client = a->hello.client, .from = &a->from, .at = &at
	};

	if (d == NULL) {
		agent_count(&a->table->counts.not_theirs);
		stream_refuse(v.mux, id, ERR_MAPPING_NOT_FOUND, "this relay has no such mapping from this client");
		return;
	}
	if (side_local(&socket, &at) != 0)
		at = a->from;
	agent_count(&a->table->counts.visits);
	d->on_visit(d, &v);
}

/*
 * "ADDRESS_IN_USE: 127.0.0.1:5432: ..." names the port that it is about. It may be one that was offered before: then the word was
 * under way when the mapping moved, and says nothing of the ports that it has now, of which the agent says more, or nothing if all
 * is well.
 */
static bool is_of_another_port(const struct frame_offer *now, const char *reason)
{
	const char *at = strstr(reason, ": "), *end = at != NULL ? strstr(at + 2, ": ") : NULL;
	const char *port = end;
	uint64_t n;
	char text[8];

	if (end == NULL)
		return false;
	while (port > at + 2 && port[-1] >= '0' && port[-1] <= '9')
		port--;
	if (port[-1] != ':' || str_fmt(text, sizeof text, "%.*s", (int)(end - port), port) != 0 ||
		str_to_u64(text, 1, UINT16_MAX, &n) != 0)
		return false;
	return n < now->first || n > now->last;
}

bool visits_hear(struct agent_link *a, const struct frame_health *said)
{
	const struct visit_door *d = map_get_str(&a->table->doors, said->mapping);
	const bool shut = standings_get(&a->shut, said->mapping) != NULL;

	if (d == NULL || !str_eq(d->client, a->hello.client))
		return false;
	if (said->up) {
		standings_forget(&a->shut, said->mapping);
		return shut;
	}
	if (is_of_another_port(&d->offer, said->reason))
		return false;
	if (!shut && !standings_check(&a->shut, said->mapping))
		return false;
	return standings_say(&a->shut, said->mapping, false, said->reason);
}
