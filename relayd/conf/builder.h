/*
 * builder - a snapshot being made, shelf by shelf in the order of the ids. Used inside conf/ only.
 *
 * Owner: whoever embeds it, for one call. Thread: control thread.
 */
#ifndef PORTWAY_RELAYD_CONF_BUILDER_H
#define PORTWAY_RELAYD_CONF_BUILDER_H

#include "relayd/conf/snapshot.h"

struct builder {
	struct snapshot *snapshot;
	size_t cap; /* of its list of shelves */
};

/* builder_fini() also when it fails. shelves: how many are expected; more are no error. */
int builder_init(struct builder *b, size_t shelves, struct err *e) MUST_CHECK;
void builder_fini(struct builder *b);
/* A whole shelf of another snapshot. */
int builder_share(struct builder *b, struct shelf *s, struct err *e) MUST_CHECK;
/* Objects in their order, on new shelves of equal length. */
int builder_put(struct builder *b, const struct object *const *objects, size_t n, struct err *e) MUST_CHECK;
/* The reference is the caller's; the builder is empty afterwards. */
struct snapshot *builder_finish(struct builder *b, const struct proto_revision *revision);

#endif
