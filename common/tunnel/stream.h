/*
 * stream - one connection, or one client's datagrams, inside a link.
 *
 * Each has a credit of its own in each direction, so one that nobody reads stops alone and costs at most its window.
 * What is received is first offered where it lies; only what its reader leaves is copied and kept. A window grows to
 * what its reader takes in two round trips, while he keeps up and the mux has some to lend, and becomes narrow again when
 * nothing has passed for a while and others want it.
 *
 * Events use the names of epoll: EPOLLIN (something to take, or the end), EPOLLOUT (there is room again), EPOLLRDHUP (the
 * end will follow what is there), EPOLLERR (over: stream.code says why; the stream is in no mux any more). They tell changes only.
 *
 * Owner:  who opens or accepts it embeds it. Thread: the link's.
 * Ends:   stream_close(), or with EPOLLERR.
 */
#ifndef PORTWAY_TUNNEL_STREAM_H
#define PORTWAY_TUNNEL_STREAM_H

#include "common/base/list.h"
#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct frame_open;
struct iovec;
struct mux;
struct stream;
struct stream_zip;
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
	bool zips;       /* both ends know that it may be compressed */
	uint32_t credit; /* that may be sent */
	uint32_t window, granted,
		taken;           /* receiving: its size; what may still come; what was taken and not granted again */
	uint64_t since_ns, took; /* bytes that the reader has taken since then; 0: none yet */
	uint64_t sent_to;        /* mux.passed when all that it sent has left */
	union {
		const uint8_t *now;      /* what just came, where it lies; */
		struct iovec *datagrams; /* or many of them */
	};
	uint32_t now_n;
	uint8_t *kept; /* or what was left of it */
	uint32_t kept_at, kept_n, kept_cap;
	struct list wide;       /* its window has grown; and then: */
	bool busy;              /* something was granted since the last look */
	uint8_t asked;          /* looks since its window was to become narrow; 0: it was not */
	struct stream_zip *zip; /* NULL: it is never compressed */
	struct list blocked;    /* waits for room on the link */
};

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
/* While an event is told: behind all of that is more, which is told as soon as it has been taken. */
bool stream_more(const struct stream *s);
/* How much stream_send() would take; 0: EPOLLOUT will tell. */
size_t stream_room(struct stream *s);
size_t stream_send(struct stream *s, const uint8_t *p, size_t n);
/* Where stream_room() bytes, at most FRAME_DATA_MAX, can be put and then sent without being copied; NULL: no memory. */
uint8_t *stream_space(struct stream *s, size_t n);
void stream_finish(struct stream *s);
/* Of UDP, inside EPOLLIN: what came, for the taking, at most MUX_DATAGRAMS. */
unsigned stream_datagrams(const struct stream *s, struct iovec **d);
/* All of it or nothing (false: dropped). */
bool stream_datagram(struct stream *s, const uint8_t *p, size_t n);
/* Forgets it: quietly if both ways have ended, else the peer gets a RESET. Any number of times. */
void stream_close(struct stream *s, uint16_t code, const char *reason);

/* ---- for the mux -------------------------------------------------------------------------------------------------- */
/* Out of the mux, with all that it holds. */
void stream_forget(struct stream *s);
/* A look at one whose window has grown. -1: its peer does not give back. */
int stream_look(struct stream *s, bool wanted) MUST_CHECK;
/* The peer asks for what may be sent beyond `keep`; it gave so much back; no more will come. -1: that cannot be. */
void stream_on_narrow(struct stream *s, uint32_t keep);
int stream_on_narrowed(struct stream *s, uint32_t bytes) MUST_CHECK;
void stream_on_fin(struct stream *s);
/* What its owner did not take. -1: out of memory. */
int stream_keep(struct stream *s) MUST_CHECK;

#endif
