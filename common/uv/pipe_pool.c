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
	list_init(&p->lent);
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

	if (!fd_budget_take(p->fds, 2, FD_FOR_SESSIONS))
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
	list_init(&pipe->link);
	list_init(&pipe->own);
	if (pipe->size < PIPE_SIZE_MIN) {
		pipe_close(p, pipe);
		return NULL;
	}
	return pipe;
}

static struct pipe *take_ready(struct pipe_pool *p)
{
	struct pipe *pipe = p->ready;

	if (pipe != NULL) {
		p->ready = pipe->next;
		p->n_ready--;
	}
	return pipe;
}

static struct pipe *open_one(struct pipe_pool *p, uint64_t now_ns)
{
	struct pipe *pipe;

	if (p->n_open >= PIPE_POOL_MAX || now_ns < p->retry_ns)
		return NULL;
	pipe = pipe_open(p);
	if (pipe == NULL)
		p->retry_ns = now_ns + RETRY_NS;
	return pipe;
}

struct pipe *pipe_pool_get(struct pipe_pool *p, uint64_t now_ns)
{
	struct pipe *pipe = take_ready(p);

	if (pipe == NULL)
		pipe = open_one(p, now_ns);
	if (pipe != NULL) {
		pipe_pool_renew(p, pipe, now_ns);
		p->n_lent++;
	}
	return pipe;
}

struct pipe *pipe_pool_first(struct pipe_pool *p)
{
	struct list *first = list_first(&p->lent);

	return first != NULL ? CONTAINER_OF(first, struct pipe, link) : NULL;
}

bool pipe_is_slow(const struct pipe *pipe, uint64_t now_ns)
{
	return now_ns - pipe->lent_ns >= PIPE_LONG_NS;
}

void pipe_pool_renew(struct pipe_pool *p, struct pipe *pipe, uint64_t now_ns)
{
	pipe->lent_ns = now_ns;
	list_remove(&pipe->link);
	list_push_back(&p->lent, &pipe->link);
}

void pipe_take_all(struct pipe *pipe, uint8_t *dst, size_t n)
{
	while (n > 0) {
		const ssize_t r = read(pipe->out, dst, n);

		assert(r > 0); /* they are there */
		dst += r;
		n -= (size_t)r;
	}
}

void pipe_pool_put(struct pipe_pool *p, struct pipe *pipe, bool empty)
{
	list_remove(&pipe->link);
	list_remove(&pipe->own);
	p->n_lent--;
	if (!empty || p->n_ready >= PIPE_POOL_KEEP) {
		pipe_close(p, pipe);
		return;
	}
	pipe->next = p->ready;
	p->ready = pipe;
	p->n_ready++;
}
