/*
 * Long content of known length, from a backend's socket to the client's through a pipe: it stays in the kernel. As long as more than
 * H1_SPLICE_LEAST bytes of it are to come, nobody has to look at them, and there is a pipe; the rest of it, and all else, is read.
 * A backend that gives it in small pieces is read, too, until they are large again.
 */
#include "common/uv/stock.h"
#include "relayd/http/h1_back.h"

#define FEW        (16 * 1024)
#define FEWS       8 /* so many small ones in a row: reading is cheaper */
#define READ_LARGE (32 * 1024)
#define READ_PAYS  2 /* a large read makes good for so many: four of them, and it is spliced again */

static void note_splice(struct h1_back *b, size_t n)
{
	b->few = n < FEW ? (uint8_t)(b->few + 1) : 0;
	b->copies = b->few >= FEWS;
}

void h1_splice_note_read(struct h1_back *b, ssize_t n)
{
	if (n <= 0)
		return;
	if (n >= READ_LARGE)
		b->few = b->few > READ_PAYS ? (uint8_t)(b->few - READ_PAYS) : 0;
	else
		b->few = FEWS;
	b->copies = b->few > 0;
}

/* It moved none: the end or urgent data, of which only a read says more, nothing there now, or the connection is gone. */
static bool take_none(struct h1_back *b, struct pipe *pipe, ssize_t r, size_t *moved)
{
	stock_take_back(pipe, true);
	if (r == 0)
		return false;
	if (r == WIRE_FAILED)
		h1_back_fail(b, BACK_RESET);
	*moved = 0;
	return true;
}

bool h1_splice_some(struct h1_back *b, size_t *moved)
{
	struct exchange *x = b->base.x;
	const uint64_t left = http_reader_plain(&b->reader);
	struct pipe *pipe;
	size_t most;
	ssize_t n;

	if (b->copies || b->wire.side.urgent || !wire_splices(&b->wire) || !inbox_is_empty(&b->in))
		return false;
	pipe = exchange_lend_pipe(x, &most);
	if (pipe == NULL)
		return false;
	n = b->wire.ops->pull(&b->wire, b->desk->worker, pipe, MIN(left, most));
	if (n <= 0)
		return take_none(b, pipe, n, moved);
	*moved = (size_t)n;
	note_splice(b, (size_t)n);
	http_reader_pass(&b->reader, (uint64_t)n);
	exchange_on_piped(x, pipe, (size_t)n);
	return true;
}
