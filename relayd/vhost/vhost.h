/*
 * vhost - a virtual host: who takes the connections that are for some host names of a shared port.
 *
 * A mapping's lane embeds one (vhost_lane.c); whatever else serves by host name does the same.
 * Owner: whoever embeds it, on one worker. Thread: the worker's.
 */
#ifndef PORTWAY_RELAYD_VHOST_VHOST_H
#define PORTWAY_RELAYD_VHOST_VHOST_H

#include "common/base/list.h"

#include <stdbool.h>

struct addr;
struct vhost;

struct vhost {
	/*
	 * A connection for one of its names; takes fd. Nothing was read from it: what it begins with is still in the kernel, with a
	 * PROXY header in front if `proxied`.
	 */
	void (*take)(struct vhost *v, int fd, const struct addr *from, bool proxied);
	struct list names; /* the map's entries */
};

static inline void vhost_init(struct vhost *v, void (*take)(struct vhost *, int, const struct addr *, bool))
{
	v->take = take;
	list_init(&v->names);
}

#endif
