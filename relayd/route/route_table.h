/*
 * route_table - which route takes a request: by host, then the longest path prefix, then method and fields.
 *
 * Host: the very name, else the longest wildcard above it, else the routes for every host. That decides alone: a host that
 * has routes of its own is not served by those of others. Path: "/api" takes /api and /api/x, not /apix; the longest
 * wins. Of routes with one prefix the one that asks for more (fields, then methods) is tried first, then the earlier one; if none
 * of them fits, the next shorter prefix is tried.
 *
 * A look-up costs a hash for the name (and one for each of its labels if there are wildcards), a binary search among the host's
 * own prefixes, and nothing for the routes of other hosts.
 *
 * Owner:  a snapshot; immutable, borrowed by workers. Keeps copies of all texts, borrows `to`.
 */
#ifndef PORTWAY_RELAYD_ROUTE_ROUTE_TABLE_H
#define PORTWAY_RELAYD_ROUTE_ROUTE_TABLE_H

#include "common/http/http_head.h"

struct route_table;

struct route_field {
	const char *name;  /* in lower case */
	const char *value; /* exactly; NULL: it only has to be there */
};

#define ROUTE_FIELDS_MAX 8
struct route_match {
	const char *
		host; /* "a.example", "*.example" (any number of labels), or "*": in the spelling of host_pattern_take() */
	const char *path_prefix; /* in the spelling of route_path_take() */
	uint32_t methods;        /* bits: 1 << HTTP_GET, ...; 0: all */
	unsigned n_fields;
	struct route_field fields[ROUTE_FIELDS_MAX];
	void *to; /* not NULL */
};

/* 0, or -1 for no memory. */
int route_table_new(struct route_table **out, const struct route_match *routes, size_t n) MUST_CHECK;
void route_table_free(struct route_table *t);
/* `to` of the route, or NULL. host in the spelling of host_name_take(), path in that of route_path_take(). */
void *route_table_find(const struct route_table *t, const char *host, struct http_span path, const struct http_head *h);

#endif
