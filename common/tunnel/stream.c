#include "common/tunnel/stream.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "common/tunnel/mux.h"
#include "common/tunnel/stream_zip.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_US UINT64_C(1000)

/* ---- its life ----------------------------------------------------------------------------------------------------- */

static int stream_begin(struct stream *s, struct mux *m, uint32_t id, uint8_t kind)
{
	*s = (struct stream){
		.id = id, .kind = kind, .credit = MUX_WINDOW, .window = MUX_WINDOW, .granted = MUX_WINDOW
	};
	list_init(&s->blocked);
	list_init(&s->wide);
	if (map_count(&m->streams) >= MUX_STREAMS_MAX || map_put(&m->streams, &s->id, sizeof s->id, s, NULL) != 0)
		return -1;
	s->mux = m;
	return 0;
}

/* Links of one worker share the memory that compressing takes; a stream that finds none is not compressed. */
static void want_zip(struct stream *s, const struct frame_open *o)
{
	struct mux_pool *pool = s->mux->pool;

	if (!o->zip || s->kind != FRAME_TCP || pool == NULL || pool->zips >= MUX_ZIPS_MAX)
		return;
	s->zip = stream_zip_new();
	if (s->zip != NULL)
		pool->zips++;
}

static void set(uint64_t *shared, uint64_t value)
{
	__atomic_store_n(shared, value, __ATOMIC_RELAXED);
}

static void lend(struct mux *m, uint32_t more)
{
	m->lent += more;
	if (m->pool != NULL)
		set(&m->pool->lent, m->pool->lent + more);
}

static void take_back(struct mux *m, uint32_t n)
{
	m->lent -= n;
	if (m->pool != NULL)
		set(&m->pool->lent, m->pool->lent - n);
}

static bool may_lend(const struct mux *m, uint32_t more)
{
	uint64_t left = MUX_POOL_MAX - (m->pool != NULL ? m->pool->lent : m->lent);

	return m->lent + more <= MIN(MUX_LEND_MAX, left / 2);
}

/* Out of the mux, with all that it holds. */
void stream_forget(struct stream *s)
{
	struct mux *m = s->mux;

	map_remove(&m->streams, &s->id, sizeof s->id);
	list_remove(&s->blocked);
	list_remove(&s->wide);
	if (s->window > MUX_WINDOW)
		take_back(m, s->window - MUX_WINDOW);
	if (m->current == s)
		m->current = NULL;
	if (s->kind == FRAME_UDP && m->pool != NULL)
		mux_pool_forget(m->pool, s);
	if (s->zip != NULL && m->pool != NULL)
		m->pool->zips--;
	stream_zip_free(s->zip);
	s->zip = NULL;
	free(s->kept);
	s->kept = NULL;
	s->kept_n = s->kept_at = s->kept_cap = 0;
	s->now_n = 0;
	s->mux = NULL;
	if (map_count(&m->streams) == 0 && m->fault == NULL && m->ops->on_idle != NULL)
		m->ops->on_idle(m);
}

/* Ids come round again after two thousand million streams; those that still live are passed over. */
static uint32_t next_id(struct mux *m)
{
	uint32_t id;

	do {
		id = m->next_id;
		m->next_id += MUX_ID_STEP;
		if (m->next_id < MUX_ID_STEP)
			m->next_id += MUX_ID_STEP; /* 0 is the link's */
	} while (mux_find(m, id) != NULL);
	return id;
}

int stream_open(struct stream *s, struct mux *m, const struct frame_open *o, stream_event_fn on_event, void *owner)
{
	size_t before = mux_waiting(m);
	struct frame_open offer = *o;

	if (m->fault != NULL || before >= MUX_OUT_MAX / 2 || stream_begin(s, m, next_id(m), o->kind) != 0)
		return -1;
	s->on_event = on_event;
	s->owner = owner;
	want_zip(s, o);
	offer.zip = s->zip != NULL;
	frame_open_put(mux_out(m), s->id, &offer);
	mux_wrote(m, before);
	return 0;
}

int stream_accept(
	struct stream *s, struct mux *m, uint32_t id, const struct frame_open *o, stream_event_fn on_event, void *owner)
{
	if (stream_begin(s, m, id, o->kind) != 0)
		return -1;
	s->on_event = on_event;
	s->owner = owner;
	want_zip(s, o);
	return 0;
}

static void reset(struct mux *m, uint32_t id, uint16_t code, const char *reason)
{
	struct frame_end end = { .code = code };
	size_t before = mux_waiting(m);

	str_copy(end.reason, sizeof end.reason, reason);
	frame_end_put(mux_out(m), FRAME_RESET, id, &end);
	mux_wrote(m, before);
}

void stream_refuse(struct mux *m, uint32_t id, uint16_t code, const char *reason)
{
	reset(m, id, code, reason);
}

