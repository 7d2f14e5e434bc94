#define _GNU_SOURCE
#include "common/uv/pipe_pool.h"

#include "common/uv/fd_budget.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define RETRY_NS UINT64_C(1000000000)

void pipe_pool_init(struct pipe_pool *p, struct fd_budget *fds)
{
	*p = (struct pipe_pool){ .fds = fds };
}

static void pipe_close(struct pipe_pool *p, struct pipe *pipe)
{
	if (pipe->in >= 0) {
		close(pipe->in);
		close(pipe->out);
	}
	fd_budget_give(p->fds, 2);
	free(pipe);
	p->n_open--;
}

void pipe_pool_fini(struct pipe_pool *p)
{
	while (p->ready != NULL) {
		struct pipe *next = p->ready->next;

		pipe_close(p, p->ready);
		p->ready = next;
	}
	assert(p->n_open == 0);
}

/* A user who has used up fs.pipe-user-pages-soft gets pipes of a page or two: worse than copying. */
static int pipe_size(int fd)
{
	int size = fcntl(fd, F_SETPIPE_SZ, PIPE_SIZE_BIG);

	if (size < 0)
		size = fcntl(fd, F_GETPIPE_SZ);
	return size;
}

static struct pipe *pipe_open(struct pipe_pool *p)
{
	int ends[2], size;
	struct pipe *pipe;

	if (p->n_open >= PIPE_POOL_MAX || !fd_budget_take(p->fds, 2, FD_FOR_SESSIONS))
		return NULL;
	p->n_open++;
	pipe = malloc(sizeof *pipe);
	if (pipe == NULL || pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) {
		free(pipe);
		fd_budget_give(p->fds, 2);
		p->n_open--;
		return NULL;
	}
	size = pipe_size(ends[0]);
	*pipe = (struct pipe){ .in = ends[1], .out = ends[0], .size = size < 0 ? 0 : (uint32_t)size };
	if (pipe->size < PIPE_SIZE_MIN) {
		pipe_close(p, pipe);
		return NULL;
	}
	return pipe;
}

struct pipe *pipe_pool_get(struct pipe_pool *p, uint64_t now_ns)
{
	struct pipe *pipe = p->ready;

	if (pipe != NULL) {
		p->ready = pipe->next;
		p->n_ready--;
		return pipe;
	}
	if (now_ns < p->retry_ns)
		return NULL;
	pipe = pipe_open(p);
	if (pipe == NULL) {
		p->retry_ns = now_ns + RETRY_NS;
		p->refused++;
	}
	return pipe;
}

void pipe_pool_put(struct pipe_pool *p, struct pipe *pipe, bool empty)
{
	if (!empty || p->n_ready >= PIPE_POOL_KEEP) {
		pipe_close(p, pipe);
		return;
	}
	pipe->next = p->ready;
	p->ready = pipe;
	p->n_ready++;
}
