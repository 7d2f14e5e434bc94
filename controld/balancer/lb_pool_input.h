/*
 * lb_pool_input - what a caller may write of a pool, and its defaults.
 *
 * Pure.
 */
#ifndef PORTWAY_CONTROLD_BALANCER_LB_POOL_INPUT_H
#define PORTWAY_CONTROLD_BALANCER_LB_POOL_INPUT_H

#include "controld/balancer/knobs.h"
#include "controld/balancer/lb_pool.h"
#include "controld/rest/schema.h"

extern const struct knobs lb_pool_knobs;
/* The health check of a pool, and of a backend that has one of its own; the latter says only what differs. */
extern const struct knobs lb_health_knobs;
extern const struct schema lb_health_schema;

/* A new one: no id, everything at its default. -1: out of memory. */
int lb_pool_init(struct lb_pool *p) MUST_CHECK;
/* Takes the members of a body that its schema let through; all that is wrong goes to errs. */
void lb_pool_apply(struct lb_pool *p, const json_t *body, struct err_list *errs);
/* The values of a health check, each by itself. */
void lb_health_check(const json_t *values, struct err_list *errs);
/*
 * How long one check may last: what the backend (own, may be NULL) or else its pool says, or the default, which is never longer than
 * the interval that holds.
 */
int64_t lb_health_timeout_ms(const json_t *own, const json_t *pool);
/* A timeout that somebody has said is no longer than the interval that holds. Of a pool's values: own NULL. */
void lb_health_fit(const json_t *own, const json_t *pool, struct err_list *errs);
/* The same for a backend of a pool that is being changed. */
void lb_health_fit_backend(const char *id, const json_t *own, const json_t *pool, struct err_list *errs);
/* A path that is asked for and no type of check: it is an HTTP check. */
void lb_health_take(const struct knobs *k, json_t *values, const json_t *body, struct err_list *errs);

extern const struct schema lb_pool_schema, lb_pool_list_query, lb_pool_list_schema;

#endif
