/*
 * inheritance - what a successor process gets from its predecessor: the folder's lock, the admin address, the
 * configuration, and every service's sockets.
 *
 * Owner: app, embedded. Thread: control thread; taking blocks, before anything is served.
 */
#ifndef PORTWAY_RELAYD_INHERITANCE_H
#define PORTWAY_RELAYD_INHERITANCE_H

#include "common/base/macros.h"
#include "relayd/handover/successor.h"

struct err;
struct services;
struct snapshot;

/* Names of the goods that belong to no service. */
#define GOODS_LOCK     "lock"
#define GOODS_ADMIN    "admin"
#define GOODS_SNAPSHOT "snapshot"

struct inheritance {
	struct successor *from;
	struct services *services;
	int lock_fd;               /* -1: none came; else whoever takes it sets it to -1 */
	int admin_fd;              /* the same */
	struct snapshot *snapshot; /* NULL: the predecessor had none */
};

/* fd: the socket to the predecessor. The services' sockets are adopted on the way. */
int inheritance_take(struct inheritance *in, int fd, struct services *services, struct err *e) MUST_CHECK;
/* Closes what nobody took; also of one that was never taken from (all zero). */
void inheritance_fini(struct inheritance *in);

#endif
