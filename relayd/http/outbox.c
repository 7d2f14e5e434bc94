#include "relayd/http/outbox.h"

#include "common/http/http_writer.h"
#include "common/uv/stock.h"

#include <assert.h>
#include <string.h>

#define SMALL      1024
#define PIECES_MAX 4 /* what waits; head of a chunk, content, its end */

uint8_t *outbox_room(struct outbox *o, struct blocks *bs, size_t n)
{
	assert(o->pipe == NULL);
	if (o->failed || block_grow(bs, &o->kept, n) != 0) {
		o->failed = true;
		return NULL;
	}
	return o->kept->bytes + o->kept->n;
}

void outbox_wrote(struct outbox *o, size_t n)
{
	o->kept->n += n;
}

/* Behind what waits: the pieces from byte `done` on. */
static void keep_rest(struct outbox *o, struct blocks *bs, const struct iovec *pieces, int n, size_t done)
{
	for (int i = 0; i < n; i++) {
		const size_t skip = MIN(done, pieces[i].iov_len);

		done -= skip;
		if (block_append(bs, &o->kept, (const uint8_t *)pieces[i].iov_base + skip, pieces[i].iov_len - skip) !=
			0)
			o->failed = true;
	}
	o->blocked = true;
}

/* What waits is gone. */
static void drop_kept(struct outbox *o, struct blocks *bs)
{
	if (o->owed > 0)
		stock_forget(o->stock, o->owed);
	o->owed = 0;
	block_put(bs, o->kept);
	o->kept = NULL;
}

/* How many of the bytes that the wire took were the pieces' and not those that waited. */
static size_t take_waiting(struct outbox *o, struct blocks *bs, size_t taken)
{
	const size_t gone = MIN(taken, block_waiting(o->kept));

	if (o->kept == NULL)
		return taken;
	o->kept->at += gone;
	if (o->kept->at == o->kept->n)
		drop_kept(o, bs);
	return taken - gone;
}

/* pieces[0] is for what waits. */
static void send_all(struct outbox *o, struct blocks *bs, struct wire *w, struct iovec *pieces, int n)
{
	const size_t waiting = block_waiting(o->kept);
	const int from = waiting > 0 ? 0 : 1;
	size_t all = 0, taken;
	ssize_t r;

	assert(n == 1 || o->pipe == NULL);
	if (o->failed || !wire_is_open(w))
		return;
	pieces[0] = (struct iovec){ waiting > 0 ? o->kept->bytes + o->kept->at : NULL, waiting };
	for (int i = 0; i < n; i++)
		all += pieces[i].iov_len;
	if (all == 0)
		return;
	r = o->blocked && !w->side.writable ? WIRE_AGAIN : wire_writev(w, &pieces[from], n - from);
	if (r == WIRE_FAILED) {
		o->failed = true;
		return;
	}
	taken = r > 0 ? (size_t)r : 0;
	o->sent += taken;
	o->blocked = false;
	if (taken < all)
		keep_rest(o, bs, &pieces[1], n - 1, take_waiting(o, bs, taken));
	else
		take_waiting(o, bs, taken);
}

/* Less than what the kernel takes to look at a second piece. */
static bool joins(struct outbox *o, struct http_span p)
{
	struct block *b = o->kept;

	if (block_waiting(b) == 0 || p.n == 0 || p.n > SMALL || p.n > b->cap - b->n)
		return false;
	memcpy(b->bytes + b->n, p.p, p.n);
	b->n += p.n;
	return true;
}

void outbox_put(struct outbox *o, struct blocks *bs, struct wire *w, struct http_span p)
{
	struct iovec pieces[PIECES_MAX];

	if (joins(o, p)) {
		outbox_flush(o, bs, w);
		return;
	}
	pieces[1] = (struct iovec){ (void *)(uintptr_t)p.p, p.n };
	send_all(o, bs, w, pieces, 2);
}

void outbox_put_chunk(struct outbox *o, struct blocks *bs, struct wire *w, struct http_span p)
{
	uint8_t head[HTTP_CHUNK_HEAD_MAX];
	struct iovec pieces[PIECES_MAX];

	if (p.n == 0)
		return;
	pieces[1] = (struct iovec){ head, http_writer_chunk_head(head, p.n) };
	pieces[2] = (struct iovec){ (void *)(uintptr_t)p.p, p.n };
	pieces[3] = (struct iovec){ (void *)(uintptr_t)HTTP_CHUNK_CRLF, 2 };
	send_all(o, bs, w, pieces, 4);
}

void outbox_put_last_chunk(struct outbox *o, struct blocks *bs, const struct http_head *trailers)
{
	const size_t room = 16 + (trailers != NULL ? trailers->pos : 0);
	uint8_t *at = outbox_room(o, bs, room);
	struct http_writer w;
	int n;

	if (at == NULL)
		return;
	at[0] = '0';
	at[1] = '\r';
	at[2] = '\n';
	http_writer_init(&w, at + 3, room - 3);
	if (trailers != NULL)
		http_writer_fields(&w, trailers, 0);
	n = http_writer_done(&w);
	outbox_wrote(o, 3 + (n > 0 ? (size_t)n : 0));
}

/* The bytes in it wait in memory from now on, behind what does already. */
static bool empty_pipe(struct pipe *pipe)
{
	struct outbox *o = pipe->user;

	if (!stock_may_keep(pipe->stock, o->piped) || block_grow(o->bs, &o->kept, o->piped) != 0)
		return false;
	pipe_take_all(pipe, o->kept->bytes + o->kept->n, o->piped);
	o->kept->n += o->piped;
	stock_keep(pipe->stock, o->piped);
	o->stock = pipe->stock;
	o->owed += o->piped;
	o->pipe = NULL;
	return true;
}

/* With what is left in it. */
static void drop_pipe(struct outbox *o)
{
	if (o->pipe != NULL)
		stock_take_back(o->pipe, o->piped == 0);
	o->pipe = NULL;
}

static void push_pipe(struct outbox *o, struct wire *w)
{
	const ssize_t r = o->blocked && !w->side.writable ? WIRE_AGAIN : w->ops->push(w, o->pipe, o->piped);

	if (r > 0) {
		o->sent += (uint64_t)r;
		o->piped -= (uint32_t)r;
	}
	o->blocked = o->piped > 0;
	o->failed = r == WIRE_FAILED;
}

void outbox_flush(struct outbox *o, struct blocks *bs, struct wire *w)
{
	struct iovec pieces[PIECES_MAX];

	send_all(o, bs, w, pieces, 1);
	if (o->pipe == NULL)
		return;
	if (!o->failed && o->kept == NULL && wire_is_open(w))
		push_pipe(o, w);
	if (o->failed || o->piped == 0)
		drop_pipe(o);
}

void outbox_put_pipe(struct outbox *o, struct blocks *bs, struct wire *w, struct pipe *pipe, size_t n)
{
	assert(o->pipe == NULL);
	pipe->empty = empty_pipe;
	pipe->user = o;
	o->pipe = pipe;
	o->piped = (uint32_t)n;
	o->bs = bs;
	outbox_flush(o, bs, w);
}

void outbox_fini(struct outbox *o, struct blocks *bs)
{
	drop_kept(o, bs);
	drop_pipe(o);
}
