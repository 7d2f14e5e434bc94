/*
 * port - one mapping on this relay: its sockets, what its connections share, its lane on each worker.
 *
 *   OFF <-----> OPEN       off: suspended, expired, refused, or not opened yet
 *    |            |
 *    +-> GONE <---+        the mapping was deleted; connections may still end in peace. Where they need the sockets (UDP),
 *                          these stay until the last one has ended, or another mapping is given the port.
 *
 * Owner:  the port service (while it knows the mapping) and each lane, by references.
 * Thread: control thread; workers read kind, gate, and, inside the calls of port_kind, object, sockets and their own lane.
 * Ends:   with the last reference, which a worker may drop: then the control thread frees it.
 */
#ifndef PORTWAY_RELAYD_PORT_PORT_H
#define PORTWAY_RELAYD_PORT_PORT_H

#include "common/base/list.h"
#include "proto/msg.h"
#include "relayd/limit/gate.h"

struct adopted;
struct err;
struct fd_budget;
struct lane;
struct object;
struct port_kind;

enum port_state { PORT_OFF, PORT_OPEN, PORT_GONE };

struct port {
	const struct port_kind *kind;
	char id[PROTO_ID_SIZE];
	const struct object *object; /* the newest; a reference */
	struct gate gate;
	int state;

	/* Listening sockets: group of them for each port number, first number first. */
	int *fds;
	unsigned n_fds;
	unsigned group; /* 1; of a hot mapping, as many as there were workers when it was opened */
	void *claim;    /* of a kind without sockets: what it holds instead */

	/* The port service's; the links are of its lists. */
	struct list todo, waiting, gone, unused;
	const struct object *next; /* borrowed during a change */
	unsigned steps;            /* what the change under way asks of the lanes */
	uint64_t leave_ns;         /* until when the connections of a deleted mapping may go on */
	uint64_t retry_ms;         /* monotonic; 0: no retry */
	unsigned attempt;          /* openings that failed in a row */
	unsigned failed;           /* atomic: a lane could not open */
	bool refused, metered;

	unsigned refs;                                /* atomic */
	void (*on_unused)(struct port *p, void *arg); /* any thread */
	void *arg;
	unsigned n_lanes;
	struct lane *lanes[]; /* by worker */
};

int port_new(struct port **out, const struct port_kind *kind, const struct object *o, unsigned workers) MUST_CHECK;
struct port *port_ref(struct port *p);
/* Any thread. on_unused is called with the last one, else port_free(). */
void port_unref(struct port *p);
void port_free(struct port *p);

void port_set_object(struct port *p, const struct object *o);
/* Same sockets (address, port numbers and grouping), same host names. */
bool port_same_sockets(const struct object *a, const struct object *b);
/* They have a port number in common. */
bool port_overlaps(const struct object *a, const struct object *b);
/* All of the mapping's sockets or none. Those that a predecessor handed over are used first. */
int port_open_sockets(struct port *p, struct adopted *adopted, struct fd_budget *fds, struct err *e) MUST_CHECK;
void port_close_sockets(struct port *p, struct fd_budget *fds);
/* Number in the mapping's range of a socket: its place in fds, by port number. */
static inline unsigned port_offset(const struct port *p, unsigned fd_index)
{
	return fd_index / p->group;
}
/* Whether a worker serves this socket of a group. Each member has just one, also when a predecessor had more workers. */
static inline bool port_serves_member(const struct port *p, unsigned fd_index, unsigned worker)
{
	return fd_index % p->group % p->n_lanes == worker;
}

#endif
