#include "common/tunnel/mux.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "common/tunnel/stream_zip.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

void mux_init(struct mux *m, const struct mux_ops *ops, uint32_t first_id)
{
	*m = (struct mux){ .ops = ops, .next_id = first_id, .high = MUX_OUT_HIGH };
	map_init(&m->streams);
	buf_init(&m->out, MUX_OUT_MAX);
	buf_init(&m->whole, FRAME_ZIPPED_MAX);
	list_init(&m->blocked);
	list_init(&m->wide);
}

void mux_fini(struct mux *m)
{
	assert(map_count(&m->streams) == 0);
	map_free(&m->streams);
	mux_rest(m);
	buf_free(&m->whole);
}

size_t mux_count(const struct mux *m)
{
	return map_count(&m->streams);
}

static int fault(struct mux *m, const char *what)
{
	m->fault = what;
	return -1;
}

/* ---- what is to be sent ------------------------------------------------------------------------------------------- */

size_t mux_waiting(const struct mux *m)
{
	return m->out.len - m->out_at;
}

struct buf *mux_out(struct mux *m)
{
	mux_pool_borrow(m->pool, &m->out);
	return &m->out;
}

/* Frames are appended whole or not at all; a link that cannot take one more is at its end. */
void mux_wrote(struct mux *m, size_t waited)
{
	if (m->out.failed)
		m->fault = "the peer does not read";
	if (waited == 0 && mux_waiting(m) > 0)
		m->ops->on_output(m);
}

size_t mux_output(const struct mux *m, const uint8_t **p)
{
	*p = m->out.data + m->out_at;
	return mux_waiting(m);
}

/* What is left moves to the front when it is less than what was sent, so no byte moves more than once. */
static void drop_sent(struct mux *m, size_t n)
{
	m->passed += n;
	m->out_at += n;
	if (m->out_at < mux_waiting(m))
		return;
	buf_consume(&m->out, m->out_at);
	m->out_at = 0;
}

void mux_rest(struct mux *m)
{
	m->out_at = 0;
	buf_reset(&m->out);
	mux_pool_return(m->pool, &m->out);
}

struct stream *mux_find(const struct mux *m, uint32_t id)
{
	return map_get(&m->streams, &id, sizeof id);
}

/* ---- all streams --------------------------------------------------------------------------------------------------- */

/* Others are held up, or will be soon. */
static bool wants_back(const struct mux *m)
{
	return m->lent > MUX_LEND_MAX / 2 || (m->pool != NULL && m->pool->lent > MUX_POOL_MAX / 4);
}

int mux_look(struct mux *m)
{
	const bool wanted = wants_back(m);

	LIST_FOREACH_SAFE (it, &m->wide) {
		if (stream_look(CONTAINER_OF(it, struct stream, wide), wanted) != 0) {
			m->fault = "a window that was not given back";
			return -1;
		}
	}
	return m->fault == NULL ? 0 : -1;
}

void mux_break(struct mux *m)
{
	struct stream *s;
	size_t it = 0;

	m->fault = m->fault != NULL ? m->fault : "the link ended";
	while ((s = map_next(&m->streams, &it)) != NULL) {
		stream_forget(s);
		s->code = 0;
		s->on_event(s, EPOLLERR | EPOLLHUP);
	}
}

void mux_sent(struct mux *m, size_t n)
{
	struct list due, *first;

	drop_sent(m, n);
	if (mux_waiting(m) > m->high / MUX_OUT_LOW || list_empty(&m->blocked))
		return;
	list_init(&due);
	list_splice(&due, &m->blocked);
	while ((first = list_first(&due)) != NULL && mux_waiting(m) < m->high) {
		struct stream *s = CONTAINER_OF(first, struct stream, blocked);

		list_remove(first);
		s->on_event(s, EPOLLOUT);
	}
	/* Who did not get a turn is first the next time. */
	list_splice(&due, &m->blocked);
	list_splice(&m->blocked, &due);
}

/* ---- receiving ---------------------------------------------------------------------------------------------------- */

/* Told, and then what its owner left is kept; the owner may have closed it. */
static int tell(struct mux *m, struct stream *s, uint32_t events)
{
	m->current = s;
	s->on_event(s, events);
	s = m->current;
	m->current = NULL;
	if (s == NULL || s->now_n == 0)
		return 0;
	return stream_keep(s) == 0 ? 0 : fault(m, "out of memory");
}

