/*
 * site_env - what the nouns of this folder are made with: the same for all of them.
 *
 * Owner: the service. Thread: control thread.
 */
#ifndef PORTWAY_RELAYD_SITE_SITE_ENV_H
#define PORTWAY_RELAYD_SITE_SITE_ENV_H

#include "relayd/lb/lb_outlier.h"
#include "relayd/site/life.h"
#include "relayd/site/tally.h"
#include "relayd/site/tls_clients.h"

struct workers;

struct site_env {
	struct workers *workers;
	struct lives lives;
	struct tally_book tallies;
	struct tls_clients tls;    /* how backends are known */
	lb_outlier_fn *on_outlier; /* arg: the struct pool; on any worker, or the control thread */
	const char *region;        /* of this relay; "": it has none, and all backends are equally near. Borrowed */
};

/* The same on every relay and for ever: what cookies and tables of hashes know a target by. */
uint64_t site_hash(const void *p, size_t n);

#endif
