/*
 * model_object - one version of one thing that relays run, encoded once: placement and wire entry. Immutable.
 *
 * Owner:  references: the model holds the present version, its change lists and snapshots hold what they name.
 * Thread: the fleet thread.
 */
#ifndef PORTWAY_CONTROLD_FLEET_LINE_MODEL_OBJECT_H
#define PORTWAY_CONTROLD_FLEET_LINE_MODEL_OBJECT_H

#include "common/base/list.h"
#include "common/base/macros.h"
#include "proto/msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

struct model_object {
	struct list in_group; /* of the model while this is the present version */
	unsigned refs;
	uint8_t kind; /* enum object_kind */
	char id[PROTO_ID_SIZE];
	char group[PROTO_ID_SIZE];
	char node[PROTO_ID_SIZE]; /* "" = every node of the group */
	const char *key;          /* in the model: the id, or "<id>@<group>" of one that stands in several groups */
	uint64_t seq;
	size_t size;    /* of wire; 0 in one that is known to have existed only */
	uint8_t wire[]; /* as msg_update_put() writes it; the key behind it */
};

/* What a version is made from. */
struct model_put {
	uint8_t kind;
	const char *id;
	const char *group;
	const char *node;
	bool spread; /* it may stand in several groups, one object in each */
	uint64_t seq;
	const void *body; /* NULL: no wire entry */
	size_t n;
	uint64_t since; /* of one that is spread: where it is as it is, but older than this, it is new all the same */
};

int model_object_new(struct model_object **out, const struct model_put *from, struct err *e) MUST_CHECK;
struct model_object *model_object_ref(struct model_object *o);
void model_object_unref(struct model_object *o); /* NULL is fine */
/* Whether it is placed alike and its body is the same, whatever the sequence. */
bool model_object_same(const struct model_object *o, const struct model_put *from);
#define MODEL_KEY_SIZE (2 * PROTO_ID_SIZE)
void model_object_key(char dst[MODEL_KEY_SIZE], const struct model_put *from);
/* Whether this node has it; node NULL: whether every node of the group has it. */
bool model_object_reaches(const struct model_object *o, const char *node);

#endif
