/*
 * balancer - the feature: pools, their backends, and the routes that lead to them. What other rooms may use of it.
 */
#ifndef PORTWAY_CONTROLD_BALANCER_BALANCER_H
#define PORTWAY_CONTROLD_BALANCER_BALANCER_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/identity/service.h"
#include "controld/rest/route.h"
#include "controld/store/store.h"
#include "controld/tunnels/relays.h"

#include <stdbool.h>
#include <stdint.h>

struct balancer;
struct erasure;
struct mapping_statuses;
struct parks;

struct balancer_conf {
	uint64_t create_wait_ms;           /* how long a create waits for the relays */
	uint32_t pools_max, routes_max;    /* of one tenant; 0: none */
	int host_names_by;                 /* enum host_names_by: who may have hosts outside of a group's domain */
	struct mapping_statuses *statuses; /* what relays say of objects */
};

/* What the first start makes. */
int balancer_bootstrap(struct store *store, struct err *e) MUST_CHECK;
int balancer_new(struct balancer **out, const struct balancer_conf *conf, struct store *store, struct parks *parks,
	const struct relays *relays, struct err *e) MUST_CHECK;
void balancer_free(struct balancer *b);
/* May change while it serves. Any thread. */
void balancer_set_create_wait(struct balancer *b, uint64_t ms);
struct route_table balancer_routes(struct balancer *b);

/* -1 when relays have joined and none of them is online: then nobody balances anything. */
int balancer_check(struct balancer *b, struct err *e) MUST_CHECK;
/* For the janitor: rates, about every 10 s, each controld; months, about every minute, one for all. */
int balancer_tick(void *balancer, int64_t now_ms, struct err *e) MUST_CHECK;
int balancer_months(void *balancer, int64_t now_ms, struct err *e) MUST_CHECK;
/* What a tenant passed in this month (struct tenant_usage_source). */
int balancer_usage(
	void *balancer, struct db *db, const char *tenant_id, struct tenant_usage *out, struct err *e) MUST_CHECK;

extern const struct sql_table *const balancer_sql[];
extern const size_t balancer_sql_n;
extern const struct erasure *const balancer_erasures[];
extern const size_t balancer_erasures_n;

#endif
