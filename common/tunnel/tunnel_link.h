/*
 * tunnel_link - one connection between an agent and a relay: a socket, TLS 1.3, and the streams inside.
 *
 *   CARRYING --no WebSocket, or it is open--> SECURING --TLS is up--> GREETING --tunnel_link_up()--> UP --> CLOSED
 *       |                                        |                       |                         ^
 *       +----------------------------------------+-- too late, refused, broken, closed ------------+
 *
 * TLS receives by itself and opens what it got into one buffer of the worker, where the mux hands it to the streams; what is
 * to be sent is sealed once a round and leaves in one system call. Nothing is held for a link on which nothing waits.
 *
 * Owner:  whoever made it. Thread: the worker's; in GREETING it may move to another worker (leave, enter).
 * Ends:   tunnel_link_close() at any time, any number of times; on_closed exactly once, at the end of the round, and only it
 *         frees what surrounds the link.
 */
#ifndef PORTWAY_TUNNEL_TUNNEL_LINK_H
#define PORTWAY_TUNNEL_TUNNEL_LINK_H

#include "common/crypto/tls.h"
#include "common/tunnel/frame_hello.h"
#include "common/tunnel/mux.h"
#include "common/tunnel/outlet.h"
#include "common/tunnel/parting.h"
#include "common/uv/worker.h"

struct carrier;
struct err;
struct tunnel_link;

#define TUNNEL_SECURE_MS 10000 /* from the first byte to the greeting's end */

/* What the links of one worker share: buffers that are in use only while one of them is served, and what they may lend. */
struct tunnel_desk {
	struct tls_rooms in; /* what comes, and what it holds */
	struct buf sealed;
	struct buf wire; /* the same in what carries it */
	struct mux_pool pool;
	struct partings partings; /* sockets of links that are no more */
};
int tunnel_desk_init(struct tunnel_desk *d) MUST_CHECK;
void tunnel_desk_fini(struct tunnel_desk *d); /* before the worker's end */

struct tunnel_link_ops {
	void (*on_secured)(struct tunnel_link *l);
	/* HELLO, WELCOME, REFUSED, GOAWAY; -1: out of turn. */
	int (*on_control)(struct tunnel_link *l, const struct frame_head *h, const uint8_t *payload);
	/* As mux_ops.on_open; NULL: refused. */
	void (*on_open)(struct tunnel_link *l, uint32_t id, const struct frame_open *o);
	/* As mux_ops.on_idle. */
	void (*on_idle)(struct tunnel_link *l);
	/* Streams were told before. why is borrowed. */
	void (*on_closed)(struct tunnel_link *l, const char *why);
};

enum tunnel_state { TUNNEL_CARRYING, TUNNEL_SECURING, TUNNEL_GREETING, TUNNEL_UP, TUNNEL_CLOSED };

struct tunnel_link {
	int state; /* enum tunnel_state */
	const struct tunnel_link_ops *ops;
	struct worker *worker;
	struct tunnel_desk *desk;
	struct io io;
	struct carrier *carrier; /* NULL: TLS is in the socket itself */
	struct tls_session *tls;
	struct mux mux;
	/* private */
	struct outlet out; /* what is sealed */
	bool readable;
	bool fin;        /* the peer's end, or an error, was told: a read will find it */
	bool unheard;    /* nobody takes what is sent any more; what came before that is still read */
	bool last_words; /* close once everything has been sent */
	bool other_ca;   /* closed because the peer's CA is not the pinned one */
	struct task flush, more, grave;
	struct timer timer;
	uint32_t ping_ms;
	uint64_t heard_ns, pinged_ns, due_ns, looked_ns;
	uint32_t rtt_us; /* of the last ping; 0: none yet */
	uint64_t bytes_in;
	char why[FRAME_REASON_SIZE];
	uint64_t turn_ends; /* bytes_in: no more is received in this turn */
	int broke;          /* errno of the last receive; ENODATA: the peer's end; 0: it is well */
};

/* Takes fd (connected or connecting, nonblocking) in any case. server: this side accepted the connection. */
int tunnel_link_start(struct tunnel_link *l, struct worker *w, struct tunnel_desk *desk, struct tls_ctx *tls,
	bool server, int fd, const struct tunnel_link_ops *ops, struct err *e) MUST_CHECK;
/* Right after the start, of who dialled: in a WebSocket to host (as the request names it) and path; outer NULL: without TLS. */
int tunnel_link_carry(
	struct tunnel_link *l, const char *host, const char *path, struct tls_ctx *outer, struct err *e) MUST_CHECK;
/* The greeting is over; from now on silence is answered with pings. */
void tunnel_link_up(struct tunnel_link *l, uint32_t ping_ms);
void tunnel_link_set_ping(struct tunnel_link *l, uint32_t ping_ms); /* from now on; of one that is up */
/* Bytes that only both ends of this TLS session know; what a signature is bound to. */
int tunnel_link_export(struct tunnel_link *l, uint8_t out[FRAME_EXPORTED]) MUST_CHECK;
/* l->mux.out was written to by hand. */
void tunnel_link_flush(struct tunnel_link *l);
/* Between the two nobody serves it; each on the thread of its worker. Only in GREETING. */
void tunnel_link_leave(struct tunnel_link *l);
void tunnel_link_enter(struct tunnel_link *l, struct worker *w, struct tunnel_desk *desk);
void tunnel_link_close(struct tunnel_link *l, const char *why);
/*
 * The same, after what stands in mux.out has been sent, or a few seconds later: a peer that reads slowly stays no longer. The
 * socket remains until the peer has got it (parting.h).
 */
void tunnel_link_close_after(struct tunnel_link *l, const char *why);

#endif
