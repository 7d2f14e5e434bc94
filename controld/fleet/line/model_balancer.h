/*
 * model_balancer - pools and routes, read from the database into the model.
 *
 * A pool stands in every group that a route leads to it from, and in `default` while there is none.
 *
 * Thread: the fleet thread.
 */
#ifndef PORTWAY_CONTROLD_FLEET_LINE_MODEL_BALANCER_H
#define PORTWAY_CONTROLD_FLEET_LINE_MODEL_BALANCER_H

#include "common/base/macros.h"

#include <stdint.h>

struct buf;
struct db;
struct err;
struct model;

struct model_balancer {
	struct model *model;
	struct db *db;
	struct buf *body; /* reused */
	uint64_t seq;     /* what is read is at least as new as this */
	uint64_t rev;     /* 0: loading */
};

int model_balancer_pool(const struct model_balancer *m, const char *id, struct err *e) MUST_CHECK;
int model_balancer_route(const struct model_balancer *m, const char *id, struct err *e) MUST_CHECK;
/* All of them. */
int model_balancer_load(const struct model_balancer *m, struct err *e) MUST_CHECK;

#endif
