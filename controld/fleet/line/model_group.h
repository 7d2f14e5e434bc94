/*
 * model_group - one group of the model: its objects, its newest changes, and what was encoded from them last.
 *
 * Owner: the model. Thread: the fleet thread.
 */
#ifndef PORTWAY_CONTROLD_FLEET_LINE_MODEL_GROUP_H
#define PORTWAY_CONTROLD_FLEET_LINE_MODEL_GROUP_H

#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/base/macros.h"
#include "common/base/map.h"
#include "controld/fleet/line/model_log.h"
#include "controld/fleet/line/model_object.h"
#include "proto/msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct model_snapshot;

/* Relays of one group stand at few different revisions: the newest, and what those have that were just told. */
#define MODEL_GROUP_DELTAS 4

struct model_encoded {
	bool valid;
	uint64_t from, to;
	uint32_t n;
	struct buf entries;
};

struct model_group {
	char id[PROTO_ID_SIZE];
	struct list objects; /* model_object.in_group */
	size_t n;
	struct model_log log;
	uint64_t head;                   /* newest change that concerns every node */
	struct map node_heads;           /* newest change that concerns one node alone */
	struct model_snapshot *snapshot; /* of the present state, or NULL */
	struct model_encoded deltas[MODEL_GROUP_DELTAS];
	unsigned next_delta; /* to be overwritten */
};

int model_group_new(
	struct model_group **out, const char *id, size_t changes_max, uint64_t floor, struct err *e) MUST_CHECK;
void model_group_free(struct model_group *g);
/* Writes a change down; what was encoded before is stale. */
int model_group_change(
	struct model_group *g, uint64_t rev, struct model_object *o, bool gone, struct err *e) MUST_CHECK;
void model_group_add(struct model_group *g, struct model_object *o);
void model_group_drop(struct model_group *g, struct model_object *o);
/* Newest change that concerns this node alone. */
uint64_t model_group_node_head(const struct model_group *g, const char *node);

#endif
