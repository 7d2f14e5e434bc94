/*
 * heads - heads of messages out of text, for tests of what looks at them.
 */
#ifndef PORTWAY_TESTS_HEADS_H
#define PORTWAY_TESTS_HEADS_H

#include "common/http/http_reader.h"

#include <stdlib.h>
#include <string.h>

/* The text stays where it is. */
static inline void head_read(struct http_head *h, const char *text, bool answer)
{
	struct http_reader r;
	struct http_piece piece;

	if (answer) {
		http_reader_init_response(&r, &http_limits_default);
		http_reader_ask(&r, &(struct http_asked){ .head = false });
	} else {
		http_reader_init_request(&r, &http_limits_default);
	}
	if (http_reader_next(&r, h, (const uint8_t *)text, strlen(text), &piece) != HTTP_HEAD_IN)
		abort();
}

static inline bool span_is(struct http_span s, const char *text)
{
	return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

#endif
