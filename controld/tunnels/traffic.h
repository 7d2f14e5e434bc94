/*
 * traffic - what passed, exactly: totals by mapping, user, tenant, node and for the whole system.
 *
 * A report claims its number first; then each meter's new value is compared with the one kept, and the increase goes to
 * the totals in the same transaction. A report that is lost, late or repeated therefore changes nothing. When a boot
 * has ended, its meters are dropped: the totals hold what they brought.
 *
 * A total outlives its mapping: what was used stays used.
 */
#ifndef PORTWAY_CONTROLD_TUNNELS_TRAFFIC_H
#define PORTWAY_CONTROLD_TUNNELS_TRAFFIC_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/store/store.h"
#include "proto/report.h"

#include <stdint.h>

/*
 * 1 EiB of bytes: no honest counter comes there. Whatever relays report, a total stays here, so that a few of them can be
 * added without a second thought.
 */
#define TRAFFIC_MAX (INT64_C(1) << 60)

struct traffic {
	int64_t active;     /* connections and sessions now */
	int64_t updated_ms; /* of the last increase; 0: none yet */
	int64_t value[METER_COUNTERS_N];
};

enum traffic_scope { TRAFFIC_MAPPING, TRAFFIC_CLIENT, TRAFFIC_USER, TRAFFIC_TENANT, TRAFFIC_NODE, TRAFFIC_SYSTEM };
const char *traffic_scope_name(enum traffic_scope scope);

/* What a SELECT reads for traffic_load(): the table must be called t. */
#define TRAFFIC_COLUMN_(name, what) ", t." #name
#define TRAFFIC_COLUMNS             "t.active, t.updated_ms" METER_COUNTERS(TRAFFIC_COLUMN_)
void traffic_load(struct traffic *t, struct query *q, int col);

/* tenant "" for node and system, id "" for system. 1, or 0 and all zero when there is no such total. */
int traffic_get(struct db *db, enum traffic_scope scope, const char *tenant_id, const char *id, struct traffic *out,
	struct err *e) MUST_CHECK;
/* Says whose a new mapping's traffic will be. */
int traffic_open(
	struct db *tx, const char *mapping_id, const char *tenant_id, const char *user_id, struct err *e) MUST_CHECK;

/* And which client serves it: what is reported from now on is that client's, too; 0: none. */
int traffic_serve(
	struct db *tx, const char *mapping_id, const char *tenant_id, int64_t client_id, struct err *e) MUST_CHECK;

/* As the API's traffic_stats: seen from the tunnel port, received is what clients sent in. */
void traffic_print(struct buf *b, const char *key, const struct traffic *t);

extern const struct sql_table traffic_sql;

#endif
