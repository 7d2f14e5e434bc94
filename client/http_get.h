/*
 * http_get - one GET to controld through libcurl: blocking, with a deadline, a body limit and no redirects.
 */
#ifndef PORTWAY_CLIENT_HTTP_GET_H
#define PORTWAY_CLIENT_HTTP_GET_H

#include "common/base/macros.h"

#include <jansson.h>

struct err;

struct http_answer {
	long status;  /* HTTP status */
	json_t *body; /* parsed; NULL when it was no JSON. Owned: http_answer_fini() */
};

/* 0 when an answer came, whatever its status. ERR_UNAVAILABLE when none did, naming the address. token may be
 * NULL. */
int http_get(struct http_answer *out, const char *base, const char *path, const char *token, struct err *e) MUST_CHECK;
void http_answer_fini(struct http_answer *a);

#endif
