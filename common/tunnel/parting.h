/*
 * parting - connections on which all has been said: each stays until the peer has closed it as well.
 *
 * A socket that is closed while something lies in it unread, or that gets something later, answers with RST and forgets what
 * it has not delivered yet. Where packets get lost that is the last words. So its writing side is shut, what still comes is
 * thrown away, and it goes when the peer has: after PARTING_NS, or PARTING_BYTES, or when others need its place, at the latest.
 *
 * Owner:  a tunnel_desk. Thread: the worker's; partings_fini() also after it was joined.
 * Each holds its descriptor's place in the worker's fd_budget.
 */
#ifndef PORTWAY_TUNNEL_PARTING_H
#define PORTWAY_TUNNEL_PARTING_H

#include "common/base/list.h"

#define PARTING_NS     UINT64_C(3000000000)
#define PARTING_BYTES  (16u * 1024 * 1024)
#define PARTINGS_MAX   256
#define PARTING_END_MS 500 /* at the process's end, for all of them */

struct io;
struct worker;

struct partings {
	struct list all; /* the oldest first */
	unsigned n;
};

void partings_init(struct partings *all);
/* Waits for their peers, for a moment. Before the worker's end. */
void partings_fini(struct partings *all);
/* The descriptor of an io in w's epoll; its place in the budget as well. */
void partings_take(struct partings *all, struct worker *w, struct io *from);
/* Now, whatever their peers have not got yet. */
void partings_cut(struct partings *all);

#endif
