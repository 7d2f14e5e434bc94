/*
 * registry - which agents are here, over all workers: one entry for each instance of a client, with its links.
 *
 * Owner: the agents service. Thread: any (one lock, taken when a link comes or goes).
 */
#ifndef PORTWAY_RELAYD_TUNNEL_REGISTRY_H
#define PORTWAY_RELAYD_TUNNEL_REGISTRY_H

#include "common/base/macros.h"
#include "common/net/addr.h"
#include "common/tunnel/frame_hello.h"
#include "proto/client_state.h"

#include <stdbool.h>
#include <stdint.h>

struct registry;

#define REGISTRY_LINKS_MAX     4  /* of one instance on one worker */
#define REGISTRY_ALONE_MAX     64 /* of those, beside them, that carry one connection at a time */
#define REGISTRY_INSTANCES_MAX 64 /* of one client */
#define REGISTRY_KEPT_PART     4  /* of a client's links a quarter is only for those that carry many connections */

struct registry_conf {
	unsigned workers;
	uint64_t links_max; /* of one client, all its instances together: who has a secret has not all descriptors */
	/* An instance came or went; on whatever thread that was, with the lock held. */
	void (*on_change)(void *arg);
	void *arg;
};

int registry_new(struct registry **out, const struct registry_conf *conf) MUST_CHECK;
void registry_free(struct registry *r); /* NULL is fine */

enum registry_answer {
	REGISTRY_IN,
	REGISTRY_TOOK_OVER, /* in, and earlier epochs of this instance are to be cut */
	REGISTRY_OUTDATED,  /* a later epoch of this instance is here */
	REGISTRY_TAKEN,     /* the client may have one instance, and another one is here */
	REGISTRY_CROWDED,   /* it has enough links, or its client enough instances */
	REGISTRY_FULL,      /* its client has links_max of them */
	REGISTRY_NO_MEMORY,
};
/* A link for this instance: *worker is the one that has the fewest of it, or for one connection the one it asks for. */
enum registry_answer registry_enter(
	struct registry *r, const struct frame_hello *h, const struct addr *from, bool single, unsigned *worker);
/* False: a later epoch of the instance has come. */
bool registry_is_latest(struct registry *r, const struct frame_hello *h);
/* What registry_enter() let in has ended; of an earlier epoch it is not counted any more. */
void registry_leave(struct registry *r, const struct frame_hello *h, unsigned worker);

/* For a report; items are borrowed until the next call. */
void registry_states(struct registry *r, struct client_states *out);

#endif
