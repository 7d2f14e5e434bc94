/*
 * snapshot - all that this relay should run at one revision: references to immutable objects, in the order of their ids.
 *
 * Owner:  references; a snapshot and its objects never change once made, so old and new share what stayed the same.
 * Thread: built by the control thread; ref/unref from any thread (atomic).
 */
#ifndef PORTWAY_RELAYD_CONF_SNAPSHOT_H
#define PORTWAY_RELAYD_CONF_SNAPSHOT_H

#include "common/base/macros.h"
#include "proto/update.h"
#include "relayd/conf/object.h"

#include <stddef.h>

struct err;
struct shelf;

#define SNAPSHOT_OBJECTS_MAX (1024 * 1024)

struct snapshot {
	struct proto_revision revision;
	size_t n; /* objects */
	/* private */
	struct shelf **shelves;
	size_t n_shelves;
	unsigned refs;
};

/* An empty one (revision zero). */
int snapshot_new(struct snapshot **out, struct err *e) MUST_CHECK;
struct snapshot *snapshot_ref(struct snapshot *s);
void snapshot_unref(struct snapshot *s);
const struct object *snapshot_find(const struct snapshot *s, const char *id);
/* In order: struct snapshot_walk w = { 0 }; while ((o = snapshot_next(s, &w)) != NULL) ... */
struct snapshot_walk {
	size_t shelf, at;
};
const struct object *snapshot_next(const struct snapshot *s, struct snapshot_walk *w);
/* Of these objects, in the order of their ids, each id once; takes references of its own. */
int snapshot_of(struct snapshot **out, const struct proto_revision *revision, const struct object *const *objects,
	size_t n, struct err *e) MUST_CHECK;

/*
 * A delta on top of `base`. It never fails for what an object says (see OBJECT_FAULTY). ERR_CONFLICT when the delta does
 * not start at the revision of base, or pages of a snapshot are of different revisions: ask for a whole snapshot then.
 */
int snapshot_apply(
	struct snapshot **out, const struct snapshot *base, const struct msg_update *delta, struct err *e) MUST_CHECK;

/* Pages of a snapshot, collected until the last one. */
struct snapshot_stage;
/* On error the stage is of no more use (snapshot_stage_free()). */
int snapshot_stage_add(struct snapshot_stage **stage, const struct snapshot *base, const struct msg_update *page,
	struct err *e) MUST_CHECK;
/* *stage is NULL afterwards, also on error. */
int snapshot_stage_finish(struct snapshot **out, struct snapshot_stage **stage, struct err *e) MUST_CHECK;
void snapshot_stage_free(struct snapshot_stage *stage);

/* Walks what differs: (NULL, new) added, (old, NULL) gone, (old, new) changed; same object: not called. */
typedef void (*snapshot_diff_fn)(const struct object *old, const struct object *new_, void *arg);
void snapshot_diff(const struct snapshot *old, const struct snapshot *new_, snapshot_diff_fn fn, void *arg);

#endif
