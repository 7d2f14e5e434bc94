/*
 * mapping_status - what the relays say about each mapping, in memory; the status the API prints is computed from it.
 *
 * fleet/ writes (it knows placement, acknowledged sequences and refusals), tunnels/ reads. Nothing here is stored: after
 * a restart the relays' next polls fill it again.
 *
 * overall: error if an online node refuses, else active if an online node has it, else pending; offline nodes never decide.
 *
 * Thread: any (one lock inside). Every change of a mapping's overall status wakes park key "mapping:<id>".
 */
#ifndef PORTWAY_CONTROLD_TUNNELS_MAPPING_STATUS_H
#define PORTWAY_CONTROLD_TUNNELS_MAPPING_STATUS_H

#include "common/base/err.h"
#include "common/base/macros.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct parks;
struct mapping_statuses;

enum mapping_overall { MAPPING_STATUS_PENDING, MAPPING_STATUS_ACTIVE, MAPPING_STATUS_ERROR };

int mapping_statuses_new(struct mapping_statuses **out, struct parks *parks, struct err *e) MUST_CHECK;
void mapping_statuses_free(struct mapping_statuses *s);

/* A node's complete word: it runs everything of its group up to `seq`, but for these refusals. */
struct mapping_refusal {
	const char *mapping_id;
	int64_t seq; /* of the mapping's version that was refused */
	enum err_code code;
	const char *reason;
};
void mapping_statuses_node(struct mapping_statuses *s, const char *node_id, const char *node_name, const char *group_id,
	bool online, int64_t seq, const struct mapping_refusal *refusals, size_t n);
void mapping_statuses_node_gone(struct mapping_statuses *s, const char *node_id);

/*
 * The status of one mapping whose newest logged change has number seq, placed on a group (and on one node of it, or
 * ""). *error_json (may be NULL) gets a new object {"<node name>": {"code", "message"}} or NULL.
 */
enum mapping_overall mapping_statuses_get(struct mapping_statuses *s, const char *mapping_id, const char *group_id,
	const char *node_id, int64_t seq, json_t **error_json);

#endif
