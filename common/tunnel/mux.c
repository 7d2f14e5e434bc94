#include "common/tunnel/mux.h"

#include "common/base/err.h"
#include "common/base/str.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define ID_STEP 2 /* each side has its own half of the ids */

void mux_init(struct mux *m, const struct mux_ops *ops, uint32_t first_id)
{
	*m = (struct mux){ .ops = ops, .next_id = first_id };
	map_init(&m->streams);
	buf_init(&m->out, MUX_OUT_MAX);
	buf_init(&m->whole, FRAME_DATAGRAM_MAX);
	list_init(&m->blocked);
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

static size_t waiting(const struct mux *m)
{
	return m->out.len - m->out_at;
}

/* Where frames are appended. */
static struct buf *out(struct mux *m)
{
	mux_pool_borrow(m->pool, &m->out);
	return &m->out;
}

/* Frames are appended whole or not at all; a link that cannot take one more is at its end. */
static void output(struct mux *m, size_t before)
{
	if (m->out.failed)
		m->fault = "the peer does not read";
	if (before == 0 && waiting(m) > 0)
		m->ops->on_output(m);
}

size_t mux_output(const struct mux *m, const uint8_t **p)
{
	*p = m->out.data + m->out_at;
	return waiting(m);
}

/* What is left moves to the front when it is less than what was sent, so no byte moves more than once. */
static void drop_sent(struct mux *m, size_t n)
{
	m->out_at += n;
	if (m->out_at < waiting(m))
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

/* ---- the life of a stream ----------------------------------------------------------------------------------------- */

static struct stream *find(const struct mux *m, uint32_t id)
{
	return map_get(&m->streams, &id, sizeof id);
}

static int stream_begin(struct stream *s, struct mux *m, uint32_t id, uint8_t kind)
{
	*s = (struct stream){
		.id = id, .kind = kind, .credit = MUX_WINDOW, .window = MUX_WINDOW, .granted = MUX_WINDOW
	};
	list_init(&s->blocked);
	if (map_count(&m->streams) >= MUX_STREAMS_MAX || map_put(&m->streams, &s->id, sizeof s->id, s, NULL) != 0)
		return -1;
	s->mux = m;
	return 0;
}

static void lend(struct mux *m, uint32_t more)
{
	m->lent += more;
	if (m->pool != NULL)
		m->pool->lent += more;
}

static void take_back(struct mux *m, uint32_t n)
{
	m->lent -= n;
	if (m->pool != NULL)
		m->pool->lent -= n;
}

static bool may_lend(const struct mux *m, uint32_t more)
{
	uint64_t left = MUX_POOL_MAX - (m->pool != NULL ? m->pool->lent : m->lent);

	return m->lent + more <= MIN(MUX_LEND_MAX, left / 2);
}

/* Out of the mux, with all that it holds. */
static void stream_forget(struct stream *s)
{
	struct mux *m = s->mux;

	map_remove(&m->streams, &s->id, sizeof s->id);
	list_remove(&s->blocked);
	if (s->window > MUX_WINDOW)
		take_back(m, s->window - MUX_WINDOW);
	if (m->current == s)
		m->current = NULL;
	free(s->kept);
	s->kept = NULL;
	s->kept_n = s->kept_at = s->kept_cap = 0;
	s->now_n = 0;
	s->mux = NULL;
}

/* Ids come round again after two thousand million streams; those that still live are passed over. */
static uint32_t next_id(struct mux *m)
{
	uint32_t id;

	do {
		id = m->next_id;
		m->next_id += ID_STEP;
		if (m->next_id < ID_STEP)
			m->next_id += ID_STEP; /* 0 is the link's */
	} while (find(m, id) != NULL);
	return id;
}

int stream_open(struct stream *s, struct mux *m, const struct frame_open *o, stream_event_fn on_event, void *owner)
{
	size_t before = waiting(m);

	if (m->fault != NULL || before >= MUX_OUT_MAX / 2 || stream_begin(s, m, next_id(m), o->kind) != 0)
		return -1;
	s->on_event = on_event;
	s->owner = owner;
	frame_open_put(out(m), s->id, o);
	output(m, before);
	return 0;
}

int stream_accept(
	struct stream *s, struct mux *m, uint32_t id, const struct frame_open *o, stream_event_fn on_event, void *owner)
{
	if (stream_begin(s, m, id, o->kind) != 0)
		return -1;
	s->on_event = on_event;
	s->owner = owner;
	return 0;
}

static void reset(struct mux *m, uint32_t id, uint16_t code, const char *reason)
{
	struct frame_end end = { .code = code };
	size_t before = waiting(m);

	str_copy(end.reason, sizeof end.reason, reason);
	frame_end_put(out(m), FRAME_RESET, id, &end);
	output(m, before);
}

void stream_refuse(struct mux *m, uint32_t id, uint16_t code, const char *reason)
{
	reset(m, id, code, reason);
}

static void bare(struct stream *s, enum frame_type type)
{
	size_t before = waiting(s->mux);

	frame_bare_put(out(s->mux), type, s->id);
	output(s->mux, before);
}

void stream_opened(struct stream *s)
{
	if (s->mux != NULL)
		bare(s, FRAME_OPENED);
}

void stream_close(struct stream *s, uint16_t code, const char *reason)
{
	struct mux *m = s->mux;
	bool ended = s->in_ended && s->out_ended && s->now_n + s->kept_n == 0;

	if (m == NULL)
		return;
	stream_forget(s);
	if (!ended)
		reset(m, s->id, code, reason);
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

/* ---- sending ------------------------------------------------------------------------------------------------------ */

static void wait_for_link(struct stream *s)
{
	if (list_empty(&s->blocked))
		list_push_back(&s->mux->blocked, &s->blocked);
}

size_t stream_room(struct stream *s)
{
	if (s->mux == NULL)
		return 0;
	if (s->credit == 0)
		s->short_of = true;
	else if (waiting(s->mux) >= MUX_OUT_HIGH)
		wait_for_link(s);
	else
		return MIN(s->credit, MUX_OUT_HIGH + FRAME_DATA_MAX - waiting(s->mux));
	return 0;
}

static void put_data(struct buf *b, enum frame_type type, uint32_t stream, const uint8_t *p, size_t n)
{
	uint8_t *at = buf_reserve(b, FRAME_HEAD + n);

	if (at == NULL)
		return;
	frame_put_head(at, type, (uint32_t)n, stream);
	if (at + FRAME_HEAD != p) /* else they were put there before: stream_space() */
		memcpy(at + FRAME_HEAD, p, n);
	b->len += FRAME_HEAD + n;
}

uint8_t *stream_space(struct stream *s, size_t n)
{
	uint8_t *at = s->mux != NULL ? buf_reserve(out(s->mux), FRAME_HEAD + n) : NULL;

	if (at != NULL && waiting(s->mux) == 0)
		s->mux->ops->on_output(s->mux); /* if nothing is put there, the memory goes back all the same */
	return at != NULL ? at + FRAME_HEAD : NULL;
}

size_t stream_send(struct stream *s, const uint8_t *p, size_t n)
{
	size_t room = MIN(n, stream_room(s)), left = room, before;

	if (room == 0)
		return 0;
	before = waiting(s->mux);
	for (; left > 0; left -= MIN(left, FRAME_DATA_MAX))
		put_data(out(s->mux), FRAME_DATA, s->id, p + (room - left), MIN(left, FRAME_DATA_MAX));
	s->credit -= (uint32_t)room;
	output(s->mux, before);
	if (room < n)
		stream_room(s); /* says what it waits for */
	return room;
}

bool stream_datagram(struct stream *s, const uint8_t *p, size_t n)
{
	size_t before;

	if (s->mux == NULL || n > FRAME_DATAGRAM_MAX || waiting(s->mux) >= MUX_OUT_HIGH)
		return false;
	before = waiting(s->mux);
	put_data(out(s->mux), FRAME_DATAGRAM, s->id, p, n);
	output(s->mux, before);
	return true;
}

void stream_finish(struct stream *s)
{
	if (s->mux == NULL || s->out_ended)
		return;
	s->out_ended = true;
	bare(s, FRAME_FIN);
}

void mux_sent(struct mux *m, size_t n)
{
	struct list due, *first;

	drop_sent(m, n);
	if (waiting(m) > MUX_OUT_LOW || list_empty(&m->blocked))
		return;
	list_init(&due);
	list_splice(&due, &m->blocked);
	while ((first = list_first(&due)) != NULL && waiting(m) < MUX_OUT_HIGH) {
		struct stream *s = CONTAINER_OF(first, struct stream, blocked);

		list_remove(first);
		s->on_event(s, EPOLLOUT);
	}
	/* Who did not get a turn is first the next time. */
	list_splice(&due, &m->blocked);
	list_splice(&m->blocked, &due);
}

/* ---- receiving ---------------------------------------------------------------------------------------------------- */

size_t stream_peek(const struct stream *s, const uint8_t **p)
{
	if (s->kept_n > 0) {
		*p = s->kept + s->kept_at;
		return s->kept_n;
	}
	*p = s->now;
	return s->now_n;
}

/* A reader that left nothing behind gets more, while the link has some to lend. */
static void widen(struct stream *s)
{
	uint32_t more = MIN(s->window, MUX_WINDOW_MAX - s->window);

	if (s->kept_n > 0 || !may_lend(s->mux, more))
		return;
	lend(s->mux, more);
	s->window += more;
}

static void grant(struct stream *s)
{
	size_t before = waiting(s->mux);
	uint32_t more;

	if (s->in_ended || s->taken < s->window / 2)
		return;
	widen(s);
	more = s->window - s->granted - s->kept_n - s->now_n;
	s->granted += more;
	s->taken = 0;
	frame_window_put(out(s->mux), s->id, more);
	output(s->mux, before);
}

void stream_take(struct stream *s, size_t n)
{
	uint32_t from_kept = (uint32_t)MIN(n, s->kept_n), from_now = (uint32_t)(n - from_kept);

	assert(from_now <= s->now_n);
	s->kept_at += from_kept;
	s->kept_n -= from_kept;
	if (s->kept_n == 0) {
		free(s->kept);
		s->kept = NULL;
		s->kept_at = s->kept_cap = 0;
	}
	s->now += from_now;
	s->now_n -= from_now;
	s->taken += (uint32_t)n;
	if (s->mux != NULL && s->kind == FRAME_TCP)
		grant(s);
}

/* At the end of what is kept, which is moved to the front when that makes room. */
static int keep(struct stream *s)
{
	uint32_t need = s->kept_n + s->now_n;

	if (s->kept_at > 0 && s->kept_at + need > s->kept_cap) {
		memmove(s->kept, s->kept + s->kept_at, s->kept_n);
		s->kept_at = 0;
	}
	if (s->kept_at + need > s->kept_cap) {
		uint32_t cap = MAX(need, MIN(2 * s->kept_cap, s->window));
		uint8_t *p = realloc(s->kept, cap);

		if (p == NULL)
			return -1;
		s->kept = p;
		s->kept_cap = cap;
	}
	memcpy(s->kept + s->kept_at + s->kept_n, s->now, s->now_n);
	s->kept_n = need;
	s->now_n = 0;
	return 0;
}

/* Told, and then what its owner left is kept; the owner may have closed it. */
static int tell(struct mux *m, struct stream *s, uint32_t events)
{
	m->current = s;
	s->on_event(s, events);
	s = m->current;
	m->current = NULL;
	if (s == NULL || s->now_n == 0)
		return 0;
	return keep(s) == 0 ? 0 : fault(m, "out of memory");
}

static int on_data(struct mux *m, struct stream *s, const uint8_t *p, uint32_t n)
{
	if (s->in_ended || s->kind != FRAME_TCP || n > s->granted)
		return fault(m, "bytes beyond the stream's end or window");
	s->granted -= n;
	s->now = p;
	s->now_n = n;
	if (s->kept_n > 0) /* its reader was told, and has not come */
		return keep(s) == 0 ? 0 : fault(m, "out of memory");
	return tell(m, s, EPOLLIN);
}

static int on_datagram(struct mux *m, struct stream *s, const uint8_t *p, uint32_t n)
{
	if (s->kind != FRAME_UDP)
		return fault(m, "a datagram on a stream of bytes");
	s->now = p;
	s->now_n = n;
	m->current = s;
	s->on_event(s, EPOLLIN);
	if (m->current == s)  /* its owner has not closed it */
		s->now_n = 0; /* a datagram is taken now or never */
	m->current = NULL;
	return 0;
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

static int on_reset(struct mux *m, struct stream *s, const uint8_t *p, uint32_t n)
{
	struct frame_end end;

	if (frame_end_get(&end, p, n) != 0)
		return fault(m, "a reset that cannot be read");
	stream_forget(s);
	s->code = end.code != 0 ? end.code : ERR_UNAVAILABLE;
	s->on_event(s, EPOLLERR | EPOLLHUP);
	return 0;
}

static int on_open(struct mux *m, uint32_t id, const uint8_t *p, uint32_t n)
{
	struct frame_open o;

	if (frame_open_get(&o, p, n) != 0 || find(m, id) != NULL || id % ID_STEP == m->next_id % ID_STEP)
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
	s = find(m, h->stream);
	if (s == NULL)
		return 0;
	switch (h->type) {
	case FRAME_OPENED:
		s->opened = true;
		return tell(m, s, EPOLLOUT);
	case FRAME_WINDOW:
		return on_window(m, s, p, h->n);
	case FRAME_FIN:
		if (s->in_ended)
			return fault(m, "a stream ended twice");
		s->in_ended = true;
		return tell(m, s, EPOLLIN | EPOLLRDHUP);
	case FRAME_RESET:
		return on_reset(m, s, p, h->n);
	default:
		return on_datagram(m, s, p, h->n);
	}
}

/* Part of a payload; how much of p was used, or -1. */
static ssize_t input_payload(struct mux *m, const uint8_t *p, size_t n)
{
	uint32_t part = (uint32_t)MIN(n, m->frame.n - m->got);
	int r;

	if (m->frame.type == FRAME_DATA) {
		struct stream *s = find(m, m->frame.stream);

		r = s != NULL && part > 0 ? on_data(m, s, p, part) : 0;
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

int mux_input(struct mux *m, const uint8_t *p, size_t n)
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
