/*
 * view - objects of one resource as they go to the output, one after the other: a table, JSON, YAML, or ids.
 *
 * Owner: the command. Nothing is kept of an object that was shown, but its row until the table is flushed.
 */
#ifndef PORTWAY_CLIENT_RESOURCE_VIEW_H
#define PORTWAY_CLIENT_RESOURCE_VIEW_H

#include "client/out/cell.h"
#include "client/out/print.h"
#include "common/base/macros.h"

#include <stdbool.h>

struct table;

struct view_conf {
	FILE *out;
	enum print_format format;
	const struct column *columns; /* ends with a column without title; borrowed */
	const char *id;               /* the member that names an object */
	bool events;                  /* a first column, or a member, that says what happened to the object */
};

struct view {
	struct view_conf conf;
	struct table *table;
	size_t shown;
};

int view_begin(struct view *v, const struct view_conf *conf) MUST_CHECK; /* -1: no memory */
/* event: NULL without events. -1: it could not be written. */
int view_show(struct view *v, const char *event, const json_t *object) MUST_CHECK;
int view_flush(struct view *v) MUST_CHECK;
/* The list cannot be had: titles over nothing would look like an empty one. */
void view_fail(struct view *v);
/* The end of a list. -1: something could not be written. */
int view_end(struct view *v);

/* Whether both look the same in this view, but for ages. */
bool view_same(const struct view *v, const json_t *a, const json_t *b);

/* Columns out of "id,name,limits.bandwidth_in": *out is freed with one free(). -1: no memory. */
int view_columns(struct column **out, const char *list) MUST_CHECK;
/* One object with all its members, each on a line of its own. */
int view_details(FILE *out, const json_t *object) MUST_CHECK;

#endif
