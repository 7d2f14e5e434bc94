/*
 * conn_input - a request as it came on a connection: method, target, headers, body; or why it is refused.
 *
 * Owner:  the connection, until the dispatch moves it into the call.
 * Thread: loop while it is filled, then the call's.
 */
#ifndef PORTWAY_CONTROLD_REST_CONN_INPUT_H
#define PORTWAY_CONTROLD_REST_CONN_INPUT_H

#include "common/base/err.h"

#include <event2/keyvalq_struct.h>
#include <stddef.h>
#include <stdint.h>

struct evhttp_request;

/* A request as it came; conn_input_fini() releases it. */
struct conn_input {
	const char *method; /* static */
	char *target;
	struct evkeyvalq headers;
	uint8_t *body; /* NUL-terminated; NULL: none */
	size_t body_len;
	enum err_code bad; /* not ERR_NONE: refused before it was whole; the rest is empty */
	const char *bad_reason;
};
/* Takes what evhttp has of it, but of a refused one. */
void conn_input_take(struct conn_input *in, struct evhttp_request *req);
void conn_input_fini(struct conn_input *in);
const char *conn_input_header(const struct conn_input *in, const char *name);

#endif
