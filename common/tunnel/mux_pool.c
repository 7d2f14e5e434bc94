#include "common/tunnel/mux_pool.h"

#include "common/base/buf.h"

#include <stdlib.h>

#define KEEP_MIN ((size_t)4 * 1024) /* less is quicker got from malloc */
#define KEEP_MAX ((size_t)512 * 1024)

void mux_pool_fini(struct mux_pool *p)
{
	while (p->n_spare > 0)
		free(p->spare[--p->n_spare].data);
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
