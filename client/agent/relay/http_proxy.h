/*
 * http_proxy - an HTTP proxy that lets the agent out: where it is, and the CONNECT that goes through it (RFC 9110 section 9.3.6).
 * Pure: bytes in, bytes out.
 */
#ifndef PORTWAY_CLIENT_AGENT_RELAY_HTTP_PROXY_H
#define PORTWAY_CLIENT_AGENT_RELAY_HTTP_PROXY_H

#include "common/base/macros.h"
#include "common/tunnel/frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

#define HTTP_PROXY_AUTH_SIZE  512  /* of the base64 text */
#define HTTP_PROXY_ANSWER_MAX 8192 /* bytes of an answer's head that are read */

struct http_proxy {
	char host[FRAME_HOST_SIZE]; /* "": none */
	uint16_t port;
	bool from_env;                    /* then no_proxy counts, and loopback is never asked of it */
	char basic[HTTP_PROXY_AUTH_SIZE]; /* credentials (RFC 7617); "": none */
};

/* "http://[user:password@]host:port", "host:port", "off"; "" asks the environment (https_proxy). */
int http_proxy_parse(struct http_proxy *out, const char *text, struct err *e) MUST_CHECK;
/* Whether the way to this host does not lead through it: loopback, and what the environment's no_proxy lists. */
bool http_proxy_passes_by(const struct http_proxy *p, const char *host, const char *no_proxy);
/* The request for host:port. */
void http_proxy_request(const struct http_proxy *p, const char *host, uint16_t port, struct buf *out);
/* The answer so far: > 0 bytes of head of a good answer; 0: more is needed; -1 and *e. */
int http_proxy_answer(const uint8_t *p, size_t n, struct err *e) MUST_CHECK;

#endif
