#include "client/agent/target/sessions.h"

#include "client/agent/target/agent_session.h"
#include "client/agent/target/tcp_session.h"
#include "client/agent/target/udp_session.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/net/allow.h"
#include "common/tunnel/tunnel_link.h"
#include "common/uv/udp_batch.h"
#include "common/uv/worker.h"

#include <sys/socket.h>

#define NOTE_EVERY_NS UINT64_C(1000000000)

static const char *const names[SESSIONS_COUNTERS_N] = {
#define X(name, text) text,
	SESSIONS_COUNTERS(X)
#undef X
};

/* Nothing is ever throttled here. */
static void on_refill(struct timer *t)
{
	(void)t;
}

static void way_init(struct sessions *all, unsigned which, enum sessions_counter cell)
{
	struct flow_way *way = &all->way[which];

	*way = (struct flow_way){ .worker = all->worker,
		.which = which,
		.cells = &all->cells,
		.cell = cell,
		.rate = &all->rate,
		.stock = &all->stock };
	list_init(&way->throttled);
	timer_init(&way->refill, on_refill);
}

void sessions_init(struct sessions *all, struct worker *w, const struct sessions_ops *ops, void *arg)
{
	*all = (struct sessions){ .worker = w, .ops = ops, .arg = arg };
	all->cells = all->counters;
	list_init(&all->tcp);
	list_init(&all->udp);
	slab_init(&all->tcp_slab, tcp_session_size());
	slab_init(&all->udp_slab, udp_session_size());
	rate_init(&all->rate);
	stock_init(&all->stock, w);
	way_init(all, WAY_IN, SESSIONS_BYTES_IN);
	way_init(all, WAY_OUT, SESSIONS_BYTES_OUT);
}

void sessions_fini(struct sessions *all)
{
	slab_fini(&all->tcp_slab);
	slab_fini(&all->udp_slab);
	udp_batch_free(all->batch);
	rate_fini(&all->rate);
	allow_unref(all->allow);
	all->allow = NULL;
}

void sessions_set_limits(struct sessions *all, const struct sessions_limits *limits)
{
	all->limits = *limits;
}

static struct agent_session *session_in(struct list *in)
{
	return CONTAINER_OF(in, struct agent_session, in);
}

/* Calls fn for each; it may end that one, and no other. */
static void each(struct sessions *all, void (*fn)(struct agent_session *s))
{
	LIST_FOREACH_SAFE (it, &all->tcp)
		fn(session_in(it));
	LIST_FOREACH_SAFE (it, &all->udp)
		fn(session_in(it));
}

static void cut_if_not_allowed(struct agent_session *s)
{
	if (!agent_session_is_allowed(s))
		agent_session_cut(s, ERR_DENIED_TARGET, "the agent's allow list has changed");
}

void sessions_set_allow(struct sessions *all, struct allow *allow)
{
	allow_unref(all->allow);
	all->allow = allow;
	each(all, cut_if_not_allowed);
}

void sessions_close(struct sessions *all)
{
	all->closed = true;
}

static void cut(struct agent_session *s)
{
	agent_session_cut(s, ERR_UNAVAILABLE, "the agent has ended");
}

void sessions_cut_all(struct sessions *all)
{
	each(all, cut);
}

uint64_t sessions_now(const struct sessions *all)
{
	return all->n_tcp + all->n_udp;
}

/* ---- coming in ---------------------------------------------------------------------------------------------------- */

/* The place of one that has been silent for long. */
static bool make_room_for_udp(struct sessions *all)
{
	struct list *oldest = list_first(&all->udp);

	if (oldest == NULL || !udp_session_is_silent(session_in(oldest)))
		return false;
	agent_session_cut(session_in(oldest), ERR_OVERLOADED, "the agent's limit of UDP sessions");
	return true;
}

static bool has_room(struct sessions *all, const struct frame_open *o)
{
	if (o->kind == FRAME_TCP)
		return all->n_tcp < all->limits.streams;
	return all->n_udp < all->limits.udp_sessions || make_room_for_udp(all);
}

/* What stands against it: 0, or the code, the counter and the words. */
static int refusal(struct sessions *all, const struct frame_open *o, enum sessions_counter *c, const char **reason)
{
	*c = SESSIONS_FULL;
	if (all->closed) {
		*c = SESSIONS_LEAVING;
		*reason = "the agent is leaving";
		return ERR_UNAVAILABLE;
	}
	*reason = "the agent's limit of connections";
	return has_room(all, o) ? ERR_NONE : ERR_OVERLOADED;
}

void sessions_open(struct sessions *all, struct tunnel_link *l, uint32_t id, const struct frame_open *o)
{
	enum sessions_counter c;
	const char *reason;
	int code = refusal(all, o, &c, &reason);

	if (code == ERR_NONE) {
		code = o->kind == FRAME_TCP ? tcp_session_open(all, l, id, o) : udp_session_open(all, l, id, o);
		reason = "the agent has no memory or descriptor left";
	}
	if (code != ERR_NONE) {
		sessions_note(all, c, o->host, o->port, reason);
		stream_refuse(&l->mux, id, (uint16_t)code, reason);
		return;
	}
	sessions_count(all, o->kind == FRAME_TCP ? SESSIONS_TCP : SESSIONS_UDP);
	log_debug("stream", log_s("mapping", o->mapping), log_s("host", o->host), log_u("port", o->port),
		log_s("source", o->source));
}

/* ---- for a session ------------------------------------------------------------------------------------------------ */

const struct allow *sessions_allow(const struct sessions *all)
{
	return all->allow;
}

const struct sessions_limits *sessions_limits(const struct sessions *all)
{
	return &all->limits;
}

static bool is_tcp(const struct agent_session *s)
{
	return s->kind->type == SOCK_STREAM;
}

void sessions_enter(struct sessions *all, struct agent_session *s)
{
	list_push_back(is_tcp(s) ? &all->tcp : &all->udp, &s->in);
	*(is_tcp(s) ? &all->n_tcp : &all->n_udp) += 1;
}

void sessions_leave(struct sessions *all, struct agent_session *s)
{
	list_remove(&s->in);
	*(is_tcp(s) ? &all->n_tcp : &all->n_udp) -= 1;
	all->ops->on_ended(all->arg, s->link);
}

void sessions_count(struct sessions *all, enum sessions_counter c)
{
	all->counters[c]++;
}

void sessions_note(struct sessions *all, enum sessions_counter c, const char *host, uint16_t port, const char *reason)
{
	uint64_t now = all->worker->now_ns;

	sessions_count(all, c);
	if (all->told_ns != 0 && now - all->told_ns < NOTE_EVERY_NS) {
		all->untold++;
		return;
	}
	log_warn("target_not_connected", log_s("host", host), log_u("port", port), log_s("reason", reason),
		log_u("not_told_before", all->untold));
	all->told_ns = now;
	all->untold = 0;
}

const char *sessions_counter_name(enum sessions_counter c)
{
	return names[c];
}
