/*
 * h1_back - a connection to a backend that speaks HTTP/1.1: what its parts share. h1_back.c: requests out, answers in; h1_dial.c: the way
 * there; h1_idle.c: between two requests; h1_splice.c: long content.
 *
 *   NAME --> DIAL --> BUSY <--> IDLE          NAME: the target's name, or a link of its agent, is awaited
 *     |        |       |  `--> RAW  |         RAW: no messages any more
 *     +--------+-------+--------+---+--> CLOSED
 *
 * Owner: the desk (backs_all). Thread: the worker's.
 * Ends:  by itself, or h1_back_close(); the memory goes at the end of the round.
 */
#ifndef PORTWAY_RELAYD_HTTP_H1_BACK_H
#define PORTWAY_RELAYD_HTTP_H1_BACK_H

#include "common/http/http_reader.h"
#include "relayd/http/back.h"
#include "relayd/http/desk.h"
#include "relayd/http/inbox.h"
#include "relayd/http/outbox.h"
#include "relayd/stream/dial.h"
#include "relayd/tunnel/agents.h"

struct h2_out;

#define H1_SPLICE_LEAST (64 * 1024) /* bytes that are to come: less is read at once */

enum h1_back_state { H1_BACK_NAME, H1_BACK_DIAL, H1_BACK_BUSY, H1_BACK_RAW, H1_BACK_IDLE, H1_BACK_CLOSED };

struct h1_back {
	struct back base; /* first */
	int state;
	struct http_desk *desk;
	struct wire wire;
	struct inbox in;
	struct outbox out;
	struct http_reader reader;
	struct h2_out *h2; /* NULL: HTTP/1.1 */
	uint64_t told;     /* of out.sent */
	bool chunked;      /* the request's content goes in chunks */
	bool copies;       /* the answer comes in pieces that are too small to be spliced */
	uint8_t few;       /* how often that was seen (h1_splice.c) */
	bool interim;      /* the head that was read last is not the answer's own */
	bool keeps;        /* the backend would keep the connection */
	bool answered;     /* the answer is whole */
	bool finishing;    /* RAW: no more will be written behind what waits */
	bool fd_taken;
	bool begun;    /* HTTP/2: the way there */
	bool served;   /* HTTP/2: a request was done on it */
	bool securing; /* DIAL: connected, in the TLS handshake */
	int failure;   /* enum back_failure to be told, or -1 */
	int error;     /* errno of the last address that was dialled; 0: none was */
	uint64_t idle_until_ns;
	struct timer timer;
	struct task task; /* another turn; the wait for a name; a failure to be told */
	struct task grave;
	struct list idle;  /* in the seat's: of those that wait, or are shared */
	struct list spare; /* in the desk's: of those that wait and have a descriptor, the oldest first */
	struct list all;   /* in the desk's */
	struct dial dial;
	struct agents_tried tried;
	struct client_gate *gate; /* entered; NULL: no agent's */
};

size_t h1_back_size(void);
/* By its link in a seat's list of those that wait; in the desk's list of all. */
static inline struct h1_back *h1_back_of_idle(struct list *idle)
{
	return CONTAINER_OF(idle, struct h1_back, idle);
}
static inline struct h1_back *h1_back_of_all(struct list *all)
{
	return CONTAINER_OF(all, struct h1_back, all);
}
void h1_back_close(struct h1_back *b, bool reset);

/* ---- for h2_back.c, which shares them */
struct h1_back *h1_back_new(struct http_desk *d, struct backend *to); /* NULL: no memory or descriptor */
void h1_back_leave_idle(struct h1_back *b);                           /* it is at work again */
void h1_back_wait_or_close(struct h1_back *b);                        /* its work is done */

/* ---- for desk.c */
void h1_idle_init(struct http_desk *d);
void h1_idle_fini(struct http_desk *d);

/* ---- between the files ---------------------------------------------------------------------------------------------- */
/*
 * Passes on some of the answer's content through a pipe; *moved: how many bytes, 0 if there are none now. False: it has to be read, and
 * *moved is as it was. It may have failed.
 */
bool h1_splice_some(struct h1_back *b, size_t *moved);
void h1_splice_note_read(
	struct h1_back *b, ssize_t n);  /* n: as inbox_fill() says, while it is read for being in small pieces */
void h1_idle_forget(struct h1_back *b); /* it waits no more */
void h1_back_move(struct h1_back *b, enum h1_back_state to);
void h1_back_fail(struct h1_back *b, enum back_failure why); /* told later in this round */
void h1_back_on_connected(struct h1_back *b);
void h1_dial_begin(struct h1_back *b);
int h1_dial_put_proxy_header(struct h1_back *b); /* into what waits */
void h1_dial_find(struct h1_back *b);            /* again, when the name is known or a link is there */
void h1_dial_on_event(struct h1_back *b, uint32_t events);
void h1_dial_on_due(struct h1_back *b);
void h1_dial_end(struct h1_back *b); /* what it held */

#endif
