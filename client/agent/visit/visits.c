#define _GNU_SOURCE
#include "client/agent/visit/visits.h"

#include "client/agent/visit/visit_associate.h"
#include "client/agent/visit/visit_socket.h"
#include "client/agent/visit/visit_tcp.h"
#include "client/agent/visit/visit_udp.h"
#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/net/addr.h"
#include "common/net/allow.h"
#include "common/tunnel/frame_check.h"
#include "common/tunnel/tunnel_link.h"

#include <stdlib.h>
#include <string.h>

#define LISTEN_AGAIN_NS UINT64_C(2000000000)
#define SETTLE_NS       UINT64_C(3000000000)  /* links to all relays are made at about the same time */
#define LINGER_NS       UINT64_C(60000000000) /* a relay that is started again offers it within this */

struct visit_via {
	struct list in; /* the visit's */
	struct tunnel_link *link;
	const void *relay;
};

static struct visit_via *via_in(struct list *in)
{
	return CONTAINER_OF(in, struct visit_via, in);
}

/* ---- listening ---------------------------------------------------------------------------------------------------- */

static void shut(struct visit *v, const char *why)
{
	str_copy(v->why, sizeof v->why, why);
	visit_udp_cut(v);
	visit_sockets_close(v);
}

/* "ADDRESS_IN_USE: ..." while it does not listen: the relay has it refused, and controld may move a port that it picked. */
static void tell_link(const struct visit *v, struct tunnel_link *l)
{
	struct frame_health h = { .up = v->sockets != NULL };

	if (l->state != TUNNEL_UP)
		return;
	str_copy(h.mapping, sizeof h.mapping, v->offer.mapping);
	if (!h.up)
		(void)str_fmt(h.reason, sizeof h.reason, "%s: %s", err_api(v->why_code), v->why);
	frame_health_put(&l->mux.out, &h);
	tunnel_link_flush(l);
}

static void tell_links(const struct visit *v)
{
	LIST_FOREACH (it, &v->vias)
		tell_link(v, via_in(it)->link);
}

static void try_to_listen(struct visit *v)
{
	const struct visits *all = v->all;
	char before[sizeof v->why];
	struct err e;

	if (v->sockets != NULL || all->closed)
		return;
	str_copy(before, sizeof before, v->why);
	if (visit_sockets_open(v, &e) == 0) {
		v->why[0] = '\0';
		if (before[0] != '\0')
			tell_links(v);
		log_info("visit_open", log_s("mapping", v->offer.mapping), log_u("port", v->offer.first));
	} else {
		str_copy(v->why, sizeof v->why, e.msg);
		v->why_code = e.code;
		if (!str_eq(v->why, before))
			tell_links(v);
		if (!str_eq(v->why, before))
			log_warn("visit_not_open", log_s("mapping", v->offer.mapping), log_s("reason", v->why));
		if (e.code != ERR_PERMISSION)
			wheel_arm(&all->worker->wheel, &v->timer, all->worker->now_ns + LISTEN_AGAIN_NS);
	}
	if (v->sockets != NULL || !str_eq(v->why, before))
		all->ops->on_change(all->arg, v);
}

/* ---- one mapping -------------------------------------------------------------------------------------------------- */

static void visit_end(struct visit *v, const char *why)
{
	log_info("visit_shut", log_s("mapping", v->offer.mapping), log_s("reason", why));
	shut(v, why);
	visit_tcp_give_up(v, why);
	if (!v->all->closed)
		v->all->ops->on_change(v->all->arg, v);
	while (!list_empty(&v->vias)) {
		struct visit_via *via = via_in(list_first(&v->vias));

		list_remove(&via->in);
		free(via);
	}
	wheel_disarm(&v->timer);
	map_remove_str(&v->all->by_id, v->offer.mapping);
	map_free(&v->udp_by_peer);
	free(v);
}

static void on_due(struct timer *t)
{
	struct visit *v = CONTAINER_OF(t, struct visit, timer);

	if (list_empty(&v->vias))
		visit_end(v, "no relay offers it any more");
	else
		try_to_listen(v);
}

