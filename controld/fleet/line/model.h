/*
 * model - what every relay should run: the present version of each object, where it is placed, and the newest changes
 * of each group. It answers what a relay that has revision V needs: nothing, a delta, or a snapshot.
 *
 * A revision is (log id, sequence of the change log). The reader of the log puts what changed and then advances the
 * model, so a revision is always a whole number of transactions. A delta that many relays of a group need is encoded
 * once. Objects placed on one node concern that node alone: the others' revision does not move for them.
 *
 * Owner: fleet. Thread: the fleet thread. No I/O, no clock.
 */
#ifndef PORTWAY_CONTROLD_FLEET_LINE_MODEL_H
#define PORTWAY_CONTROLD_FLEET_LINE_MODEL_H

#include "common/base/macros.h"
#include "controld/fleet/line/model_object.h"
#include "proto/msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct model;
struct model_snapshot;

/* Bytes of entries in one message: what is left beside the head and its asks. */
#define MODEL_PAGE_MAX (PROTO_MSG_MAX - 4096)

struct model_conf {
	uint8_t log_id[PROTO_LOG_ID_SIZE];
	uint64_t rev;       /* at which the objects are loaded */
	uint64_t floor;     /* changes above it are recalled, see model_recall() */
	size_t changes_max; /* of one group */
};

int model_new(struct model **out, const struct model_conf *c, struct err *e) MUST_CHECK;
void model_free(struct model *m);
/* Everything that another one has, which is freed: for whoever holds m the world has moved on. */
void model_become(struct model *m, struct model *other);
/* Every group there is, before anything else; one that appears later is taken up by its first object. */
int model_group(struct model *m, const char *group, struct err *e) MUST_CHECK;

/* While loading, each object once: it belongs to the revision the model starts with. */
int model_load(struct model *m, const struct model_put *from, struct err *e) MUST_CHECK;
/* While loading, oldest first, after the objects: this one (kind, id, spread) changed at rev; where it was before is not
 * known. */
int model_recall(struct model *m, const struct model_put *which, uint64_t rev, struct err *e) MUST_CHECK;

/* A new version, or its end, that comes with revision rev. */
int model_put(struct model *m, const struct model_put *from, uint64_t rev, struct err *e) MUST_CHECK;
int model_remove(struct model *m, const char *id, uint64_t rev, struct err *e) MUST_CHECK;
/* The same for one that is spread: it stands in these groups from now on, and in no other. */
int model_spread(struct model *m, const struct model_put *from, const char *const *groups, size_t n, uint64_t rev,
	struct err *e) MUST_CHECK;
/* Whether the model has this object as it is, with a sequence of at least `since`: then there is nothing to say. */
bool model_has(const struct model *m, const struct model_put *from, uint64_t since);
/* All that belongs to revisions up to rev has been said. */
void model_advance(struct model *m, uint64_t rev);

struct proto_revision model_revision(const struct model *m);
/* Rises when something changed that a relay may have to know. */
uint64_t model_changes(const struct model *m);
size_t model_count(const struct model *m);
size_t model_group_count(const struct model *m, const char *group);

/* A relay: where it is placed, since when, and what it has. */
struct model_relay {
	const char *node;
	const char *group;
	uint64_t placed; /* sequence of the change that put it into this group */
	struct proto_revision have;
};
/* The newest revision that concerns this relay; `have` does not matter. */
uint64_t model_head(const struct model *m, const struct model_relay *r);
enum model_need { MODEL_NOTHING, MODEL_DELTA, MODEL_SNAPSHOT };
enum model_need model_need(const struct model *m, const struct model_relay *r);

/* Borrowed until the model changes or is asked for another one. */
struct model_delta {
	uint64_t to;
	uint32_t n;
	const uint8_t *entries;
	size_t size;
};
/* At most MODEL_PAGE_MAX bytes, ending between two revisions; -1 if that cannot be (take a snapshot). */
int model_delta(struct model *m, const struct model_relay *r, struct model_delta *out) MUST_CHECK;
/* A reference to the group's present state; NULL: out of memory. */
struct model_snapshot *model_snapshot(struct model *m, const char *group) MUST_CHECK;

#endif
