/*
 * model_log - the newest changes of one group in order of revision, so that a relay which is a little behind gets a
 * delta. Bounded: the oldest change goes when a new one finds no room, and `floor` says what is no longer covered.
 *
 * Owner: the model. Thread: the fleet thread.
 */
#ifndef PORTWAY_CONTROLD_FLEET_LINE_MODEL_LOG_H
#define PORTWAY_CONTROLD_FLEET_LINE_MODEL_LOG_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct model_object;

struct model_change {
	uint64_t rev;
	struct model_object *object; /* referenced: as it came, or as it was before it went */
	bool gone;
};

struct model_log {
	struct model_change *ring;
	size_t cap, first, n;
	size_t max;
	uint64_t floor; /* every change above this revision is here */
};

void model_log_init(struct model_log *l, size_t max, uint64_t floor);
void model_log_fini(struct model_log *l);
/* Takes a reference of its own. Without memory the whole list goes: whoever is behind gets a snapshot. */
void model_log_add(struct model_log *l, uint64_t rev, struct model_object *o, bool gone);
/* Index of the first change above rev; l->n if there is none. */
size_t model_log_after(const struct model_log *l, uint64_t rev);
const struct model_change *model_log_at(const struct model_log *l, size_t i);

#endif
