#include "common/tunnel/mux_pool.h"

#include "common/base/buf.h"
#include "common/tunnel/frame.h"

#include <stdlib.h>

#define KEEP_MIN ((size_t)4 * 1024) /* less is quicker got from malloc */
#define KEEP_MAX ((size_t)512 * 1024)

void mux_pool_fini(struct mux_pool *p)
{
	while (p->n_spare > 0)
		free(p->spare[--p->n_spare].data);
	free(p->opened);
	p->opened = NULL;
}

void mux_pool_borrow(struct mux_pool *p, struct buf *b)
{
	if (p == NULL || p->n_spare == 0 || b->data != NULL)
		return;
	p->n_spare--;
	b->data = p->spare[p->n_spare].data;
	b->cap = p->spare[p->n_spare].cap;
}

void mux_pool_return(struct mux_pool *p, struct buf *b)
{
	if (p == NULL || p->n_spare == MUX_SPARES || b->cap < KEEP_MIN || b->cap > KEEP_MAX) {
		buf_free(b);
		return;
	}
	p->spare[p->n_spare].data = b->data;
	p->spare[p->n_spare].cap = b->cap;
	p->n_spare++;
	buf_init(b, b->max);
}

uint8_t *mux_pool_opened(struct mux_pool *p)
{
	if (p->opened == NULL)
		p->opened = malloc(FRAME_DATA_MAX + 1);
	return p->opened;
}

bool mux_pool_gather(struct mux_pool *p, struct stream *to, const uint8_t *at, size_t n)
{
	p->gathered[p->n_gathered].to = to;
	p->gathered[p->n_gathered].d = (struct iovec){ (void *)(uintptr_t)at, n };
	return ++p->n_gathered == MUX_DATAGRAMS;
}

unsigned mux_pool_next(struct mux_pool *p, struct stream **to, struct iovec d[MUX_DATAGRAMS])
{
	unsigned n = 0;

	*to = NULL;
	for (unsigned i = 0; i < p->n_gathered; i++) {
		if (*to == NULL)
			*to = p->gathered[i].to;
		if (*to == NULL || p->gathered[i].to != *to)
			continue;
		d[n++] = p->gathered[i].d;
		p->gathered[i].to = NULL;
	}
	if (n == 0)
		p->n_gathered = 0;
	return n;
}

void mux_pool_forget(struct mux_pool *p, const struct stream *to)
{
	for (unsigned i = 0; i < p->n_gathered; i++)
		if (p->gathered[i].to == to)
			p->gathered[i].to = NULL;
}
