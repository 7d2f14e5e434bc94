/*
 * lb_sticky - the secrets that relays sign the cookies of sticky sessions with: one for each pool, the same on every relay and for
 * ever, made from one secret of the installation that is sealed among the others.
 *
 * Thread: any, inside a transaction.
 */
#ifndef PORTWAY_CONTROLD_BALANCER_LB_STICKY_H
#define PORTWAY_CONTROLD_BALANCER_LB_STICKY_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/store/store.h"
#include "proto/pool_conf.h"

/* Kept while many pools are read. */
struct lb_sticky {
	bool there;
	uint8_t of_all[POOL_SECRET];
};

/* Makes it, if there is none. */
int lb_sticky_bootstrap(struct db *tx, struct err *e) MUST_CHECK;
int lb_sticky_secret(
	struct lb_sticky *s, struct db *db, const char *pool_id, uint8_t out[POOL_SECRET], struct err *e) MUST_CHECK;
void lb_sticky_wipe(struct lb_sticky *s);

#endif