static void bare(struct stream *s, enum frame_type type)
{
	size_t before = mux_waiting(s->mux);

	frame_bare_put(mux_out(s->mux), type, s->id);
	mux_wrote(s->mux, before);
}

void stream_opened(struct stream *s)
{
	size_t before;

	if (s->mux == NULL)
		return;
	before = mux_waiting(s->mux);
	s->zips = s->zip != NULL;
	frame_opened_put(mux_out(s->mux), s->id, s->zips);
	mux_wrote(s->mux, before);
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

/* ---- sending ------------------------------------------------------------------------------------------------------ */

static void wait_for_link(struct stream *s)
{
	if (list_empty(&s->blocked))
		list_push_back(&s->mux->blocked, &s->blocked);
}

/* Of the link; 0: what others have put there must leave first. */
static size_t link_room(const struct stream *s)
{
	const struct mux *m = s->mux;
	size_t waiting = mux_waiting(m);

	if (waiting < m->high)
		return m->high + MIN(m->high, FRAME_DATA_MAX) - waiting;
	return s->sent_to <= m->passed && waiting < 2 * m->high ? MUX_OUT_LITTLE : 0;
}

size_t stream_room(struct stream *s)
{
	size_t room = s->mux != NULL ? MIN(s->credit, link_room(s)) : 0;

	if (room > 0 || s->mux == NULL)
		return room;
	if (s->credit == 0)
		s->short_of = true;
	else
		wait_for_link(s);
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

/* Closed where it will be sent from. What cannot be is sent as it is. */
static void put_zipped(struct stream *s, const uint8_t *p, size_t n)
{
	struct buf *b = mux_out(s->mux);
	uint8_t *at;
	ssize_t closed;

	at = stream_zip_passes(s->zip, n) ? NULL : buf_reserve(b, FRAME_HEAD + stream_zip_bound(n));
	closed = at != NULL ? stream_zip_close(s->zip, at + FRAME_HEAD, p, n) : -1;
	if (closed < 0) {
		put_data(b, FRAME_DATA, s->id, p, n);
		return;
	}
	frame_put_head(at, FRAME_ZIPPED, (uint32_t)closed, s->id);
	b->len += FRAME_HEAD + (size_t)closed;
}

/* What is to be compressed is read elsewhere: it is not compressed in place. */
uint8_t *stream_space(struct stream *s, size_t n)
{
	uint8_t *at = s->mux != NULL && !s->zips ? buf_reserve(mux_out(s->mux), FRAME_HEAD + n) : NULL;

	if (at != NULL && mux_waiting(s->mux) == 0)
		s->mux->ops->on_output(s->mux); /* if nothing is put there, the memory goes back all the same */
	return at != NULL ? at + FRAME_HEAD : NULL;
}

size_t stream_send(struct stream *s, const uint8_t *p, size_t n)
{
	size_t room = MIN(n, stream_room(s)), left = room, before;

	if (room == 0)
		return 0;
	before = mux_waiting(s->mux);
	for (; left > 0; left -= MIN(left, FRAME_DATA_MAX)) {
		if (s->zips)
			put_zipped(s, p + (room - left), MIN(left, FRAME_DATA_MAX));
		else
			put_data(mux_out(s->mux), FRAME_DATA, s->id, p + (room - left), MIN(left, FRAME_DATA_MAX));
	}
	s->credit -= (uint32_t)room;
	s->sent_to = s->mux->passed + mux_waiting(s->mux);
	mux_wrote(s->mux, before);
	if (room < n)
		stream_room(s); /* says what it waits for */
	return room;
}

bool stream_datagram(struct stream *s, const uint8_t *p, size_t n)
{
	size_t before;

	if (s->mux == NULL || n > FRAME_DATAGRAM_MAX || link_room(s) == 0)
		return false;
	before = mux_waiting(s->mux);
	put_data(mux_out(s->mux), FRAME_DATAGRAM, s->id, p, n);
	s->sent_to = s->mux->passed + mux_waiting(s->mux);
	mux_wrote(s->mux, before);
	return true;
}

void stream_finish(struct stream *s)
{
	if (s->mux == NULL || s->out_ended)
		return;
	s->out_ended = true;
	bare(s, FRAME_FIN);
}

/* ---- receiving ---------------------------------------------------------------------------------------------------- */

unsigned stream_datagrams(const struct stream *s, struct iovec **d)
{
	*d = s->datagrams;
	return s->now_n;
}

size_t stream_peek(const struct stream *s, const uint8_t **p)
{
	if (s->kept_n > 0) {
		*p = s->kept + s->kept_at;
		return s->kept_n;
	}
	*p = s->now;
	return s->now_n;
}

bool stream_more(const struct stream *s)
{
	return s->mux != NULL && s->mux->current == s && s->mux->more && s->kept_n == 0;
}

/* What comes first begins the time that is measured, and is not within it. */
static void note_taken(struct stream *s, size_t n)
{
	if (s->since_ns != 0)
		s->took += n;
	else if (s->mux->now_ns != NULL)
		s->since_ns = *s->mux->now_ns;
}

/* What passes in a round trip, once one has gone by; 0: not yet. */
static uint64_t measure(struct stream *s)
{
	uint64_t round = MAX(s->mux->rtt_ns, MUX_ROUND_NS), past, each;

	if (s->since_ns == 0)
		return 0;
	past = *s->mux->now_ns - s->since_ns;
	if (past < round)
		return 0;
	each = s->took * (round / NS_PER_US) / (past / NS_PER_US);
	s->since_ns = *s->mux->now_ns;
	s->took = 0;
	return each;
}

/*
 * To twice what passes in a round trip, while the link has some to lend. As much more than passes as passes: one that is held up
 * by its window alone shows that by filling it. A reader that left something behind is not held up.
 */
static void widen(struct stream *s)
{
	const uint64_t twice = 2 * measure(s), wants = MIN(twice, MUX_WINDOW_MAX);
	uint32_t more;

	if (s->kept_n > 0 || wants <= s->window)
		return;
	more = (uint32_t)wants - s->window;
	if (!may_lend(s->mux, more)) {
		more = MIN(more, s->window);
		if (s->mux->pool != NULL)
			set(&s->mux->pool->short_of, s->mux->pool->short_of + 1);
	}
	if (!may_lend(s->mux, more))
		return;
	lend(s->mux, more);
	s->window += more;
	if (list_empty(&s->wide))
		list_push_back(&s->mux->wide, &s->wide);
}

static void grant(struct stream *s)
{
	size_t before = mux_waiting(s->mux);
	uint32_t more;

	if (s->in_ended || s->asked > 0 || s->taken < s->window / 2)
		return;
	s->busy = true;
	widen(s);
	more = s->window - s->granted - s->kept_n - s->now_n;
	s->granted += more;
	s->taken = 0;
	frame_window_put(mux_out(s->mux), s->id, more);
	mux_wrote(s->mux, before);
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
	if (s->mux == NULL || s->kind != FRAME_TCP)
		return;
	note_taken(s, n);
	grant(s);
}

/* ---- windows that are not needed ---------------------------------------------------------------------------------- */

/* To what may still come and what is kept. */
static void settle(struct stream *s)
{
	const uint32_t held = s->granted + s->kept_n + s->now_n, window = MAX(held, MUX_WINDOW);

	if (window >= s->window)
		return;
	take_back(s->mux, s->window - window);
	s->window = window;
	s->taken = window - held;
	s->since_ns = s->took = 0;
	if (s->mux->pool != NULL)
		set(&s->mux->pool->narrowed, s->mux->pool->narrowed + 1);
	if (window == MUX_WINDOW)
		list_remove(&s->wide);
}

int stream_look(struct stream *s, bool wanted)
{
	const bool idle = !s->busy;
	size_t before = mux_waiting(s->mux);

	s->busy = false;
	if (s->asked > 0 && !s->in_ended)
		return s->asked++ < MUX_LOOKS ? 0 : -1;
	if (!idle || !wanted)
		return 0;
	settle(s); /* what was kept, and was taken since */
	if (s->in_ended || s->granted <= MUX_WINDOW)
		return 0;
	s->asked = 1;
	frame_narrow_put(mux_out(s->mux), FRAME_NARROW, s->id, MUX_WINDOW);
	mux_wrote(s->mux, before);
	return 0;
}

void stream_on_narrow(struct stream *s, uint32_t keep)
{
	const uint32_t back = s->credit > keep ? s->credit - keep : 0;
	size_t before = mux_waiting(s->mux);

	s->credit -= back;
	frame_narrow_put(mux_out(s->mux), FRAME_NARROWED, s->id, back);
	mux_wrote(s->mux, before);
}

/* All that was sent before has come, and nothing was granted since it was asked: what is left is what the peer has. */
int stream_on_narrowed(struct stream *s, uint32_t bytes)
{
	if (s->in_ended)
		return 0;
	if (s->asked == 0 || bytes > s->granted || s->granted - bytes > MUX_WINDOW)
		return -1;
	s->asked = 0;
	s->granted -= bytes;
	settle(s);
	grant(s);
	return 0;
}

void stream_on_fin(struct stream *s)
{
	s->in_ended = true;
	s->granted = 0;
	if (s->window > MUX_WINDOW)
		settle(s);
}

/* At the end of what is kept, which is moved to the front when that makes room. */
int stream_keep(struct stream *s)
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
