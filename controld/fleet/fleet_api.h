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

#include <jansson.h>
#include <stdint.h>

struct ca;
struct roster;

/* What the handlers get. */
struct fleet_api {
	struct store *store;
	struct roster *roster;
	const struct ca *ca; /* NULL until the fleet is started */
};

/* In whose name this request changes something. */
struct who fleet_api_who(const struct request *rq);
/* If-Match against the version of a row. */
int fleet_api_match(const struct request *rq, int64_t version, struct err *e) MUST_CHECK;
/* The name in a body, or `before` when it is not there. */
const char *fleet_api_string(const struct request *rq, const char *member, const char *before);

/* A list is read with one row more than a page holds; that row is dropped and makes the cursor. */
struct fleet_api_list {
	struct fleet_api *api;
	const struct request *rq;
	json_t *items;
};
/* Reads the rows: calls its noun's list with l as argument. */
typedef int (*fleet_api_read_fn)(
	struct db *db, const char *after, unsigned limit, struct fleet_api_list *l, struct err *e);
int fleet_api_list(
	struct fleet_api *api, struct request *rq, struct reply *rp, fleet_api_read_fn read, struct err *e) MUST_CHECK;

extern const struct route group_routes[], node_routes[], node_token_routes[];
extern const size_t group_routes_n, node_routes_n, node_token_routes_n;

#endif
