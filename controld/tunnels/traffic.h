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
/* By the counter's name; 0 for one that there is not. */
int64_t traffic_value(const struct traffic *t, const char *counter);

/* Whose a meter is; all "" when nobody knows the mapping. */
struct traffic_owner {
	char mapping_id[PROTO_ID_SIZE];
	char tenant_id[PROTO_ID_SIZE];
	char user_id[PROTO_ID_SIZE];
	char client_id[PROTO_ID_SIZE]; /* "": no client serves it */
	char source_id
		[PROTO_ID_SIZE]; /* of a private one, the client that it leads from: both have its traffic; "": none */
};
struct traffic_increase {
	int64_t active; /* may fall */
	int64_t value[METER_COUNTERS_N];
};
/* What one transaction adds to the totals that each increase belongs to; written last, each total once. */
struct traffic_sums;
int traffic_sums_new(struct traffic_sums **out, struct err *e) MUST_CHECK;
void traffic_sums_free(struct traffic_sums *s);
int traffic_sums_add(struct traffic_sums *s, const char *node_id, const struct traffic_owner *o,
	const struct traffic_increase *by, struct err *e) MUST_CHECK;
int traffic_sums_write(struct db *tx, const struct traffic_sums *s, int64_t now_ms, struct err *e) MUST_CHECK;

/* tenant "" for node and system, id "" for system. 1, or 0 and all zero when there is no such total. */
int traffic_get(struct db *db, enum traffic_scope scope, const char *tenant_id, const char *id, struct traffic *out,
	struct err *e) MUST_CHECK;
/* Says whose a new mapping's traffic will be. */
int traffic_open(
	struct db *tx, const char *mapping_id, const char *tenant_id, const char *user_id, struct err *e) MUST_CHECK;

/* A node's total is known from now on. */
int traffic_open_node(struct db *tx, const char *node_id, struct err *e) MUST_CHECK;
/* And which client serves it, and which one it leads from: what is reported from now on is theirs, too; 0: none. */
int traffic_serve(struct db *tx, const char *mapping_id, const char *tenant_id, int64_t client_id, int64_t source_id,
	struct err *e) MUST_CHECK;

/* As the API's traffic_stats: seen from the tunnel port, received is what clients sent in. */
void traffic_print(struct buf *b, const char *key, const struct traffic *t);

extern const struct sql_table traffic_sql;
extern const struct sql_table traffic_meters_sql; /* traffic_meters.c */

#endif