static struct visit *visit_new(struct visits *all, const struct frame_offer *o)
{
	struct visit *v = map_count(&all->by_id) < VISITS_MAX ? calloc(1, sizeof *v) : NULL;

	if (v == NULL)
		return NULL;
	v->all = all;
	v->offer = *o;
	list_init(&v->vias);
	list_init(&v->asking);
	list_init(&v->udp);
	map_init(&v->udp_by_peer);
	timer_init(&v->timer, on_due);
	if (map_put_str(&all->by_id, v->offer.mapping, v, NULL) == 0)
		return v;
	free(v);
	return NULL;
}

static bool same_offer(const struct frame_offer *a, const struct frame_offer *b)
{
	return a->kind == b->kind && a->first == b->first && a->last == b->last && str_eq(a->bind, b->bind);
}

static struct visit_via *find_via(const struct visit *v, const struct tunnel_link *l)
{
	LIST_FOREACH (it, &v->vias)
		if (via_in(it)->link == l)
			return via_in(it);
	return NULL;
}

static int add_via(struct visit *v, struct tunnel_link *l, const void *relay)
{
	struct visit_via *via;

	if (find_via(v, l) != NULL)
		return 0;
	via = calloc(1, sizeof *via);
	if (via == NULL)
		return -1;
	*via = (struct visit_via){ .link = l, .relay = relay };
	list_init(&via->in);
	list_push_back(&v->vias, &via->in);
	return 0;
}

/* What a relay tells last is so: another place to listen at comes to all of them, one after the other. */
void visits_offered(struct visits *all, struct tunnel_link *l, const void *relay, const struct frame_offer *o)
{
	struct visit *v = map_get_str(&all->by_id, o->mapping);

	if (all->closed)
		return;
	if (v == NULL && (v = visit_new(all, o)) == NULL) {
		log_warn("visit_not_open", log_s("mapping", o->mapping), log_s("reason", "too many, or out of memory"));
		return;
	}
	if (!same_offer(&v->offer, o)) {
		shut(v, "");
		v->offer = *o;
	}
	wheel_disarm(&v->timer);
	if (list_empty(&v->vias))
		v->settled_ns = all->worker->now_ns + SETTLE_NS;
	if (add_via(v, l, relay) != 0)
		log_warn("visit_not_open", log_s("mapping", o->mapping), log_s("reason", "out of memory"));
	try_to_listen(v);
	if (v->why[0] != '\0')
		tell_link(v, l);
	visit_tcp_ask_again(v);
}

/* Whether somebody still offers it. */
static bool drop_via(struct visit *v, const struct tunnel_link *l)
{
	struct visit_via *via = find_via(v, l);

	if (via != NULL)
		list_remove(&via->in);
	free(via);
	return !list_empty(&v->vias);
}

void visits_withdrawn(struct visits *all, const struct tunnel_link *l, const char *mapping)
{
	struct visit *v = map_get_str(&all->by_id, mapping);

	if (v != NULL && find_via(v, l) != NULL && !drop_via(v, l))
		visit_end(v, "the mapping is gone, or off");
}

void visits_link_left(struct visits *all, const struct tunnel_link *l)
{
	struct visit *v;
	size_t it = 0;

	while ((v = map_next(&all->by_id, &it)) != NULL)
		if (find_via(v, l) != NULL && !drop_via(v, l))
			wheel_arm(&all->worker->wheel, &v->timer, all->worker->now_ns + LINGER_NS);
}

/* ---- all of them -------------------------------------------------------------------------------------------------- */

static void on_refill(struct timer *t)
{
	(void)t; /* nothing is ever throttled here */
}

static void way_init(struct visits *all, unsigned which, enum sessions_counter cell)
{
	struct flow_way *way = &all->way[which];

	*way = (struct flow_way){ .worker = all->worker,
		.which = which,
		.cells = &all->sessions->cells,
		.cell = cell,
		.rate = &all->sessions->rate,
		.stock = &all->sessions->stock };
	list_init(&way->throttled);
	timer_init(&way->refill, on_refill);
}

