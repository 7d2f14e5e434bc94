/*
 * pipe_pool - pipes for splice(2), lent out only while bytes are in them.
 *
 * Owner:  the worker. Thread: the worker's.
 * Limits: PIPE_POOL_MAX pipes at once for a worker, and the kernel's own per user (fs.pipe-user-pages-soft). get()
 *         answers NULL beyond them and the caller copies instead; nothing fails.
 */
#ifndef PORTWAY_UV_PIPE_POOL_H
#define PORTWAY_UV_PIPE_POOL_H

#include <stdbool.h>
#include <stdint.h>

struct fd_budget;

#define PIPE_POOL_MAX  128
#define PIPE_POOL_KEEP 16 /* empty ones kept ready */
#define PIPE_SIZE_BIG  (256 * 1024)
#define PIPE_SIZE_MIN  (64 * 1024)

struct pipe {
	int in, out;   /* write end, read end */
	uint32_t size; /* bytes it holds at most */
	struct pipe *next;
};

struct pipe_pool {
	struct fd_budget *fds;
	struct pipe *ready;
	unsigned n_ready, n_open;
	uint64_t retry_ns; /* after a refusal the kernel is not asked again before this */
	uint64_t refused;
};

void pipe_pool_init(struct pipe_pool *p, struct fd_budget *fds);
/* Every pipe has been put back. */
void pipe_pool_fini(struct pipe_pool *p);
struct pipe *pipe_pool_get(struct pipe_pool *p, uint64_t now_ns);
/* empty: nothing is left in it, so it may serve again. */
void pipe_pool_put(struct pipe_pool *p, struct pipe *pipe, bool empty);

#endif
