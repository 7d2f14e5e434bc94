/*
 * pipe_pool - pipes for splice(2), lent out only while bytes are in them. One in which they lie for long is not needed there:
 * who wants it may empty it and have it.
 *
 * Owner:  the worker. Thread: the worker's.
 * Limits: PIPE_POOL_MAX pipes at once for a worker, and the kernel's own per user (fs.pipe-user-pages-soft). get()
 *         answers NULL beyond them and the caller copies instead; nothing fails.
 */
#ifndef PORTWAY_UV_PIPE_POOL_H
#define PORTWAY_UV_PIPE_POOL_H

#include "common/base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fd_budget;
struct stock;

#define PIPE_POOL_MAX  128
#define PIPE_POOL_KEEP 16 /* empty ones kept ready */
#define PIPE_SIZE_BIG  (256 * 1024)
#define PIPE_SIZE_MIN  (64 * 1024)
#define PIPE_LONG_NS   UINT64_C(100000000) /* to empty one: 2.5 MB/s, which may as well be copied */

struct pipe;
/* The user's bytes wait elsewhere from now on, and the pipe is empty. False: it cannot be. */
typedef bool (*pipe_empty_fn)(struct pipe *pipe);

struct pipe {
	int in, out;   /* write end, read end */
	uint32_t size; /* bytes it holds at most */
	struct pipe *next;
	/* While it is lent: */
	uint64_t lent_ns;
	struct list link, own; /* in the pool's, and in that of its owner (stock.h) */
	struct stock *stock;   /* the pool does not look at what follows */
	pipe_empty_fn empty;
	void *user;
};

struct pipe_pool {
	struct fd_budget *fds;
	struct pipe *ready;
	struct list lent; /* that for longest first */
	unsigned n_ready, n_lent, n_open;
	uint64_t retry_ns; /* after a refusal the kernel is not asked again before this */
};

void pipe_pool_init(struct pipe_pool *p, struct fd_budget *fds);
/* Every pipe has been put back. */
void pipe_pool_fini(struct pipe_pool *p);
struct pipe *pipe_pool_get(struct pipe_pool *p, uint64_t now_ns);
/* Of those that are lent, that for longest; NULL: none is. */
struct pipe *pipe_pool_first(struct pipe_pool *p);
/* Whether it has been lent for long. */
bool pipe_is_slow(const struct pipe *pipe, uint64_t now_ns);
/* Counts as lent just now: it was emptied for another one, or cannot be at the moment. */
void pipe_pool_renew(struct pipe_pool *p, struct pipe *pipe, uint64_t now_ns);
/* The n bytes that are in it, all of them. */
void pipe_take_all(struct pipe *pipe, uint8_t *dst, size_t n);
/* empty: nothing is left in it, so it may serve again. */
void pipe_pool_put(struct pipe_pool *p, struct pipe *pipe, bool empty);

#endif
