/*
 * shelf - some objects in the order of their ids; what a snapshot is made of, and what snapshots share.
 *
 * A change of one object makes one new shelf and takes over all others whole, so it costs as much with a hundred
 * thousand objects as with a hundred.
 *
 * Owner: references. Thread: made by the control thread; ref/unref from any thread (atomic). Used inside conf/ only.
 */
#ifndef PORTWAY_RELAYD_CONF_SHELF_H
#define PORTWAY_RELAYD_CONF_SHELF_H

#include "common/base/macros.h"

#include <stddef.h>

struct object;

#define SHELF_MAX 128

struct shelf {
	unsigned refs;
	unsigned n; /* at least 1 */
	const struct object *objects[SHELF_MAX];
};

/* Takes a reference of each object; n at most SHELF_MAX. NULL for lack of memory. */
struct shelf *shelf_new(const struct object *const *objects, size_t n);
struct shelf *shelf_ref(struct shelf *s);
void shelf_unref(struct shelf *s);
/* The object of this id, or NULL. */
const struct object *shelf_find(const struct shelf *s, const char *id);

#endif
