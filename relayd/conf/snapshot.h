/*
 * snapshot - all that this relay should run at one revision: an array of references to immutable objects.
 *
 * Owner:  references; a snapshot and its objects never change once made, so old and new share what stayed the same.
 * Thread: built by the control thread; ref/unref from any thread (atomic).
 */
#ifndef PORTWAY_RELAYD_CONF_SNAPSHOT_H
#define PORTWAY_RELAYD_CONF_SNAPSHOT_H

#include "common/base/macros.h"
#include "proto/mapping_conf.h"
#include "proto/update.h"

#include <stddef.h>
#include <stdint.h>

struct err;

struct object {
	uint8_t kind; /* enum object_kind */
	char id[PROTO_ID_SIZE];
	uint64_t seq;
	struct mapping_conf mapping; /* kind OBJECT_MAPPING */
	/* private */
	unsigned refs;
	size_t body_n;
	uint8_t *body; /* as it came, for the last-good file */
};

struct object *object_ref(const struct object *o);
void object_unref(const struct object *o);

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
 * A delta on top of `base`. A body that cannot be decoded does not fail the revision: the object is left out (an older
 * one of that id too) and `bad` is told. ERR_CONFLICT when the delta does not start at base's revision.
 */
typedef void (*snapshot_bad_fn)(const struct update_entry *entry, void *arg);
int snapshot_apply(struct snapshot **out, const struct snapshot *base, const struct msg_update *delta,
	snapshot_bad_fn bad, void *arg, struct err *e) MUST_CHECK;

/* Pages of a snapshot, collected until the last one. */
struct snapshot_stage;
int snapshot_stage_add(struct snapshot_stage **stage, const struct snapshot *base, const struct msg_update *page,
	snapshot_bad_fn bad, void *arg, struct err *e) MUST_CHECK;
int snapshot_stage_finish(struct snapshot **out, struct snapshot_stage **stage, struct err *e) MUST_CHECK;
void snapshot_stage_free(struct snapshot_stage *stage);

/* Walks what differs: (NULL, new) added, (old, NULL) gone, (old, new) changed; same object: not called. */
typedef void (*snapshot_diff_fn)(const struct object *old, const struct object *new_, void *arg);
void snapshot_diff(const struct snapshot *old, const struct snapshot *new_, snapshot_diff_fn fn, void *arg);

#endif
