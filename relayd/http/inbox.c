#include "relayd/http/inbox.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(INBOX_MAX + INBOX_READ <= WORKER_SCRATCH, "a turn has to fit the worker's buffer");

void inbox_look(struct inbox *in, struct worker *on)
{
	in->n = block_waiting(in->kept);
	in->p = on->scratch;
	if (in->n > 0)
		memcpy(on->scratch, in->kept->bytes + in->kept->at, in->n);
}

ssize_t inbox_fill(struct inbox *in, struct wire *w, struct worker *on)
{
	ssize_t r;

	inbox_look(in, on);
	r = wire_read(w, on, on->scratch + in->n, INBOX_READ);
	if (r > 0)
		in->n += (size_t)r;
	return r;
}

static int keep_table(struct inbox *in, const struct http_head *table)
{
	if (table == NULL) {
		free(in->partial);
		in->partial = NULL;
		return 0;
	}
	if (in->partial == table)
		return 0;
	if (in->partial == NULL && (in->partial = malloc(sizeof *in->partial)) == NULL)
		return -1;
	*in->partial = *table;
	return 0;
}

int inbox_keep(struct inbox *in, struct blocks *bs, const struct http_head *partial)
{
	struct block *b = in->kept;

	if (in->n == 0 || b == NULL || in->n > b->cap) {
		block_put(bs, b);
		in->kept = b = in->n > 0 ? block_get(bs, in->n) : NULL;
		if (in->n > 0 && b == NULL)
			return -1;
	}
	if (b == NULL)
		return keep_table(in, NULL);
	memcpy(b->bytes, in->p, in->n);
	b->at = 0;
	b->n = in->n;
	return keep_table(in, partial);
}

void inbox_fini(struct inbox *in, struct blocks *bs)
{
	block_put(bs, in->kept);
	free(in->partial);
	*in = (struct inbox){ .kept = NULL };
}
