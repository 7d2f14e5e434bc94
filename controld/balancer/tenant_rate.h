/*
 * tenant_rate - how fast a tenant's totals rise: what they were half a minute to a minute ago is kept in memory, of those that moved.
 *
 * Owner: the balancer. Thread: any (one lock inside).
 */
#ifndef PORTWAY_CONTROLD_BALANCER_TENANT_RATE_H
#define PORTWAY_CONTROLD_BALANCER_TENANT_RATE_H

#include "common/base/macros.h"
#include "controld/store/store.h"

#include <stdint.h>

struct err;
struct tenant_rates;
struct traffic;

int tenant_rates_new(struct tenant_rates **out, struct err *e) MUST_CHECK;
void tenant_rates_free(struct tenant_rates *r);
/* Looks at the totals that moved of late: about every 10 s. */
int tenant_rates_tick(struct tenant_rates *r, struct db *db, int64_t now_ms, struct err *e) MUST_CHECK;

struct tenant_rate {
	double requests_per_second;
	double response_time_ms; /* mean of the answers in that time; 0: none */
	double error_rate;       /* of 5xx among the answers */
};
/* now: the totals as they are. */
void tenant_rates_get(struct tenant_rates *r, const char *tenant_id, const struct traffic *now, int64_t now_ms,
	struct tenant_rate *out);

extern const struct sql_table tenant_rate_sql;

#endif
