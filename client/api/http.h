/*
 * http - one request after the other to controld through libcurl: blocking, with deadlines, a limit for bodies, no
 * redirects; the connection is kept between requests.
 *
 * Owner: whoever made it; one thread.
 */
#ifndef PORTWAY_CLIENT_API_HTTP_H
#define PORTWAY_CLIENT_API_HTTP_H

#include "common/base/macros.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct err;
struct http;

struct http_request {
	const char *method, *url;
	const char *const *headers; /* "Name: value", NULL at the end; may be NULL */
	const char *body;           /* JSON text; NULL: none */
	uint64_t timeout_ms;
};

struct http_answer {
	long status;
	json_t *body;            /* parsed; NULL when it was no JSON. Owned: http_answer_fini() */
	char etag[64];           /* as sent, with its quotes; "" if none */
	uint64_t retry_after_ms; /* 0: not said */
};

/* ca_file: what vouches for controld's certificate in place of the system's; NULL: the system's. Borrowed. */
int http_new(struct http **out, const char *ca_file, struct err *e) MUST_CHECK;
void http_free(struct http *h);

/*
 * 0 when an answer came, whatever its status. Else the code says how far it got: ERR_UNAVAILABLE nothing was sent,
 * ERR_IO and ERR_TIMEOUT it may have been done, ERR_CRYPTO the certificate does not check, ERR_VALIDATION no address.
 */
int http_send(struct http *h, const struct http_request *rq, struct http_answer *out, struct err *e) MUST_CHECK;
/* On this machine: no proxy stands between, and nobody else can listen. */
bool http_is_local(const char *url);
void http_answer_fini(struct http_answer *a);

#endif
