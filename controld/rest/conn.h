/*
 * conn - one client's connection: evhttp behind a strict reader, with deadlines of our own.
 *
 * Bytes are taken out of the bufferevent as they come, checked (strict.h), and given back one whole request at a time;
 * so evhttp never sees a doubtful byte and never two requests at once.
 *
 *   NEW --admitted--> IDLE --byte--> HEAD --headers whole--> BODY --whole--> BUSY --answered--> REPLY --written--> IDLE
 *                                     +----- no body ------------------------^                    +-- refused --> LINGER
 *                                                                           BUSY --begun--> STREAM --ended--> REPLY
 *
 * Owner:  the set of connections (conns.h), which closes what is over its deadline.
 * Thread: loop.
 * Ends:   when evhttp frees the connection; then on_gone of a running request is called, once.
 */
#ifndef PORTWAY_CONTROLD_REST_CONN_H
#define PORTWAY_CONTROLD_REST_CONN_H

#include "common/base/macros.h"
#include "common/net/addr.h"
#include "controld/rest/conn_input.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bufferevent;
struct conn;
struct conns;
struct evhttp_connection;
struct evhttp_request;

enum conn_state { CONN_NEW, CONN_IDLE, CONN_HEAD, CONN_BODY, CONN_BUSY, CONN_STREAM, CONN_REPLY, CONN_LINGER };

#define CONN_STANDING_MAX 1024

/* An answer; conn_answer() takes the headers over. */
struct conn_output {
	int status;
	struct evkeyvalq *headers;
	const char *standing; /* further header lines, without a line end behind the last; our own words only */
	uint8_t *body;        /* malloc'ed */
	size_t body_len;
	bool head_only; /* HEAD: the length is said, the body is not sent */
	bool apart;     /* the connection is not just handing the request over: the answer may end it at once */
};

/* ---- for conns.c ------------------------------------------------------------------------------------------------- */
/* Watches a bufferevent that evhttp is about to use. 0, or -1 for no memory: then what evhttp makes of it has no conn. */
int conn_open(struct conns *owner, struct bufferevent *bev) MUST_CHECK;
struct evhttp_connection *conn_ev(const struct conn *c);
enum conn_state conn_state(const struct conn *c);
uint64_t conn_deadline_ms(const struct conn *c); /* on clock_mono_ms(); 0: none */
/* evhttp gives a request. */
void conn_take(struct conn *c, struct evhttp_request *req);
/* Ends it at once; c is freed. Not from inside a callback of this connection. */
void conn_close(struct conn *c);

/* ---- for dispatch.c ---------------------------------------------------------------------------------------------- */
const struct addr *conn_peer(const struct conn *c);
/* on_gone(arg) if the client leaves before the answer. */
void conn_on_gone(struct conn *c, void (*on_gone)(void *arg), void *arg);
void conn_answer(struct conn *c, struct conn_output *out);
/* ---- for stream.c: the head of an answer, its parts, its end, which may free c; the connection ends with it ---------- */
void conn_stream(struct conn *c, struct conn_output *out);
size_t conn_stream_waiting(const struct conn *c);
void conn_stream_write(struct conn *c, const void *p, size_t n);
void conn_stream_write_then(struct conn *c, const void *p, size_t n, void (*taken)(void *arg), void *arg);
void conn_stream_end(struct conn *c);
/* Nobody will answer: the next sweep ends it. Also from inside its callbacks. */
void conn_doom(struct conn *c);

#endif
