/*
 * table - rows whose cells stand under each other: collected, then printed with the width that they need. Rows that come
 * later keep the widths.
 *
 * Owner: whoever made it. Cells are given as harmless text (text.h).
 */
#ifndef PORTWAY_CLIENT_OUT_TABLE_H
#define PORTWAY_CLIENT_OUT_TABLE_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct buf;
struct table;

#define TABLE_COLUMNS_MAX 32

int table_new(struct table **out, size_t columns) MUST_CHECK; /* -1: no memory */
void table_free(struct table *t);
void table_title(struct table *t, size_t column, const char *title, bool right);

/* The cells of a row one after the other: what is written into the buf until the next call is one cell. */
struct buf *table_cell(struct table *t);
void table_cell_end(struct table *t, size_t width); /* how many columns of a terminal the cell takes */

/* Prints the rows, the titles before the first ones, and forgets them. 0, or -1 when they could not be written. */
int table_flush(struct table *t, FILE *out) MUST_CHECK;

#endif
