/*
 * router - from a path to the row of the API: a tree of path segments, built once, then only read.
 *
 * A literal segment wins over a capture. A trailing slash is accepted, empty segments are not, dots mean nothing.
 * "%2F" inside a segment stays part of it.
 *
 * Owner: the server. Thread: add before start; find any.
 */
#ifndef PORTWAY_CONTROLD_REST_ROUTER_H
#define PORTWAY_CONTROLD_REST_ROUTER_H

#include "common/base/macros.h"
#include "controld/rest/route.h"

#include <stddef.h>

struct err;
struct router;

#define ROUTER_CAPTURES_MAX 4
#define ROUTER_SEGMENTS_MAX 12

/* A row, the pointer its handler gets, and the names of its captures. */
struct router_entry {
	const struct route *route;
	void *feature;
	size_t index; /* running number, for tables beside this one */
	size_t n_captures;
	char captures[ROUTER_CAPTURES_MAX][24];
};

enum router_result { ROUTER_FOUND, ROUTER_NO_PATH, ROUTER_NO_METHOD, ROUTER_BAD_PATH };

struct router_match {
	const struct router_entry *entry;
	const char *values[ROUTER_CAPTURES_MAX]; /* into the path, decoded */
	char allow[64];                          /* ROUTER_NO_METHOD: for the Allow header */
};

int router_new(struct router **out, struct err *e) MUST_CHECK;
void router_free(struct router *r);
/* ERR_CONFLICT when method and path are taken, ERR_INTERNAL for a malformed template. */
int router_add(struct router *r, const struct route *route, void *feature, struct err *e) MUST_CHECK;
size_t router_count(const struct router *r);
const struct router_entry *router_at(const struct router *r, size_t index);
/* Cuts the path (without query) up in place. HEAD finds GET. */
enum router_result router_find(const struct router *r, const char *method, char *path, struct router_match *m);

#endif