void visits_init(struct visits *all, struct sessions *sessions, const struct visits_ops *ops, void *arg)
{
	*all = (struct visits){ .worker = sessions->worker, .sessions = sessions, .ops = ops, .arg = arg };
	map_init(&all->by_id);
	list_init(&all->tcp);
	list_init(&all->associates);
	slab_init(&all->tcp_slab, visit_tcp_size());
	slab_init(&all->udp_slab, visit_udp_size());
	way_init(all, WAY_IN, SESSIONS_VISIT_IN);
	way_init(all, WAY_OUT, SESSIONS_VISIT_OUT);
}

void visits_close(struct visits *all)
{
	struct visit *v;
	size_t it = 0;

	all->closed = true;
	while ((v = map_next(&all->by_id, &it)) != NULL)
		visit_end(v, "the agent is leaving");
}

void visits_cut_all(struct visits *all)
{
	visits_close(all);
	visit_associate_cut_all(all);
	visit_tcp_cut_all(all);
}

void visits_fini(struct visits *all)
{
	slab_fini(&all->tcp_slab);
	slab_fini(&all->udp_slab);
	map_free(&all->by_id);
	allow_unref(all->allow);
	all->allow = NULL;
}

/* What may not be listened on any more is shut, and what may be, opened. */
void visits_set_allow(struct visits *all, struct allow *allow)
{
	struct visit *v;
	size_t it = 0;

	allow_unref(all->allow);
	all->allow = allow;
	while ((v = map_next(&all->by_id, &it)) != NULL) {
		if (v->sockets != NULL && !visit_sockets_are_allowed(v))
			shut(v, "");
		try_to_listen(v);
	}
	visit_associate_recheck(all);
}

/* ---- for what comes in -------------------------------------------------------------------------------------------- */

bool visit_is_offered(const struct visit *v)
{
	return !list_empty(&v->vias);
}

static bool was_tried(const struct visit_tried *tried, const void *relay)
{
	for (unsigned i = 0; i < tried->n; i++)
		if (tried->relays[i] == relay)
			return true;
	return false;
}

/* The link that carries the fewest streams, as they are shared out by the relays as well. */
struct tunnel_link *visit_pick(const struct visit *v, struct visit_tried *tried)
{
	const struct visit_via *best = NULL;

	LIST_FOREACH (it, &v->vias) {
		const struct visit_via *via = via_in(it);

		if (via->link->state != TUNNEL_UP || via->link->mux.fault != NULL || was_tried(tried, via->relay))
			continue;
		if (best == NULL || mux_count(&via->link->mux) < mux_count(&best->link->mux))
			best = via;
	}
	if (best == NULL || tried->n == VISITS_TRIED_MAX)
		return NULL;
	tried->relays[tried->n++] = best->relay;
	return best->link;
}

void visit_open_frame(const struct visit *v, uint16_t port, const struct addr *from, struct frame_open *o)
{
	*o = (struct frame_open){ .kind = v->offer.kind, .host = "-", .port = port };
	str_copy(o->mapping, sizeof o->mapping, v->offer.mapping);
	addr_print(from, o->source);
}

/* ---- for people --------------------------------------------------------------------------------------------------- */

static void print_visit(const struct visit *v, struct buf *b)
{
	unsigned n = 0;

	LIST_FOREACH (it, &v->vias)
		n++;
	jsonw_object(b, NULL);
	jsonw_str(b, "mapping", v->offer.mapping);
	jsonw_str(b, "protocol", v->offer.kind == FRAME_UDP ? "udp" : "tcp");
	jsonw_str(b, "address", v->offer.bind[0] != '\0' ? v->offer.bind : VISIT_BIND);
	jsonw_uint(b, "port", v->offer.first);
	jsonw_uint(b, "port_end", v->offer.last);
	jsonw_bool(b, "listening", v->sockets != NULL);
	jsonw_str_or_null(b, "reason", v->why);
	jsonw_uint(b, "links", n);
	jsonw_end_object(b);
}

void visits_print(const struct visits *all, struct buf *b)
{
	const struct visit *v;
	size_t it = 0;

	jsonw_array(b, "visits");
	while ((v = map_next(&all->by_id, &it)) != NULL)
		print_visit(v, b);
	jsonw_end_array(b);
}
