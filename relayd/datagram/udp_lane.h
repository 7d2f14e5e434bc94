/*
 * udp_lane - the UDP ports of one mapping that one worker owns, and their sessions.
 *
 * A UDP port belongs to one worker (by its number), so everything that one client sends is in one place, in order. A hot
 * one has a group of sockets, spread over the workers, and the kernel gives each client's datagrams to the same of them
 * (port_socket_steer()). Sessions stand in the order of their last datagram: the first is the next to expire, and the one
 * to give way.
 *
 * Owner: the worker (relayd/port/lane.h). Thread: the worker's.
 */
#ifndef PORTWAY_RELAYD_DATAGRAM_UDP_LANE_H
#define PORTWAY_RELAYD_DATAGRAM_UDP_LANE_H

#include "common/base/map.h"
#include "common/net/rate.h"
#include "common/uv/slab.h"
#include "common/uv/udp_batch.h"
#include "relayd/datagram/udp_waiting.h"
#include "relayd/port/lane.h"
#include "relayd/port/port_kind.h"
#include "relayd/port/target.h"
#include "relayd/tunnel/visits.h"

struct agents;
struct allowance;
struct client_gate;
struct quotas;
struct udp_door;
struct udp_session;

/* What the datagram service keeps on one worker. */
struct udp_desk {
	struct slab sessions;
	struct agents *agents; /* NULL: this relay takes none */
	struct quotas *quotas;
	struct udp_batch *batch;
	struct udp_shelf waiting;
	bool segments; /* the kernel knows UDP_SEGMENT */
};

struct udp_lane {
	struct lane base;
	struct map by_client;           /* struct udp_key */
	struct list sessions;           /* longest silent first */
	struct timer expiry;            /* of the first */
	struct rate_slice slice[2];     /* enum gate_way */
	struct rate_slice shared[2][2]; /* of the clients' rates: the target's, the source's */
	struct allowance *allowance;    /* of its owner's quota; NULL: none */
	struct client_gate *client;     /* whose agent dials; NULL: none */
	struct client_gate *source;     /* on whose machine clients are, if that is another one; NULL: none */
	struct visit_door visits;       /* closed, unless there is a source_client */
	struct target target;
	struct udp_shelf waiting; /* for it */
	struct udp_doors *doors;  /* NULL: closed */
	bool quiet;               /* no new sessions; those there are end by themselves, but: */
	uint64_t quiet_idle_ns;   /* after so much silence */
	uint64_t quiet_until_ns;  /* at the latest then */
};

/* One socket of the mapping. */
struct udp_door {
	struct io io;
	struct udp_lane *lane;
	struct addr bound; /* "every address": the port only */
	uint16_t offset;   /* in the mapping's range */
	uint16_t member;   /* of the group, if the port is hot; else 0 */
	struct task again;
	struct udp_session *recent; /* who sent the last datagram */
};

extern const struct port_kind udp_lane_kind;

static inline struct udp_desk *udp_lane_desk(const struct udp_lane *l)
{
	return l->base.desk;
}
static inline struct gate *udp_lane_gate(const struct udp_lane *l)
{
	return &l->base.port->gate;
}
static inline void udp_lane_count(const struct udp_lane *l, enum meter_counter c, uint64_t n)
{
	meter_add(&udp_lane_gate(l)->slot, l->base.worker->index, c, n);
}
/* A session has spoken: it is the last to expire. */
void udp_lane_touch(struct udp_lane *l, struct list *session);

#endif
