/*
 * http_framing - where the content of a message ends and what its connection does next (RFC 9112 sections 6, 7, 9). The
 * place where smuggling is refused: whatever two readers could understand in two ways is a fault.
 *
 * Thread: any; no state.
 */
#ifndef PORTWAY_HTTP_HTTP_FRAMING_H
#define PORTWAY_HTTP_HTTP_FRAMING_H

#include "common/http/http_head.h"

/* What the request was, for the response to it. */
struct http_asked {
	bool head;    /* HEAD: no content, whatever the fields say */
	bool connect; /* CONNECT: a 2xx opens a tunnel */
	bool upgrade; /* had Upgrade: 101 may come */
};

/* Fill body, length, keep_alive, ... of a head whose lines are all read. */
enum http_fault http_framing_request(struct http_head *h) MUST_CHECK;
enum http_fault http_framing_response(struct http_head *h, const struct http_asked *asked) MUST_CHECK;

#endif
