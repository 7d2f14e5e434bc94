/*
 * mux - the streams of one link: frames in, events out; bytes in, frames out. No socket, no clock, no thread of its own.
 *
 * What stands in front of the link's socket is in the way of all streams. So a window grows to twice what its reader takes in a
 * round trip and no further: what is beyond would only wait. A stream that has nothing waiting may put a little there although
 * others have put all that may; so who asks for little is not behind those that carry much.
 *
 * What all windows of a link may grow by is limited for it (MUX_LEND_MAX) and for all links of a worker (the pool): of what is
 * left there a link may have half as much, so the more there are, the less each has, and one that comes finds some. Once
 * there is not plenty, windows that nothing passes through are made narrow again: mux_look(). A sender has to give back what he
 * was granted and has not used, or the link is at fault.
 *
 * Owner:  a link embeds it. Thread: the link's.
 * Ends:   mux_break() tells every stream and forgets it; mux_fini().
 */
#ifndef PORTWAY_TUNNEL_MUX_H
#define PORTWAY_TUNNEL_MUX_H

#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/tunnel/frame.h"
#include "common/tunnel/mux_pool.h"
#include "common/tunnel/stream.h"

#define MUX_WINDOW     (64 * 1024)           /* of a stream that begins */
#define MUX_WINDOW_MAX (4 * 1024 * 1024)     /* of one that has shown that its reader keeps up */
#define MUX_LEND_MAX   (64 * 1024 * 1024)    /* that all windows of a link may have grown by */
#define MUX_POOL_MAX   (256 * 1024 * 1024)   /* that those of all links with one pool may */
#define MUX_LOOK_NS    UINT64_C(10000000000) /* a stream that took nothing from one look to the next is idle */
#define MUX_LOOKS      6                     /* so many of these a peer may take to give back */
#define MUX_ROUND_NS \
	UINT64_C(10000000) /* the shortest round trip that windows are measured by: threads have rounds, too */
#define MUX_OUT_HIGH    (256 * 1024)      /* frames waiting to be sent: streams get no more room, */
#define MUX_OUT_LOW     4                 /* until so small a part of them is left */
#define MUX_OUT_LITTLE  (4 * 1024)        /* that a stream with nothing waiting gets all the same */
#define MUX_OUT_MAX     (2 * 1024 * 1024) /* with what may not wait (and was sent just now): its peer does not read */
#define MUX_STREAMS_MAX 20000
#define MUX_ID_STEP     2 /* each side has its own half of the ids */

struct mux_ops {
	/* The peer wants a stream: stream_accept() or stream_refuse() before it returns. NULL: all are refused. */
	void (*on_open)(struct mux *m, uint32_t id, const struct frame_open *o);
	/* A frame of the link itself. -1: not now, not from this peer; the link is at fault. */
	int (*on_control)(struct mux *m, const struct frame_head *h, const uint8_t *payload);
	/* The last stream has gone, and the link has not; it may be written to only. NULL: nobody asks. */
	void (*on_idle)(struct mux *m);
	/* There is (or may be) something to send, after there was nothing. */
	void (*on_output)(struct mux *m);
};

struct mux {
	const struct mux_ops *ops;
	struct map streams; /* by id */
	struct buf out;     /* frames to be sent, from out_at on */
	size_t out_at;
	size_t high;     /* MUX_OUT_HIGH, or less where the link is slow */
	uint64_t passed; /* bytes of frames that were sent */
	struct list blocked;
	uint32_t next_id;
	const uint64_t *now_ns; /* its owner's clock; NULL: windows do not grow */
	uint64_t rtt_ns;        /* a round trip where nothing waits; 0: not known yet */
	uint64_t lent;          /* that windows have grown by; */
	struct list wide;       /* streams that have some of it */
	struct mux_pool *pool;  /* its owner's; NULL: this link alone. Set while there are no streams */
	struct stream *current; /* whose event is being told */
	uint8_t head[FRAME_HEAD];
	uint8_t head_n;
	struct frame_head frame;
	uint32_t got;     /* of its payload */
	bool more;        /* behind the bytes that are told comes more of the same stream, which is there already */
	struct buf whole; /* a payload that has to be whole */
	const char *fault, *why; /* the second while a RESET is told: in its words */
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
/* Every MUX_LOOK_NS: what windows of idle streams have grown by is asked back, if it is wanted. -1: as mux_input(). */
int mux_look(struct mux *m) MUST_CHECK;
/* The link is gone. Owners are told one by one, and may end any other in their callback. */
void mux_break(struct mux *m);
size_t mux_count(const struct mux *m);

/* ---- for a stream ------------------------------------------------------------------------------------------------- */
size_t mux_waiting(const struct mux *m);
struct buf *mux_out(struct mux *m); /* where frames are appended, and then: */
void mux_wrote(struct mux *m, size_t waited);
struct stream *mux_find(const struct mux *m, uint32_t id);

#endif
