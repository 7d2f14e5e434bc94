/*
 * stock - what one owner (a mapping, a route) holds on one worker for far sides that do not take it: pipes with bytes in them, and
 * bytes in memory. All owners of a worker share its pipes, and a bound on those bytes, so that none takes it all (common/base/share.h).
 *
 * Owner: the mapping's or the route's, one on each worker; it outlives what is lent of it. Thread: the worker's.
 */
#ifndef PORTWAY_UV_STOCK_H
#define PORTWAY_UV_STOCK_H

#include "common/base/list.h"
#include "common/uv/pipe_pool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct worker;

struct stock {
	struct worker *worker;
	uint64_t kept; /* bytes in memory */
	unsigned n_pipes;
	struct list pipes; /* lent, that for longest first (pipe.own) */
};

void stock_init(struct stock *s, struct worker *w);

/* Whether n bytes more may wait in memory; that they do, that they do no more. */
bool stock_may_keep(const struct stock *s, size_t n);
void stock_keep(struct stock *s, size_t n);
void stock_forget(struct stock *s, size_t n);

/*
 * One of its own that is slow, if it has enough of them; else a free one, or anybody's that is slow. What is in a slow one is taken out
 * by whoever has it. NULL: there is none, and the caller copies.
 */
struct pipe *stock_lend(struct stock *s, pipe_empty_fn empty, void *user);
void stock_take_back(struct pipe *pipe, bool empty);

#endif
