/*
 * port_kind - what TCP and UDP each bring to a port; everything else about ports is the same for both.
 *
 * A lane is a port on one worker: the protocol embeds struct lane and does the forwarding in it.
 * Thread: desk_*: control thread while no worker runs. lane_*: the worker's own.
 */
#ifndef PORTWAY_RELAYD_PORT_PORT_KIND_H
#define PORTWAY_RELAYD_PORT_PORT_KIND_H

#include "relayd/loop/service.h"

struct err;
struct lane;
struct port;
struct worker;

/* Why a lane begins nothing new while its sockets stay. */
enum lane_quiet {
	QUIET_ENDING,  /* the process ends */
	QUIET_YIELDED, /* a successor has the sockets too */
	QUIET_DELETED, /* the mapping is gone; lane_leave() says how long its sessions may go on */
};

struct port_kind {
	const char *name;  /* front of a socket's key: "tcp" */
	uint8_t protocol;  /* enum mapping_protocol; */
	uint8_t also;      /* and another one; 0: none */
	unsigned conn_fds; /* descriptors of a connection */

	/* What the protocol keeps on each worker for all its lanes: slabs, buffers. NULL: out of memory. */
	void *(*desk_new)(struct worker *w, const struct service_env *env);
	void (*desk_free)(void *desk);

	/* Without sockets of its own: holds what it needs instead, in p->claim. NULL: it has sockets. */
	int (*claim)(struct port *p, const struct service_env *env, struct err *e);
	void (*release)(struct port *p, const struct service_env *env); /* any number of times */

	/* Whether a worker serves the socket p->fds[fd_index]; NULL: every worker serves all. */
	bool (*owns)(const struct port *p, unsigned fd_index, unsigned worker);
	/* Allocates, ends with lane_init(). NULL: out of memory. */
	struct lane *(*lane_new)(struct worker *w, void *desk, struct port *p);
	void (*lane_free)(struct lane *l);
	/* The port's sockets are there: serve them. -1: out of memory or descriptors; the port is off then. */
	int (*lane_open)(struct lane *l);
	/* Leave the sockets alone: they are closed next. */
	void (*lane_shut)(struct lane *l);
	/* Begin nothing new, the sockets stay. NULL: nothing goes on through them, so lane_shut() does. */
	void (*lane_quiesce)(struct lane *l, enum lane_quiet why);
	/* lane->object is another one. */
	void (*lane_set)(struct lane *l);
	/* End every connection now. */
	void (*lane_cut)(struct lane *l);
	/* false: fn has enough. */
	bool (*lane_list)(struct lane *l, conn_info_fn fn, void *arg);
	/* End this connection, if it is here. */
	bool (*lane_cut_one)(struct lane *l, uint64_t conn);
	/* Sessions that outlive the process (UDP); NULL: none. */
	int (*lane_hand_over)(struct lane *l, handover_fn fn, void *arg);
	/* One of these, of the socket p->fds[fd_index]; takes the descriptor in any case. */
	void (*lane_adopt)(struct lane *l, unsigned fd_index, const struct handover_socket *s);
};

static inline bool port_kind_takes(const struct port_kind *k, uint8_t protocol)
{
	return protocol == k->protocol || (k->also != 0 && protocol == k->also);
}

#endif
