/*
 * lb_placed - pools and routes as relays see them: for fleet/, which brings them there.
 *
 * Thread: any, inside a transaction.
 */
#ifndef PORTWAY_CONTROLD_BALANCER_LB_PLACED_H
#define PORTWAY_CONTROLD_BALANCER_LB_PLACED_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/store/store.h"
#include "proto/msg.h"
#include "proto/pool_conf.h"
#include "proto/route_conf.h"

#include <stdbool.h>
#include <stdint.h>

/* What fn gets is good for the call: it encodes or copies. */
struct lb_pool_placed {
	char id[PROTO_ID_SIZE];
	int64_t seq;  /* of its newest logged change */
	bool present; /* false: deleted */
	const struct pool_conf *conf;
};
typedef int (*lb_pool_placed_fn)(const struct lb_pool_placed *p, void *arg);
/* One as of now (present = false if it is gone); all of them, any order. */
int lb_pool_placed_get(struct db *db, const char *id, lb_pool_placed_fn fn, void *arg, struct err *e) MUST_CHECK;
int lb_pool_placed_all(struct db *db, lb_pool_placed_fn fn, void *arg, struct err *e) MUST_CHECK;
/* The groups from which routes lead to it; none: it belongs to `default`. */
int lb_pool_placed_groups(
	struct db *db, const char *id, int (*fn)(const char *group_id, void *arg), void *arg, struct err *e) MUST_CHECK;

struct lb_route_placed {
	char id[PROTO_ID_SIZE];
	char group_id[PROTO_ID_SIZE];
	char node_id[PROTO_ID_SIZE]; /* "" = every node of the group */
	int64_t seq;
	bool present; /* false: deleted, or switched off */
	const struct route_conf *conf;
};
typedef int (*lb_route_placed_fn)(const struct lb_route_placed *r, void *arg);
int lb_route_placed_get(struct db *db, const char *id, lb_route_placed_fn fn, void *arg, struct err *e) MUST_CHECK;
int lb_route_placed_all(struct db *db, lb_route_placed_fn fn, void *arg, struct err *e) MUST_CHECK;

/* What is to be read again with a changed user or tenant (suspension, what may be dialled). kind: "user", "tenant". */
int lb_placed_routes_of(struct db *db, const char *kind, const char *subject, int (*fn)(const char *id, void *arg),
	void *arg, struct err *e) MUST_CHECK;
int lb_placed_pools_of(struct db *db, const char *kind, const char *subject, int (*fn)(const char *id, void *arg),
	void *arg, struct err *e) MUST_CHECK;

#endif
