/*
 * target - where a mapping's connections go: an address, or a name and what it resolved to lately.
 *
 * Owner:  a lane. Thread: the worker's.
 * A name is asked for when a connection needs it and the last answer is older than TARGET_TTL_NS; all that come meanwhile
 * wait for the same answer. When the resolver fails, an older answer goes on serving.
 */
#ifndef PORTWAY_RELAYD_PORT_TARGET_H
#define PORTWAY_RELAYD_PORT_TARGET_H

#include "common/net/addr.h"
#include "common/uv/worker.h"

#define TARGET_TTL_NS UINT64_C(10000000000)
#define TARGETS_MAX   8 /* addresses of one name that are tried */

/* The addresses of one moment, in the order to try them; references, for a dial that goes on while the name changes. */
struct targets {
	unsigned refs, n;
	struct addr at[];
};
void targets_unref(struct targets *t); /* NULL is fine */

struct target_query;
struct target {
	struct worker *worker;
	const char *host;      /* borrowed from the lane's object */
	struct targets *known; /* NULL: nothing yet */
	uint64_t fresh_until_ns;
	struct target_query *query; /* under way */
	struct list waiting;        /* tasks */
};

void target_init(struct target *t, struct worker *w);
/* The waiting tasks have been taken back. */
void target_fini(struct target *t);
/* An IP literal or a name; what is known of the same host is kept. */
void target_set(struct target *t, const char *host);

enum target_answer { TARGET_KNOWN, TARGET_WAIT, TARGET_FAILED };
/* KNOWN: *out is a reference. WAIT: `wait` runs when it is worth asking again. */
enum target_answer target_get(struct target *t, struct task *wait, struct targets **out);

#endif
