/*
 * text - strings of others on a terminal: what a name says must not move the cursor, change colours or run backwards.
 *
 * Control characters, bytes that are no UTF-8, and the marks that reorder or hide text are shown as \n, \x1b, \u202e.
 */
#ifndef PORTWAY_CLIENT_OUT_TEXT_H
#define PORTWAY_CLIENT_OUT_TEXT_H

#include "common/base/macros.h"

#include <stddef.h>
#include <stdio.h>

struct buf;

/* Appends s made harmless; answers how many columns of a terminal it takes. */
size_t text_clean(struct buf *out, const char *s, size_t n);
/* How many bytes of clean text fit into so many columns. */
size_t text_fit(const char *s, size_t n, size_t columns);
/* The same as text_clean(), to a stream. */
void text_put(FILE *out, const char *s);
/* printf whose result is made harmless as a whole; line ends belong into the caller's own fputc(). */
void text_printf(FILE *out, const char *fmt, ...) PRINTF(2, 3);

#endif
