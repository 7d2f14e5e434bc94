#include "relayd/port/port_steps.h"

#include "common/base/clock.h"
#include "relayd/loop/service.h"
#include "relayd/port/adopted.h"
#include "relayd/port/lane.h"
#include "relayd/port/port_kind.h"
#include "relayd/port/port_socket.h"

bool port_steps_may_serve(const struct object *o)
{
	const struct mapping_conf *conf = &o->mapping;

	return conf->enabled && (conf->expires_ms == 0 || clock_wall_ms() < conf->expires_ms);
}

static uint64_t leave_at_ns(const struct mapping_conf *conf)
{
	if (conf->on_delete == MAPPING_KEEP)
		return UINT64_MAX;
	if (conf->on_delete == MAPPING_CUT || conf->drain_ms == 0)
		return 0;
	return clock_mono_ns() + conf->drain_ms * UINT64_C(1000000);
}

/* Sessions that live by the port's own sockets (UDP), and may go on. */
static bool needs_sockets_still(const struct port *p)
{
	return p->state == PORT_OPEN && p->n_fds > 0 && p->kind->lane_quiesce != NULL && p->leave_ns != 0 &&
	       gate_now(&p->gate) > 0;
}

void port_steps_plan(struct port *p, enum port_mode mode)
{
	const struct object *old = p->object, *next = p->next;

	if (next == NULL) {
		p->leave_ns = leave_at_ns(&old->mapping);
		p->steps = STEP_LEAVE | (needs_sockets_still(p) ? STEP_QUIESCE : STEP_SHUT);
		return;
	}
	p->steps = next != old ? STEP_SET : 0;
	if (!port_steps_may_serve(next))
		p->steps |= STEP_SHUT | STEP_CUT;
	else if (!port_same_sockets(old, next))
		p->steps |= STEP_SHUT;
	else if (mode != PORTS_SERVE)
		p->steps |= p->kind->lane_quiesce == NULL ? STEP_SHUT
		            : mode == PORTS_QUIET         ? STEP_QUIESCE
		                                          : STEP_QUIESCE | STEP_YIELD;
	if (next != old) {
		p->attempt = 0;
		gate_set(&p->gate, &next->mapping, clock_mono_ns());
		port_set_object(p, next);
	}
}

static bool serves(const struct port *p, unsigned worker)
{
	/* Without sockets of its own it is served on all links of an agent, wherever they are. */
	if (p->kind->owns == NULL || p->object->mapping.source_client[0] != '\0')
		return true;
	for (unsigned i = 0; i < p->n_fds; i++)
		if (p->kind->owns(p, i, worker))
			return true;
	return false;
}

/* The sessions that a predecessor handed over with the sockets. */
static void adopt_sessions(struct lane *l, const struct port *p, struct adopted *adopted)
{
	const struct mapping_conf *conf = &p->object->mapping;
	struct handover_socket session;
	char key[PORT_SOCKET_KEY];

	for (unsigned i = 0; i < p->n_fds; i++) {
		struct port_socket at = { .bind = conf->bind };

		if (!p->kind->owns(p, i, l->worker->index))
			continue;
		at.port = (uint16_t)(conf->port_first + port_offset(p, i));
		port_socket_key(key, p->kind->name, &at, i % p->group);
		while (adopted_claim_session(adopted, key, &session))
			p->kind->lane_adopt(l, i, &session);
	}
}

struct run {
	struct list *ports;
	void **desks;
	struct adopted *adopted;
};

static void open_lane(struct worker *w, struct port *p, const struct run *run)
{
	struct lane **l = &p->lanes[w->index];

	if (!serves(p, w->index))
		return;
	if (*l == NULL)
		*l = p->kind->lane_new(w, run->desks[w->index], p);
	if (*l == NULL || p->kind->lane_open(*l) != 0)
		__atomic_store_n(&p->failed, 1, __ATOMIC_RELAXED);
	else if (run->adopted != NULL && p->kind->lane_adopt != NULL)
		adopt_sessions(*l, p, run->adopted);
}

static enum lane_quiet why_quiet(unsigned steps)
{
	if (steps & STEP_YIELD)
		return QUIET_YIELDED;
	return steps & STEP_LEAVE ? QUIET_DELETED : QUIET_ENDING;
}

static void step_lane(struct lane *l, struct port *p)
{
	if (p->steps & STEP_SHUT)
		p->kind->lane_shut(l);
	if (p->steps & STEP_QUIESCE)
		p->kind->lane_quiesce(l, why_quiet(p->steps));
	if (p->steps & STEP_SET) {
		lane_set_object(l, p->object);
		p->kind->lane_set(l);
	}
	if (p->steps & STEP_CUT)
		p->kind->lane_cut(l);
	if (p->steps & STEP_LEAVE)
		lane_leave(l, p->leave_ns);
}

static void work_steps(struct worker *w, void *arg)
{
	const struct run *run = arg;

	LIST_FOREACH (it, run->ports) {
		struct port *p = CONTAINER_OF(it, struct port, todo);

		if (p->steps & STEP_OPEN)
			open_lane(w, p, run);
		else if (p->steps != 0 && p->lanes[w->index] != NULL)
			step_lane(p->lanes[w->index], p);
	}
}

static bool anything_to_do(struct list *ports)
{
	LIST_FOREACH (it, ports)
		if (CONTAINER_OF(it, struct port, todo)->steps != 0)
			return true;
	return false;
}

void port_steps_run(struct list *ports, struct workers *ws, void **desks, struct adopted *adopted)
{
	struct run run = { .ports = ports, .desks = desks, .adopted = adopted };

	if (!anything_to_do(ports))
		return;
	if (adopted != NULL)
		workers_call_each(ws, work_steps, &run); /* they share what was adopted */
	else
		workers_call(ws, work_steps, &run);
}
