/*
 * frame - what an agent and a relay say to each other on a link (README.md is the wire spec): bytes in, bytes out.
 *
 * A frame is a head of FRAME_HEAD bytes and a payload. DATA is handed on as it comes, in pieces; every other payload is
 * decoded whole. Decoders answer -1 for anything but exactly one encoding of one value.
 *
 * Thread: any; no state.
 */
#ifndef PORTWAY_TUNNEL_FRAME_H
#define PORTWAY_TUNNEL_FRAME_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

#define FRAME_HEAD         8
#define FRAME_DATA_MAX     65536 /* what is read at once travels in one frame, and is written at once */
#define FRAME_DATAGRAM_MAX 65507 /* what UDP can carry over IPv4 */
#define FRAME_DATA_FULL    (FRAME_DATA_MAX - FRAME_HEAD) /* of bulk: with its head it is whole TLS records */
#define FRAME_ZIPPED_MAX   66048                         /* FRAME_DATA_MAX bytes that did not get smaller */
#define FRAME_CONTROL_MAX  1024                          /* any other payload */
#define FRAME_VERSION      3

#define FRAME_ID_SIZE     40 /* with NUL: client, instance and mapping ids, a version */
#define FRAME_HOST_SIZE   256
#define FRAME_ADDR_SIZE   80
#define FRAME_REASON_SIZE 160
#define FRAME_WITHIN_SIZE 512

enum frame_type {
	FRAME_HELLO = 1, /* agent: who I am */
	FRAME_WELCOME,   /* relay: come in */
	FRAME_REFUSED,   /* relay: no; the link ends */
	FRAME_PING,
	FRAME_PONG,
	FRAME_GOAWAY, /* no new streams here; the link ends when those there are have ended */
	FRAME_OPEN,   /* a new stream */
	FRAME_OPENED, /* its far end is connected */
	FRAME_DATA,
	FRAME_WINDOW, /* so many more bytes may be sent on the stream */
	FRAME_FIN,    /* no more bytes from here */
	FRAME_RESET,  /* the stream is over, both ways, now */
	FRAME_DATAGRAM,
	FRAME_CHECK,    /* relay: watch this target (frame_check.h) */
	FRAME_HEALTH,   /* agent: how it is */
	FRAME_RESERVE,  /* relay: have so many links ready that carry one connection at a time */
	FRAME_ZIPPED,   /* DATA, compressed */
	FRAME_OFFER,    /* relay: what leads from the agent's own machine (frame_offer.h) */
	FRAME_WITHDRAW, /* relay: no more */
	FRAME_RULES,    /* relay: what holds for this agent now */
	FRAME_NARROW,   /* no more than so many bytes may be sent on the stream until the next WINDOW */
	FRAME_NARROWED, /* the answer: so many that might have been sent are given back */
	FRAME_TYPES_END,
};

struct frame_head {
	uint8_t type; /* enum frame_type */
	uint32_t n;   /* of the payload */
	uint32_t stream;
};

void frame_put_head(uint8_t out[FRAME_HEAD], enum frame_type type, uint32_t n, uint32_t stream);
/* -1: not a type of ours, or longer than its type may be, or a stream where there is none (or the other way round). */
int frame_get_head(struct frame_head *out, const uint8_t in[FRAME_HEAD]) MUST_CHECK;

/* What may change while a link is up; said after WELCOME, too. */
struct frame_rules {
	uint32_t ping_ms;
	bool reconnect; /* false: when its links are lost the agent does not dial again by itself */
};
void frame_rules_put(struct buf *b, const struct frame_rules *r);
int frame_rules_get(struct frame_rules *r, const void *p, size_t n) MUST_CHECK;

/* REFUSED, GOAWAY and RESET: why, and when to try again. */
struct frame_end {
	uint16_t code;     /* wire number of an err_code; unknown ones are allowed */
	uint32_t retry_ms; /* not before; GOAWAY: spread over so long; REFUSED: 0 is for good */
	char reason[FRAME_REASON_SIZE];
};
void frame_end_put(struct buf *b, enum frame_type type, uint32_t stream, const struct frame_end *f);
int frame_end_get(struct frame_end *f, const void *p, size_t n) MUST_CHECK;
enum frame_kind { FRAME_TCP = 1, FRAME_UDP = 2 };
#define FRAME_OF_STREAM '=' /* host of a stream for datagrams of another one's client: this and that one's id */
struct frame_open {
	uint8_t kind; /* enum frame_kind */
	uint16_t port;
	char mapping[FRAME_ID_SIZE];
	char host[FRAME_HOST_SIZE];     /* what to dial: a name or an IP literal */
	char source[FRAME_ADDR_SIZE];   /* who connected, for logs; "" if not known */
	bool zip;                       /* may be compressed, both ways: OPENED answers whether it is */
	char within[FRAME_WITHIN_SIZE]; /* rules (common/net/allow.h) that host or its address must meet; "": none */
};
void frame_open_put(struct buf *b, uint32_t stream, const struct frame_open *o);
int frame_open_get(struct frame_open *o, const void *p, size_t n) MUST_CHECK;

void frame_ping_put(struct buf *b, enum frame_type type, uint64_t stamp);
int frame_ping_get(uint64_t *stamp, const void *p, size_t n) MUST_CHECK;
void frame_window_put(struct buf *b, uint32_t stream, uint32_t more);
int frame_window_get(uint32_t *more, const void *p, size_t n) MUST_CHECK;
/* NARROW and NARROWED. */
void frame_narrow_put(struct buf *b, enum frame_type type, uint32_t stream, uint32_t bytes);
int frame_narrow_get(uint32_t *bytes, const void *p, size_t n) MUST_CHECK;
void frame_reserve_put(struct buf *b, uint16_t links);
int frame_reserve_get(uint16_t *links, const void *p, size_t n) MUST_CHECK;
void frame_opened_put(struct buf *b, uint32_t stream, bool zip);
int frame_opened_get(bool *zip, const void *p, size_t n) MUST_CHECK;
/* FIN has no payload. */
void frame_bare_put(struct buf *b, enum frame_type type, uint32_t stream);

/* For an encoder of its own: where the payload begins; its head is written when it is done. */
size_t frame_start(struct buf *b);
void frame_done(struct buf *b, size_t payload, enum frame_type type, uint32_t stream);
struct cursor;
void frame_get_id(struct cursor *c, char dst[FRAME_ID_SIZE]); /* a string that is not empty */

#endif
