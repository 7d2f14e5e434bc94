/*
 * tcp_lane - a TCP port on one worker: accepts there, and holds the sessions that it accepted.
 *
 * Owner: the worker (relayd/port/lane.h). Thread: the worker's.
 */
#ifndef PORTWAY_RELAYD_STREAM_TCP_LANE_H
#define PORTWAY_RELAYD_STREAM_TCP_LANE_H

#include "common/uv/flow.h"
#include "common/uv/slab.h"
#include "relayd/port/lane.h"
#include "relayd/port/port_kind.h"
#include "relayd/port/target.h"

struct agents;
struct client_gate;
struct doors;

/* What the stream service keeps on one worker. */
struct tcp_desk {
	struct slab sessions;
	uint64_t last_id;
	struct agents *agents; /* NULL: this relay takes none */
	uint64_t kept;         /* bytes that the far sides did not take yet, outside of pipes */
};

struct tcp_lane {
	struct lane base;
	struct flow_way way[2]; /* enum gate_way */
	struct list sessions;
	struct target target;
	struct client_gate *client; /* whose agent dials; NULL: none */
	struct doors *doors;        /* NULL: not accepting */
	struct timer pause;         /* accepting goes on then */
};

extern const struct port_kind tcp_lane_kind;

static inline struct tcp_desk *tcp_lane_desk(const struct tcp_lane *l)
{
	return l->base.desk;
}
static inline struct gate *tcp_lane_gate(const struct tcp_lane *l)
{
	return &l->base.port->gate;
}

#endif