static int on_data(struct mux *m, struct stream *s, const uint8_t *p, uint32_t n)
{
	if (s->in_ended || s->kind != FRAME_TCP || n > s->granted)
		return fault(m, "bytes beyond the stream's end or window");
	s->granted -= n;
	s->now = p;
	s->now_n = n;
	if (s->kept_n > 0) /* its reader was told, and has not come */
		return stream_keep(s) == 0 ? 0 : fault(m, "out of memory");
	return tell(m, s, EPOLLIN);
}

/* Datagrams are taken now or never. Their owner may close the stream, or any other. */
static void tell_datagrams(struct mux *m, struct stream *s, struct iovec *d, unsigned n)
{
	s->datagrams = d;
	s->now_n = n;
	m->current = s;
	s->on_event(s, EPOLLIN);
	if (m->current == s)
		s->now_n = 0;
	m->current = NULL;
}

static void tell_gathered(struct mux *m)
{
	struct iovec d[MUX_DATAGRAMS];
	struct stream *s;
	unsigned n;

	if (m->pool == NULL || m->pool->n_gathered == 0)
		return;
	while ((n = mux_pool_next(m->pool, &s, d)) > 0)
		tell_datagrams(m, s, d, n);
}

/* What lies in `whole` does so for this frame only. */
static int on_datagram(struct mux *m, struct stream *s, const uint8_t *p, uint32_t n)
{
	struct iovec d = { (void *)(uintptr_t)p, n };

	if (s->kind != FRAME_UDP)
		return fault(m, "a datagram on a stream of bytes");
	if (m->pool != NULL && p != m->whole.data) {
		if (mux_pool_gather(m->pool, s, p, n))
			tell_gathered(m);
		return 0;
	}
	tell_gathered(m);
	s = mux_find(m, m->frame.stream);
	if (s != NULL)
		tell_datagrams(m, s, &d, 1);
	return 0;
}

/* One opens to no more than one of DATA may have, so the window bounds what is compressed as well. */
static int on_zipped(struct mux *m, struct stream *s, const uint8_t *p, uint32_t n)
{
	uint8_t *opened = s->zips ? mux_pool_opened(m->pool) : NULL;
	ssize_t got;

	if (opened == NULL)
		return fault(m, s->zips ? "out of memory" : "compressed bytes that were not agreed on");
	got = stream_zip_open(s->zip, opened, FRAME_DATA_MAX, p, n);
	if (got < 0)
		return fault(m, "compressed bytes that cannot be opened");
	return got > 0 ? on_data(m, s, opened, (uint32_t)got) : 0;
}

static int on_opened(struct mux *m, struct stream *s, const uint8_t *p, uint32_t n)
{
	bool zip;

	if (frame_opened_get(&zip, p, n) != 0 || (zip && s->zip == NULL))
		return fault(m, "a stream that cannot be open so");
	s->opened = true;
	s->zips = zip;
	return tell(m, s, EPOLLOUT);
}

static int on_window(struct mux *m, struct stream *s, const uint8_t *p, uint32_t n)
{
	uint32_t more;

	if (frame_window_get(&more, p, n) != 0 || more > UINT32_MAX - s->credit)
		return fault(m, "a window that cannot be");
	s->credit += more;
	if (!s->short_of)
		return 0;
	s->short_of = false;
	return tell(m, s, EPOLLOUT);
}

static int on_narrow(struct mux *m, struct stream *s, const uint8_t *p, const struct frame_head *h)
{
	uint32_t bytes;

	if (frame_narrow_get(&bytes, p, h->n) != 0)
		return fault(m, "a window that cannot be");
	if (h->type == FRAME_NARROW)
		stream_on_narrow(s, bytes);
	else if (stream_on_narrowed(s, bytes) != 0)
		return fault(m, "a window that was not given back");
	return m->fault == NULL ? 0 : -1;
}

static int on_reset(struct mux *m, struct stream *s, const uint8_t *p, uint32_t n)
{
	struct frame_end end;

	if (frame_end_get(&end, p, n) != 0)
		return fault(m, "a reset that cannot be read");
	stream_forget(s);
	s->code = end.code != 0 ? end.code : ERR_UNAVAILABLE;
	str_make_utf8(end.reason);
	m->why = end.reason;
	s->on_event(s, EPOLLERR | EPOLLHUP);
	m->why = NULL;
	return 0;
}

