/*
 * lane - a port on one worker: the configuration in force there, and how many connections it carries.
 *
 * Owner:  the worker; embedded at the front of the protocol's own lane. Thread: the worker's.
 * Ends:   lane_leave() when the mapping is gone; the lane is freed, and its port let go, once its last connection ended.
 */
#ifndef PORTWAY_RELAYD_PORT_LANE_H
#define PORTWAY_RELAYD_PORT_LANE_H

#include "common/uv/worker.h"
#include "relayd/conf/object.h"
#include "relayd/port/port.h"

struct lane {
	struct worker *worker;
	void *desk;
	struct port *port;
	const struct object *object; /* a reference */
	unsigned live;               /* connections or sessions */
	bool leaving;
	struct timer deadline; /* of a drain */
	struct task grave;
};

/* Takes references to the port and to its object. */
void lane_init(struct lane *l, struct worker *w, void *desk, struct port *p);
void lane_fini(struct lane *l);
void lane_set_object(struct lane *l, const struct object *o);
/* Connections may go on until then (UINT64_MAX: as long as they like, 0: not at all). The lane may be gone afterwards. */
void lane_leave(struct lane *l, uint64_t until_ns);

/* A connection came, a connection ended. */
void lane_add(struct lane *l);
void lane_remove(struct lane *l);

static inline const struct mapping_conf *lane_conf(const struct lane *l)
{
	return &l->object->mapping;
}

#endif
