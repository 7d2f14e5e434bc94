/*
 * mux_way - two ends of a link without a socket between them: streams that are opened here and read there.
 */
#ifndef PORTWAY_TESTS_MUX_WAY_H
#define PORTWAY_TESTS_MUX_WAY_H

#include "common/tunnel/mux.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/epoll.h>

#include <cmocka.h>

#define STREAMS 32
#define PIECE   ((size_t)64 * 1024)

/* Streams that are opened here and read there: all of what comes, or nothing of it. */
struct way {
	struct mux from, to;
	struct stream out[STREAMS], in[STREAMS];
	unsigned n;
	bool lazy;
	uint64_t now_ns;
};

static inline void on_output(struct mux *m)
{
	(void)m;
}

static inline int on_control(struct mux *m, const struct frame_head *h, const uint8_t *payload)
{
	(void)m, (void)h, (void)payload;
	return -1;
}

static inline void on_read(struct stream *s, uint32_t events)
{
	const struct way *w = s->owner;
	const uint8_t *p;
	size_t n;

	while (!w->lazy && (events & EPOLLIN) && (n = stream_peek(s, &p)) > 0)
		stream_take(s, n);
}

static inline void on_written(struct stream *s, uint32_t events)
{
	(void)s, (void)events;
}

static inline void on_open(struct mux *m, uint32_t id, const struct frame_open *o)
{
	struct way *w = CONTAINER_OF(m, struct way, to);

	assert_int_equal(stream_accept(&w->in[w->n++], m, id, o, on_read, w), 0);
}

static const struct mux_ops from_ops = { .on_control = on_control, .on_output = on_output };
static const struct mux_ops to_ops = { .on_open = on_open, .on_control = on_control, .on_output = on_output };

static inline void way_start(struct way *w, struct mux_pool *pool)
{
	const struct frame_open o = { .kind = FRAME_TCP, .mapping = "map_1", .host = "h", .port = 1 };

	*w = (struct way){ .n = 0 };
	mux_init(&w->from, &from_ops, 2);
	mux_init(&w->to, &to_ops, 1);
	w->to.pool = pool;
	w->now_ns = 1;
	w->to.now_ns = &w->now_ns;
	for (unsigned i = 0; i < STREAMS; i++)
		assert_int_equal(stream_open(&w->out[i], &w->from, &o, on_written, w), 0);
}

static inline void way_end(struct way *w)
{
	mux_break(&w->from);
	mux_break(&w->to);
	mux_fini(&w->from);
	mux_fini(&w->to);
}

static inline void carry(struct mux *from, struct mux *to)
{
	const uint8_t *p;
	size_t n;

	while ((n = mux_output(from, &p)) > 0) {
		assert_int_equal(mux_input(to, p, n), 0);
		mux_sent(from, n);
	}
}

/* At most so much, as its window allows, in one round trip of the link. */
static inline uint64_t send_round(struct way *w, unsigned i, uint64_t most)
{
	static const uint8_t piece[PIECE];
	uint64_t sent = 0, n;

	do {
		n = stream_send(&w->out[i], piece, MIN(sizeof piece, most - sent));
		sent += n;
		carry(&w->from, &w->to);
	} while (n > 0 && sent < most);
	return sent;
}

/* As much as all windows let through, round by round, until nothing more passes or `most` has. */
static inline uint64_t fill(struct way *w, uint64_t most)
{
	uint64_t sent = 0, before;

	do {
		before = sent;
		for (unsigned i = 0; i < STREAMS; i++)
			sent += send_round(w, i, UINT64_MAX);
		carry(&w->to, &w->from);
		w->now_ns += MUX_ROUND_NS;
	} while (sent > before && sent < most);
	return sent;
}

#endif