static int on_open(struct mux *m, uint32_t id, const uint8_t *p, uint32_t n)
{
	struct frame_open o;

	if (frame_open_get(&o, p, n) != 0 || mux_find(m, id) != NULL || id % MUX_ID_STEP == m->next_id % MUX_ID_STEP)
		return fault(m, "a stream that cannot be opened so");
	if (m->ops->on_open == NULL)
		stream_refuse(m, id, ERR_FORBIDDEN, "streams are opened from the other side");
	else
		m->ops->on_open(m, id, &o);
	return 0;
}

/* Frames of a stream that has ended here were under way; they are no fault. */
static int on_frame(struct mux *m, const struct frame_head *h, const uint8_t *p)
{
	struct stream *s;

	if (h->stream == 0)
		return m->ops->on_control(m, h, p) == 0 ? 0 : fault(m, "a frame out of turn");
	if (h->type == FRAME_OPEN)
		return on_open(m, h->stream, p, h->n);
	s = mux_find(m, h->stream);
	if (s != NULL && s->kind == FRAME_UDP && h->type != FRAME_DATAGRAM) {
		tell_gathered(m);
		s = mux_find(m, h->stream);
	}
	if (s == NULL)
		return 0;
	switch (h->type) {
	case FRAME_OPENED:
		return on_opened(m, s, p, h->n);
	case FRAME_WINDOW:
		return on_window(m, s, p, h->n);
	case FRAME_FIN:
		if (s->in_ended)
			return fault(m, "a stream ended twice");
		stream_on_fin(s);
		return tell(m, s, EPOLLIN | EPOLLRDHUP);
	case FRAME_NARROW:
	case FRAME_NARROWED:
		return on_narrow(m, s, p, h);
	case FRAME_RESET:
		return on_reset(m, s, p, h->n);
	case FRAME_ZIPPED:
		return on_zipped(m, s, p, h->n);
	default:
		return on_datagram(m, s, p, h->n);
	}
}

/* Whether what is at p, which may be nothing, is the begin of another piece of the same stream. */
static bool goes_on(const struct mux *m, const uint8_t *p, size_t n)
{
	struct frame_head next;

	return n > FRAME_HEAD && frame_get_head(&next, p) == 0 && next.type == FRAME_DATA && next.n > 0 &&
	       next.stream == m->frame.stream;
}

/* Part of a payload; how much of p was used, or -1. */
static ssize_t input_payload(struct mux *m, const uint8_t *p, size_t n)
{
	uint32_t part = (uint32_t)MIN(n, m->frame.n - m->got);
	int r;

	if (m->frame.type == FRAME_DATA) {
		struct stream *s = mux_find(m, m->frame.stream);

		m->more = goes_on(m, p + part, n - part);
		r = s != NULL && part > 0 ? on_data(m, s, p, part) : 0;
		m->more = false;
		m->got += part;
	} else if (m->got == 0 && part == m->frame.n) { /* whole where it lies */
		m->got = part;
		r = on_frame(m, &m->frame, p);
	} else {
		buf_put(&m->whole, p, part);
		m->got += part;
		r = m->whole.failed ? fault(m, "out of memory") : 0;
		if (r == 0 && m->got == m->frame.n)
			r = on_frame(m, &m->frame, m->whole.data);
	}
	return r == 0 ? (ssize_t)part : -1;
}

static void next_frame(struct mux *m)
{
	m->head_n = 0;
	m->got = 0;
	if (m->whole.cap > FRAME_CONTROL_MAX)
		buf_free(&m->whole);
	buf_reset(&m->whole);
}

static int take_input(struct mux *m, const uint8_t *p, size_t n)
{
	while (n > 0 && m->fault == NULL) {
		ssize_t used = (ssize_t)MIN(n, (size_t)FRAME_HEAD - m->head_n);

		if (used > 0) {
			memcpy(m->head + m->head_n, p, (size_t)used);
			m->head_n += (uint8_t)used;
			if (m->head_n == FRAME_HEAD && frame_get_head(&m->frame, m->head) != 0)
				return fault(m, "not a frame");
			if (m->head_n == FRAME_HEAD && m->frame.n == 0 && input_payload(m, p, 0) < 0)
				return -1;
		} else {
			used = input_payload(m, p, n);
			if (used < 0)
				return -1;
		}
		p += used;
		n -= (size_t)used;
		if (m->head_n == FRAME_HEAD && m->got == m->frame.n)
			next_frame(m);
	}
	return m->fault == NULL ? 0 : -1;
}

int mux_input(struct mux *m, const uint8_t *p, size_t n)
{
	int r = take_input(m, p, n);

	tell_gathered(m);
	return r;
}
