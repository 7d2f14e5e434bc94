#include "common/uv/stock.h"

#include "common/base/share.h"
#include "common/uv/worker.h"

#define KEPT_MAX (64 * 1024 * 1024) /* of a worker */

void stock_init(struct stock *s, struct worker *w)
{
	*s = (struct stock){ .worker = w };
	list_init(&s->pipes);
}

bool stock_may_keep(const struct stock *s, size_t n)
{
	return share_lets(KEPT_MAX, s->worker->kept, s->kept, n);
}

void stock_keep(struct stock *s, size_t n)
{
	s->kept += n;
	s->worker->kept += n;
}

void stock_forget(struct stock *s, size_t n)
{
	s->kept -= n;
	s->worker->kept -= n;
}

/* The pipe, emptied for another one, if it was lent long ago. */
static struct pipe *take_slow(struct pipe_pool *pool, struct pipe *pipe, uint64_t now_ns)
{
	if (pipe == NULL || !pipe_is_slow(pipe, now_ns))
		return NULL;
	pipe_pool_renew(pool, pipe, now_ns);
	list_remove(&pipe->own);
	if (pipe->empty(pipe)) {
		pipe->stock->n_pipes--;
		return pipe;
	}
	list_push_back(&pipe->stock->pipes, &pipe->own); /* asked again when that is long ago */
	return NULL;
}

static struct pipe *first_own(struct stock *s)
{
	struct list *first = list_first(&s->pipes);

	return first != NULL ? CONTAINER_OF(first, struct pipe, own) : NULL;
}

static struct pipe *find_pipe(struct stock *s)
{
	struct pipe_pool *pool = &s->worker->pipes;
	const uint64_t now = s->worker->now_ns;
	struct pipe *pipe;

	if (!share_lets(PIPE_POOL_MAX, pool->n_lent, s->n_pipes, 1))
		return take_slow(pool, first_own(s), now);
	pipe = pipe_pool_get(pool, now);
	return pipe != NULL ? pipe : take_slow(pool, pipe_pool_first(pool), now);
}

struct pipe *stock_lend(struct stock *s, pipe_empty_fn empty, void *user)
{
	struct pipe *pipe = find_pipe(s);

	if (pipe == NULL)
		return NULL;
	pipe->stock = s;
	pipe->empty = empty;
	pipe->user = user;
	list_push_back(&s->pipes, &pipe->own);
	s->n_pipes++;
	return pipe;
}

void stock_take_back(struct pipe *pipe, bool empty)
{
	pipe->stock->n_pipes--;
	pipe_pool_put(&pipe->stock->worker->pipes, pipe, empty);
}
