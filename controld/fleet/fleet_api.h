/*
 * fleet_api - what the routes of groups, nodes and join tokens share.
 *
 * Thread: workers; nothing in struct fleet_api changes while the server runs.
 */
#ifndef PORTWAY_CONTROLD_FLEET_FLEET_API_H
#define PORTWAY_CONTROLD_FLEET_FLEET_API_H

#include "common/base/macros.h"
#include "controld/fleet/who.h"
#include "controld/rest/route.h"
#include "controld/store/store.h"
#include "proto/msg.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct roster;

/* What the handlers get. */
struct fleet_api {
	struct store *store;
	struct roster *roster;
	const char *self; /* controlds.id */
};

/* In whose name this request changes something. */
struct who fleet_api_who(const struct request *rq);
/* If-Match against the version of a row. */
int fleet_api_match(const struct request *rq, int64_t version, struct err *e) MUST_CHECK;
/* The name in a body, or `before` when it is not there. */
const char *fleet_api_string(const struct request *rq, const char *member, const char *before);

/* A query parameter; "" when it is not there. */
const char *fleet_api_query(const struct request *rq, const char *name);

/* One page of a list while it is read. */
struct fleet_api_list {
	struct fleet_api *api;
	const struct request *rq;
	json_t *items;
	const char *after; /* read from here */
	unsigned limit;    /* items of a page */
	unsigned rows_max; /* to read; more than a page when some of the rows will not be items */
	unsigned rows;     /* looked at */
	char last[PROTO_ID_SIZE];
	bool more;
};
/* A row, as an item or (NULL) not; takes item. Non-zero: the page is full. */
int fleet_api_list_add(struct fleet_api_list *l, const char *id, json_t *item);
/* Reads the rows: calls its noun's list with l as argument. */
typedef int (*fleet_api_read_fn)(struct db *db, struct fleet_api_list *l, struct err *e);
int fleet_api_list(
	struct fleet_api *api, struct request *rq, struct reply *rp, fleet_api_read_fn read, struct err *e) MUST_CHECK;

/* What the query of every list has; and its answer, a schema of these fields with the items' schema before them. */
#define FLEET_API_PAGE_FIELDS                                                                                     \
	{ .name = "limit", .type = SCHEMA_INT, .min = 1, .max = 200, .help = "items in one answer; default 50" }, \
	{                                                                                                         \
		.name = "cursor", .type = SCHEMA_STRING, .max = PROTO_ID_SIZE,                                    \
		.help = "next_cursor of the answer before"                                                        \
	}
#define FLEET_API_CURSOR_FIELD                                                                                \
	{                                                                                                     \
		.name = "next_cursor", .type = SCHEMA_STRING, .flags = SCHEMA_NULLABLE, .max = PROTO_ID_SIZE, \
		.help = "null: this was the last page"                                                        \
	}

extern const struct route ca_routes[], client_relays_routes[], cluster_routes[], group_routes[], node_routes[],
	node_token_routes[];
extern const size_t ca_routes_n, client_relays_routes_n, cluster_routes_n, group_routes_n, node_routes_n,
	node_token_routes_n;

#endif
