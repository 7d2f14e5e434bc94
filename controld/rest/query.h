/*
 * query - percent-decoding (RFC 3986) and query strings, in place. Strict: a broken escape, a NUL or bytes that are not
 * UTF-8 are refused, never guessed.
 */
#ifndef PORTWAY_CONTROLD_REST_QUERY_H
#define PORTWAY_CONTROLD_REST_QUERY_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>

struct err;

#define QUERY_ARGS_MAX 32

struct query_arg {
	const char *name;
	const char *value;
};

struct query_args {
	size_t n;
	struct query_arg args[QUERY_ARGS_MAX];
};

/* Decodes s in place; plus: '+' is a blank. 0, or -1 when it is not a valid encoding of UTF-8 text. */
int query_decode(char *s, bool plus) MUST_CHECK;
/* Cuts "a=1&b=2" up in place; the arguments point into it. text may be NULL. A name given twice is an error. */
int query_parse(struct query_args *q, char *text, struct err *e) MUST_CHECK;
/* The value, "" for a name without '=', or NULL. */
const char *query_get(const struct query_args *q, const char *name);

#endif
