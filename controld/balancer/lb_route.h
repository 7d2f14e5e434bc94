/*
 * lb_route - which requests go to which pool: host names, a path, and more that they must have, on the relays of a group. The row
 * of the table, its SQL, and how the API prints it. What a caller may write is in lb_route_input.h, which host names he may have in
 * lb_route_claim.h.
 *
 * Owner: the caller; lb_route_fini() releases the settings.
 */
#ifndef PORTWAY_CONTROLD_BALANCER_LB_ROUTE_H
#define PORTWAY_CONTROLD_BALANCER_LB_ROUTE_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/net/host_name.h"
#include "controld/balancer/lb_actor.h"
#include "controld/balancer/lb_pool.h"
#include "controld/store/store.h"
#include "proto/msg.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define LB_ROUTE_PATH_SIZE  1024
#define LB_ROUTE_HOSTS_MAX  16
#define LB_ROUTE_POOLS_MAX  18                /* its own or those of a split, and that of a mirror */
#define LB_ROUTE_OBJECT_MAX (2 * 1024 * 1024) /* bytes of a printed route */

struct lb_route {
	char id[PROTO_ID_SIZE];
	char tenant_id[PROTO_ID_SIZE];
	char user_id[PROTO_ID_SIZE];          /* "" when an API key of no user made it */
	char host[HOST_NAME_SIZE];            /* a pattern, or "*" */
	char path_prefix[LB_ROUTE_PATH_SIZE]; /* begins with '/' */
	char pool_name[LB_POOL_NAME_MAX + 1]; /* "": it answers by itself, or splits */
	char group_id[PROTO_ID_SIZE], group_name[PROTO_NAME_SIZE];
	char node_id[PROTO_ID_SIZE], node_name[PROTO_NAME_SIZE]; /* "" = every node of the group */
	bool active;                                             /* the wish */
	bool ssl_enabled;
	bool owner_active; /* reading only: neither user nor tenant is suspended or going */
	bool metered;      /* reading only: its tenant may make so many requests in a month */
	json_t *settings;  /* values of lb_route_knobs */
	int64_t version;   /* of the row */
	int64_t seq;       /* of its newest change in the log */
	int64_t created_ms, updated_ms;
};

void lb_route_fini(struct lb_route *r);
/* The i-th host that it is for: its own, then the others; NULL behind the last one. */
const char *lb_route_host(const struct lb_route *r, size_t i);
/* The names of all pools that it uses, each once, borrowed from *r. */
size_t lb_route_pool_names(const struct lb_route *r, const char *names[LB_ROUTE_POOLS_MAX]);

/* status, error: what relays say; NULL: as the change log keeps it. */
void lb_route_print(struct buf *b, const struct lb_route *r, const char *status, const json_t *error);
/* Names of the members that differ, each after a comma. */
void lb_route_diff(const struct lb_route *a, const struct lb_route *b, struct buf *fields);
/* Logs what was done to *r, as it stands now, and puts the number of that change into r->seq. */
int lb_route_log(struct db *tx, struct lb_route *r, const char *op, const char *fields, const struct lb_actor *by,
	struct err *e) MUST_CHECK;

/* ---- rows --------------------------------------------------------------------------------------------------------- */
/* ERR_ROUTE_NOT_FOUND. *r is released by the caller on success. */
int lb_route_get(struct db *db, const char *tenant_id, const char *id, struct lb_route *r, struct err *e) MUST_CHECK;

/* Members that are "" do not filter. */
struct lb_route_filter {
	const char *tenant_id, *host, *pool, *group;
	const char *id;    /* this one alone */
	const char *after; /* id of the last one seen */
	unsigned limit;
};
/* In the order of their ids. fn: 0 goes on, 1 stops. */
typedef int (*lb_route_fn)(const struct lb_route *r, void *arg);
int lb_route_list(struct db *db, const struct lb_route_filter *f, lb_route_fn fn, void *arg, struct err *e) MUST_CHECK;
int lb_route_count(struct db *db, const char *tenant_id, int64_t *n, struct err *e) MUST_CHECK;
/* Ids of the routes that a user or a tenant owns, or that use a pool; fn: 0 goes on. kind: "user", "tenant", "pool". */
int lb_route_ids_of(struct db *db, const char *kind, const char *id, int (*fn)(const char *id, void *arg), void *arg,
	struct err *e) MUST_CHECK;
/* Ids of the pools that it uses; fn: 0 goes on. */
int lb_route_pools_of(
	struct db *db, const char *id, int (*fn)(const char *pool_id, void *arg), void *arg, struct err *e) MUST_CHECK;
/* One of the user's or the tenant's: 1 and *r, 0 when there is none left, -1. */
int lb_route_find_owned(struct db *db, bool tenant, const char *owner, struct lb_route *r, struct err *e) MUST_CHECK;

/* Adds each pool that it names and that is not there. */
int lb_route_check_pools(struct db *db, const struct lb_route *r, struct err_list *errs, struct err *e) MUST_CHECK;
/* With which pools it uses; ERR_POOL_NOT_FOUND, naming the field, when there is no such pool. */
int lb_route_insert(struct db *tx, const struct lb_route *r, struct err *e) MUST_CHECK;
int lb_route_update(struct db *tx, const struct lb_route *r, struct err *e) MUST_CHECK;
int lb_route_delete(struct db *tx, const char *id, struct err *e) MUST_CHECK;

extern const struct sql_table lb_route_sql;

#endif
