/*
 * tcp_lane - a TCP port on one worker: accepts there, and holds the sessions that it accepted, or that came to it otherwise.
 *
 * Owner: the worker (relayd/port/lane.h). Thread: the worker's.
 */
#ifndef PORTWAY_RELAYD_STREAM_TCP_LANE_H
#define PORTWAY_RELAYD_STREAM_TCP_LANE_H

#include "common/uv/flow.h"
#include "common/uv/slab.h"
#include "common/uv/stock.h"
#include "relayd/port/lane.h"
#include "relayd/port/port_kind.h"
#include "relayd/port/target.h"
#include "relayd/stream/farewell.h"
#include "relayd/tunnel/visits.h"

struct agents;
struct allowance;
struct client_gate;
struct doors;
struct tcp_lane;
struct quotas;

/* What the stream service keeps on one worker. */
struct tcp_desk {
	struct slab sessions;
	struct agents *agents; /* NULL: this relay takes none */
	struct quotas *quotas;
};

struct tcp_lane {
	struct lane base;
	struct flow_way way[2]; /* enum gate_way */
	struct stock stock;
	struct list sessions;
	struct target target;
	struct client_gate *client;  /* whose agent dials; NULL: none */
	struct client_gate *source;  /* on whose machine connections come in, if that is another one; NULL: none */
	struct allowance *allowance; /* of its owner's quota; NULL: none */
	struct doors *doors;         /* NULL: not accepting */
	struct visit_door visits;    /* closed, unless there is a source_client */
	struct timer pause;          /* accepting goes on then */
	/* Tells a client why it is sent away; takes fd. NULL: it is reset. */
	void (*farewell)(struct tcp_lane *l, int fd, enum farewell why);
	uint64_t mean_bytes; /* of the connections through an agent that ended lately */
};

extern const struct port_kind tcp_lane_kind;

/* For kinds whose connections come another way: they embed the desk and the lane, each first. */
void tcp_desk_init(struct tcp_desk *d, const struct service_env *env);
void tcp_desk_fini(struct tcp_desk *d);
void tcp_lane_init(struct tcp_lane *l, struct worker *w, void *desk, struct port *p);
void tcp_lane_fini(struct tcp_lane *l);
/* The functions of struct port_kind. */
void tcp_lane_set(struct lane *base);
void tcp_lane_cut(struct lane *base);
bool tcp_lane_list(struct lane *base, conn_info_fn fn, void *arg);
bool tcp_lane_cut_one(struct lane *base, uint64_t conn);

static inline struct tcp_desk *tcp_lane_desk(const struct tcp_lane *l)
{
	return l->base.desk;
}
static inline struct gate *tcp_lane_gate(const struct tcp_lane *l)
{
	return &l->base.port->gate;
}

#endif
