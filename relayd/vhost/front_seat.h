/*
 * front_seat - a shared port on one worker: its listening sockets, the connections whose host is not known yet, and the names
 * that lead on.
 *
 * Owner: the front. Thread: the worker's; the control thread while no worker runs.
 */
#ifndef PORTWAY_RELAYD_VHOST_FRONT_SEAT_H
#define PORTWAY_RELAYD_VHOST_FRONT_SEAT_H

#include "common/uv/slab.h"
#include "common/uv/worker.h"
#include "relayd/vhost/host_map.h"

#define FRONT_LISTEN_MAX 16 /* addresses */

struct front_conf;
struct source_table;

/* X(name, what): what becomes of the connections of a shared port. */
#define FRONT_COUNTERS(X)                                                      \
	X(accepted, "connections to the shared port")                          \
	X(served, "of these, passed to a mapping")                             \
	X(unknown, "for a host that no mapping has")                           \
	X(bad, "that broke the rules of the protocol, or named no host")       \
	X(slow, "that did not say in time which host they are for")            \
	X(evicted, "that were silent longest, when too many had not said it")  \
	X(crowded, "from a source address with too many that had not said it") \
	X(resource, "for which there was no memory or descriptor")

enum front_counter {
#define X(name, what) FRONT_##name,
	FRONT_COUNTERS(X)
#undef X
		FRONT_COUNTERS_N
};

struct front_counts {
	uint64_t value[FRONT_COUNTERS_N];
	uint64_t waiting; /* now */
};

struct front_doors;

/* Listening sockets; of the front, which changes them while no seat listens. */
struct front_sockets {
	int fds[FRONT_LISTEN_MAX];
	unsigned n; /* 0: not open */
};

struct front_seat {
	struct worker *worker;
	const struct front_conf *conf;
	const struct front_sockets *sockets;
	struct source_table *sources; /* all seats share it */
	unsigned waiting_max;         /* of this worker */
	struct host_map hosts;
	struct vhost *other; /* takes the HTTP connections that are nobody's, and answers them; NULL: arrival.c does */
	struct slab arrivals;
	struct list waiting, leaving; /* arrivals, oldest first */
	struct front_doors *doors;    /* NULL: not accepting */
	struct timer pause;           /* accepting goes on then */
	struct front_counts counts;   /* written by the worker, read by any thread */
};

void front_seat_init(
	struct front_seat *s, struct worker *w, const struct front_conf *conf, struct source_table *sources);
/* Zeroed, or empty: everything was cut and is buried. */
void front_seat_fini(struct front_seat *s);
/*
 * Accepts at the front's sockets, if they are open and it does not yet; -1: out of memory or descriptors. Who calls it has put the
 * names in before: a host must not be unknown only because its mapping is the next one.
 */
int front_seat_listen(struct front_seat *s) MUST_CHECK;
/* Accepts no more; who is in the queue is served still. */
void front_seat_quiesce(struct front_seat *s);
/* Ends every connection whose host is not known. */
void front_seat_cut(struct front_seat *s);

static inline void front_count(struct front_seat *s, enum front_counter c)
{
	__atomic_store_n(&s->counts.value[c], s->counts.value[c] + 1, __ATOMIC_RELAXED);
}

#endif
