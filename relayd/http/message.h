/*
 * message - heads as they go out: a request to a backend, an answer to a client, both HTTP/1.1.
 *
 * What is for one hop only is left out, what is said of the way is put in: Forwarded, X-Forwarded-*, X-Real-IP, X-Request-ID, Via. What a
 * client says of these is believed if it is a trusted proxy, and is gone otherwise.
 *
 * Pure, but for what it is given.
 */
#ifndef PORTWAY_RELAYD_HTTP_MESSAGE_H
#define PORTWAY_RELAYD_HTTP_MESSAGE_H

#include "relayd/http/exchange.h"

#define MESSAGE_ADDED      2048 /* bytes that are put in at most, beside those of an edit */
#define MESSAGE_REQUEST_ID 64   /* with NUL */

struct message_request {
	const struct http_head *head;
	const struct edit *edit; /* NULL: nothing is changed */
	struct http_span path;   /* as it was matched */
	const struct exchange_origin *from;
	const char *request_id;
	bool trusted; /* the peer is a proxy that is believed */
};

/* Bytes that the head takes at most. */
size_t message_request_room(const struct message_request *m);
/* Its length, or -1. */
int message_request_write(const struct message_request *m, void *dst, size_t cap) MUST_CHECK;

struct message_answer {
	const struct answer *answer;
	bool to_http10;  /* the client */
	bool keep_alive; /* another request may follow */
	bool asked_keep; /* an HTTP/1.0 client waits to be told */
};
size_t message_answer_room(const struct message_answer *m);
/* *chunked: the content goes out in chunks; *until_close: it ends with the connection. */
int message_answer_write(
	const struct message_answer *m, void *dst, size_t cap, bool *chunked, bool *until_close) MUST_CHECK;

/* A request id that may be passed on as it came. */
bool message_id_is_sound(struct http_span id);

#endif
