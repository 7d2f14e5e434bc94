/*
 * object - one thing that a relay serves or knows (a mapping, a client, a pool, a route), decoded once and never changed.
 *
 * One that this build cannot run (a kind it does not know, a body it cannot decode) is an object too, of the kind
 * OBJECT_FAULTY: it is refused by id, and kept as it came, so that a newer relayd that inherits it may run it.
 *
 * Owner:  references; whoever runs an object holds one of its own.
 * Thread: made by the control thread; ref/unref from any thread (atomic).
 */
#ifndef PORTWAY_RELAYD_CONF_OBJECT_H
#define PORTWAY_RELAYD_CONF_OBJECT_H

#include "common/base/macros.h"
#include "proto/acme_conf.h"
#include "proto/cert_conf.h"
#include "proto/client_conf.h"
#include "proto/mapping_conf.h"
#include "proto/pool_conf.h"
#include "proto/route_conf.h"
#include "proto/ticket_conf.h"
#include "proto/update.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define OBJECT_FAULTY 0

struct object {
	uint8_t kind; /* enum object_kind, or OBJECT_FAULTY */
	char id[PROTO_ID_SIZE];
	uint64_t seq;
	union { /* by kind; all zero in an OBJECT_FAULTY */
		struct mapping_conf mapping;
		struct client_conf client;
		struct pool_conf pool;
		struct route_conf route;
		struct cert_conf cert;
		struct acme_conf acme;
		struct ticket_conf tickets;
	};
	const char *fault; /* kind OBJECT_FAULTY: why, a static string; else NULL */
	/* private */
	unsigned refs;
	uint8_t wire_kind;
	size_t body_n;
	uint8_t *body; /* as it came, for the last-good file */
};

/* Fails for lack of memory only. */
int object_new(struct object **out, const struct update_entry *entry, struct err *e) MUST_CHECK;
struct object *object_ref(const struct object *o);
void object_unref(const struct object *o); /* NULL is fine */
/* The entry says nothing new about o: same kind, sequence and body. */
bool object_is(const struct object *o, const struct update_entry *entry);

#endif
