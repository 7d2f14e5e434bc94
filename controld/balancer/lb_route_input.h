/*
 * lb_route_input - what a caller may write of a route, and its defaults.
 *
 * Pure.
 */
#ifndef PORTWAY_CONTROLD_BALANCER_LB_ROUTE_INPUT_H
#define PORTWAY_CONTROLD_BALANCER_LB_ROUTE_INPUT_H

#include "controld/balancer/knobs.h"
#include "controld/balancer/lb_route.h"
#include "controld/rest/schema.h"

extern const struct knobs lb_route_knobs;

#define LB_ROUTE_FIELDS_MAX  8  /* header fields that requests must have */
#define LB_ROUTE_TARGETS_MAX 16 /* pools of a split */
#define LB_ROUTE_EDITS_MAX   32 /* fields set, added or removed, of one direction */
#define LB_ROUTE_PAGES_MAX   16 /* error pages */

/* A new one; -1: out of memory. */
int lb_route_init(struct lb_route *r) MUST_CHECK;
/* Takes the members of a body that its schema let through; all that is wrong goes to errs. */
void lb_route_apply(struct lb_route *r, const json_t *body, struct err_list *errs);

extern const struct schema lb_route_schema, lb_route_list_query, lb_route_list_schema;

#endif
