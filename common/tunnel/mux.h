/*
 * mux - the streams of one link: frames in, events out; bytes in, frames out. No socket, no clock, no thread of its own.
 *
 * Each stream has a credit of its own in each direction, so one that nobody reads stops alone and costs at most its window.
 * What is received is first offered where it lies; only what its reader leaves is copied and kept. A window grows while
 * its reader keeps up, within what the link may lend in all (MUX_LEND_MAX) and what all links of a worker may (the pool): of
 * what is left there a link may have half as much, so the more there are, the less each has, and one that comes finds some.
 *
 * Events use the names of epoll: EPOLLIN (something to take, or the end), EPOLLOUT (there is room again), EPOLLRDHUP (the
 * end will follow what is there), EPOLLERR (over: stream.code says why; the stream is in no mux any more). They tell changes only.
 *
 * Owner:  a link embeds the mux; who opens or accepts a stream embeds that. Thread: the link's.
 * Ends:   mux_break() tells every stream and forgets it; mux_fini().
 */
#ifndef PORTWAY_TUNNEL_MUX_H
#define PORTWAY_TUNNEL_MUX_H

#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/tunnel/frame.h"
#include "common/tunnel/mux_pool.h"

#define MUX_WINDOW      (64 * 1024)         /* of a stream that begins */
#define MUX_WINDOW_MAX  (4 * 1024 * 1024)   /* of one that has shown that its reader keeps up */
#define MUX_LEND_MAX    (64 * 1024 * 1024)  /* that all windows of a link may have grown by */
#define MUX_POOL_MAX    (256 * 1024 * 1024) /* that those of all links with one pool may */
#define MUX_OUT_HIGH    (256 * 1024)        /* frames waiting to be sent: streams get no more room, */
#define MUX_OUT_LOW     (64 * 1024)         /* until so few are left */
#define MUX_OUT_MAX     (2 * 1024 * 1024)   /* with what may not wait (and was sent just now): its peer does not read */
#define MUX_STREAMS_MAX 20000

struct mux;
struct stream;
typedef void (*stream_event_fn)(struct stream *s, uint32_t events);

struct stream {
	struct mux *mux; /* NULL: not open, or over */
	stream_event_fn on_event;
	void *owner; /* the owner's */
	uint32_t id;
	uint16_t code;   /* of the RESET that ended it; 0: the link broke */
	uint8_t kind;    /* enum frame_kind */
	bool opened;     /* the far end is connected */
	bool in_ended;   /* no more will come */
	bool out_ended;  /* FIN was sent */
	bool short_of;   /* credit: tell when there is some */
	uint32_t credit; /* that may be sent */
	uint32_t window, granted,
		taken;      /* receiving: its size; what may still come; what was taken and not granted again */
	const uint8_t *now; /* what just came, where it lies; */
	uint32_t now_n;
	uint8_t *kept; /* or what was left of it */
	uint32_t kept_at, kept_n, kept_cap;
	struct list blocked; /* waits for room on the link */
};

struct mux_ops {
	/* The peer wants a stream: stream_accept() or stream_refuse() before it returns. NULL: all are refused. */
	void (*on_open)(struct mux *m, uint32_t id, const struct frame_open *o);
	/* A frame of the link itself. -1: not now, not from this peer; the link is at fault. */
	int (*on_control)(struct mux *m, const struct frame_head *h, const uint8_t *payload);
	/* There is (or may be) something to send, after there was nothing. */
	void (*on_output)(struct mux *m);
};

struct mux {
	const struct mux_ops *ops;
	struct map streams; /* by id */
	struct buf out;     /* frames to be sent, from out_at on */
	size_t out_at;
	struct list blocked;
	uint32_t next_id;
	uint64_t lent;          /* that windows have grown by */
	struct mux_pool *pool;  /* its owner's; NULL: this link alone. Set while there are no streams */
	struct stream *current; /* whose event is being told */
	uint8_t head[FRAME_HEAD];
	uint8_t head_n;
	struct frame_head frame;
	uint32_t got;     /* of its payload */
	struct buf whole; /* a payload that has to be whole */
	const char *fault;
};

/* first_id: 1 for who dialled the link, 2 for who accepted it. */
void mux_init(struct mux *m, const struct mux_ops *ops, uint32_t first_id);
void mux_fini(struct mux *m);
/* What the peer sent. -1: m->fault says which rule it broke, and the link must end. */
int mux_input(struct mux *m, const uint8_t *p, size_t n) MUST_CHECK;
/* What is to be sent, in one piece; when n bytes of it were; and when nothing is left: memory for it goes back. */
size_t mux_output(const struct mux *m, const uint8_t **p);
void mux_sent(struct mux *m, size_t n);
void mux_rest(struct mux *m);
/* The link is gone. Owners are told one by one, and may end any other in their callback. */
void mux_break(struct mux *m);
size_t mux_count(const struct mux *m);

/* A stream to the peer; it may be written at once. -1: out of memory, too many, or the link has no room. */
int stream_open(
	struct stream *s, struct mux *m, const struct frame_open *o, stream_event_fn on_event, void *owner) MUST_CHECK;
int stream_accept(struct stream *s, struct mux *m, uint32_t id, const struct frame_open *o, stream_event_fn on_event,
	void *owner) MUST_CHECK;
void stream_refuse(struct mux *m, uint32_t id, uint16_t code, const char *reason);
void stream_opened(struct stream *s); /* tells the peer that the far end is connected */

/* Bytes to take, in one piece; 0: none now (or none ever: stream.in_ended). Borrowed until the next call. */
size_t stream_peek(const struct stream *s, const uint8_t **p);
void stream_take(struct stream *s, size_t n);
/* How much stream_send() would take; 0: EPOLLOUT will tell. */
size_t stream_room(struct stream *s);
size_t stream_send(struct stream *s, const uint8_t *p, size_t n);
/* Where stream_room() bytes, at most FRAME_DATA_MAX, can be put and then sent without being copied; NULL: no memory. */
uint8_t *stream_space(struct stream *s, size_t n);
void stream_finish(struct stream *s);
/* All of it or nothing (false: dropped). */
bool stream_datagram(struct stream *s, const uint8_t *p, size_t n);
/* Forgets it: quietly if both ways have ended, else the peer gets a RESET. Any number of times. */
void stream_close(struct stream *s, uint16_t code, const char *reason);

#endif
