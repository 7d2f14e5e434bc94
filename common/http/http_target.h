/*
 * http_target - where a request goes: the four forms of a target (RFC 9112 section 3.2) and the Host field.
 *
 * Thread: any; no state.
 */
#ifndef PORTWAY_HTTP_HTTP_TARGET_H
#define PORTWAY_HTTP_HTTP_TARGET_H

#include "common/http/http_head.h"

struct http_host {
	struct http_span name; /* without port; an IPv6 address with its brackets */
	uint16_t port;         /* 0: none given */
};

/*
 * host [ ":" port ]. A name of letters, digits and - . _ ~, at most 255 long, or an address; the sub-delims and percent
 * escapes that a reg-name may have by its grammar are in no name that resolves, and are refused.
 */
int http_host_parse(struct http_host *out, const char *p, size_t n) MUST_CHECK;
/* Without regard to case. */
bool http_host_same(const struct http_span *a, const struct http_span *b);
/* Fills form, path, query, host and port of a whole request; Host and target must agree. */
enum http_fault http_target_read(struct http_head *h) MUST_CHECK;

#endif
