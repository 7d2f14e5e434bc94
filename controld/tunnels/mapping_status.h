/*
 * mapping_status - what the relays say about each mapping, in memory; the status the API prints is computed from it.
 *
 * fleet/ writes (it knows placement, acknowledged sequences and refusals), tunnels/ reads. Nothing here is stored: after
 * a restart the relays' next polls fill it again. Only refusals are kept by mapping: that a relay runs one is known from
 * how far it has acknowledged, so 1,000 relays with 10,000 mappings each cost 1,000 small entries.
 *
 * overall: error if an online node refuses, else active if an online node has it, else pending; offline nodes never decide.
 *
 * Thread: any (one lock inside).
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

/* One version of a mapping: its newest logged change has number seq; placed on a group, and on one node of it or "". */
struct mapping_version {
	const char *mapping_id, *group_id, *node_id;
	int64_t seq;
};

/*
 * The status of one mapping whose newest logged change has number seq, placed on a group (and on one node of it, or
 * ""). *error_json (may be NULL) gets a new object {"<node name>": {"code", "message"}} or NULL.
 */
enum mapping_overall mapping_statuses_get(struct mapping_statuses *s, const char *mapping_id, const char *group_id,
	const char *node_id, int64_t seq, json_t **error_json);

/* Whether a relay that counts now refuses this very version with this code: one of an older version may be about other ports. */
bool mapping_statuses_refused(struct mapping_statuses *s, const struct mapping_version *v, enum err_code code);

/* Whether a relay refuses any version of any mapping, counted or not. */
bool mapping_statuses_any_refused(struct mapping_statuses *s);

/*
 * A watch says when the relays' answer is complete: every online node of the placement has this version or a newer one,
 * or one refuses it, or there is none that could answer. Then park key "mapping:<id>" is woken, once. Other mappings,
 * and those that nobody watches, wake nothing.
 */
struct mapping_watch;
int mapping_watch_new(struct mapping_watch **out, struct mapping_statuses *s, const struct mapping_version *v,
	struct err *e) MUST_CHECK;
bool mapping_watch_settled(struct mapping_watch *w);
void mapping_watch_free(struct mapping_watch *w); /* takes NULL; before the statuses are freed */

#endif
