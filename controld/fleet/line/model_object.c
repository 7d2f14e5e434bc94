#include "controld/fleet/line/model_object.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "proto/update.h"

#include <stdlib.h>
#include <string.h>

void model_object_key(char dst[MODEL_KEY_SIZE], const struct model_put *from)
{
	if (from->spread)
		str_fmt(dst, MODEL_KEY_SIZE, "%s@%s", from->id, from->group);
	else
		str_copy(dst, MODEL_KEY_SIZE, from->id);
}

int model_object_new(struct model_object **out, const struct model_put *from, struct err *e)
{
	struct model_object *o = NULL;
	char key[MODEL_KEY_SIZE];
	struct buf wire;

	buf_init(&wire, PROTO_MSG_MAX);
	if (from->body != NULL)
		msg_update_put(&wire, from->kind, from->id, from->seq, from->body, from->n);
	if (!wire.failed)
		o = calloc(1, sizeof *o + wire.len + (from->spread ? MODEL_KEY_SIZE : 0));
	if (o == NULL) {
		buf_free(&wire);
		return err_set(e, ERR_NOMEM, NULL, "object %s: out of memory", from->id);
	}
	list_init(&o->in_group);
	o->refs = 1;
	o->kind = from->kind;
	o->seq = from->seq;
	str_copy(o->id, sizeof o->id, from->id);
	str_copy(o->group, sizeof o->group, from->group);
	str_copy(o->node, sizeof o->node, from->node);
	o->size = wire.len;
	if (wire.len > 0)
		memcpy(o->wire, wire.data, wire.len);
	buf_free(&wire);
	o->key = o->id;
	if (from->spread) {
		model_object_key(key, from);
		o->key = memcpy(o->wire + o->size, key, sizeof key);
	}
	*out = o;
	return 0;
}

struct model_object *model_object_ref(struct model_object *o)
{
	o->refs++;
	return o;
}

void model_object_unref(struct model_object *o)
{
	if (o != NULL && --o->refs == 0)
		free(o);
}

/* The body is the end of the entry. */
bool model_object_same(const struct model_object *o, const struct model_put *from)
{
	struct buf wire;
	bool same;

	if (o->kind != from->kind || strcmp(o->group, from->group) != 0 || strcmp(o->node, from->node) != 0)
		return false;
	buf_init(&wire, PROTO_MSG_MAX);
	msg_update_put(&wire, from->kind, from->id, o->seq, from->body, from->n);
	same = !wire.failed && wire.len == o->size && memcmp(wire.data, o->wire, o->size) == 0;
	buf_free(&wire);
	return same;
}

bool model_object_reaches(const struct model_object *o, const char *node)
{
	return o->node[0] == '\0' || (node != NULL && strcmp(o->node, node) == 0);
}
