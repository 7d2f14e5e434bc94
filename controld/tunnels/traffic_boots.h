/*
 * traffic_boots - the boots of relays and the newest report of each that is stored (table meter_boots).
 */
#ifndef PORTWAY_CONTROLD_TUNNELS_TRAFFIC_BOOTS_H
#define PORTWAY_CONTROLD_TUNNELS_TRAFFIC_BOOTS_H

#include "common/base/macros.h"
#include "controld/store/store.h"
#include "controld/tunnels/tunnels.h"
#include "proto/report.h"

#include <stdint.h>

/* It brings no counters. */
bool traffic_is_heartbeat(const struct traffic_report *r);
/*
 * Claims the number of each, and says so in `stored`, `refused`. They are of different boots and sorted, so that two controlds
 * claim the boots of one node in one order.
 */
int traffic_boots_claim(struct db *tx, struct traffic_report *all, size_t n, int64_t now_ms, struct err *e) MUST_CHECK;
/* One that has not ended: 1, 0, -1. */
int traffic_boots_living(struct db *tx, const char *node_id, char boot[PROTO_ID_SIZE], struct err *e) MUST_CHECK;
int traffic_boots_end(struct db *tx, const char *node_id, const char *boot, int64_t now_ms, struct err *e) MUST_CHECK;

extern const struct sql_table traffic_boots_sql;

#endif
