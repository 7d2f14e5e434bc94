/*
 * snapshot - all that this relay should run at one revision: an array of references to immutable objects.
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

#define SNAPSHOT_OBJECTS_MAX (1024 * 1024)

struct snapshot {
	struct proto_revision revision;
	size_t n;
	const struct object **objects; /* sorted by id */
	unsigned refs;
};

/* An empty one (revision zero). */
int snapshot_new(struct snapshot **out, struct err *e) MUST_CHECK;
struct snapshot *snapshot_ref(struct snapshot *s);
void snapshot_unref(struct snapshot *s);
const struct object *snapshot_find(const struct snapshot *s, const char *id);

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
