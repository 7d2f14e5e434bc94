/*
 * pem_text - a long text of a body that may hold a private key: in memory of its own, wiped when it goes.
 *
 * On the wire a blob of UTF-8 without NUL.
 */
#ifndef PORTWAY_PROTO_PEM_TEXT_H
#define PORTWAY_PROTO_PEM_TEXT_H

#include "common/base/macros.h"

#include <stddef.h>

struct buf;
struct cursor;

void pem_text_put(struct buf *b, const char *s); /* NULL counts as "" */
/* malloc'ed, at least one byte and at most max; NULL and the cursor failed otherwise. */
char *pem_text_get(struct cursor *c, size_t max);
void pem_text_free(char *s); /* NULL is fine */

#endif
