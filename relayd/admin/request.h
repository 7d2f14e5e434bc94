/*
 * request - the head of one HTTP/1.x request (RFC 9112), parsed strictly; pure over bytes.
 *
 * Only what the admin address answers: GET and HEAD without a body. Anything doubtful is refused, as the connection is
 * closed after each answer anyway.
 */
#ifndef PORTWAY_RELAYD_ADMIN_REQUEST_H
#define PORTWAY_RELAYD_ADMIN_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#define REQUEST_HEAD_MAX 4096
#define REQUEST_PATH_MAX 256

struct request {
	bool head;                   /* HEAD: the answer has no body */
	char path[REQUEST_PATH_MAX]; /* without the query */
};

/* 0: more bytes are needed. 200: *out is filled. Else the status to refuse it with. */
unsigned request_parse(struct request *out, const char *p, size_t n);

#endif
