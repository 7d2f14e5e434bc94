#include "relayd/conf/refusals.h"

#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/str.h"
#include "relayd/conf/object.h"

#include <stdlib.h>
#include <string.h>

/*
 * Those that a message can carry stand in `items`, packed; the others only in the map. When one of the items goes, the
 * last one fills its place and a waiting one, if any, comes in behind.
 */
struct refusal {
	struct node_refusal what;
	size_t at; /* index in items, or AT_WAITING */
};

#define AT_WAITING SIZE_MAX

struct refusals {
	struct map by_id; /* struct refusal, keyed by what.id */
	struct node_refusal *items;
	struct refusal **owners; /* of items */
	size_t n_items;
	uint64_t serial;
	uint64_t lost; /* refusals that could not be kept for lack of memory */
	void (*on_change)(void *arg);
	void *arg;
};

int refusals_new(struct refusals **out, void (*on_change)(void *arg), void *arg, struct err *e)
{
	struct refusals *r = calloc(1, sizeof *r);

	if (r != NULL) {
		r->items = calloc(NODE_REFUSALS_MAX, sizeof r->items[0]);
		r->owners = calloc(NODE_REFUSALS_MAX, sizeof(*r->owners));
	}
	if (r == NULL || r->items == NULL || r->owners == NULL) {
		refusals_free(r);
		return err_set(e, ERR_NOMEM, NULL, "refusals: out of memory");
	}
	map_init(&r->by_id);
	r->on_change = on_change;
	r->arg = arg;
	*out = r;
	return 0;
}

void refusals_free(struct refusals *r)
{
	struct refusal *one;
	size_t it = 0;

	if (r == NULL)
		return;
	while ((one = map_next(&r->by_id, &it)) != NULL)
		free(one);
	map_free(&r->by_id);
	free(r->items);
	free(r->owners);
	free(r);
}

void refusals_start(struct refusals *r, uint64_t serial)
{
	r->serial = serial;
}

static void refusals_changed(struct refusals *r)
{
	r->serial++;
	r->on_change(r->arg);
}

static void refusals_place(struct refusals *r, struct refusal *one)
{
	if (r->n_items == NODE_REFUSALS_MAX) {
		one->at = AT_WAITING;
		return;
	}
	one->at = r->n_items++;
	r->items[one->at] = one->what;
	r->owners[one->at] = one;
}

static void refusals_admit_waiting(struct refusals *r)
{
	struct refusal *one;
	size_t it = 0;

	if (map_count(&r->by_id) <= r->n_items)
		return;
	while ((one = map_next(&r->by_id, &it)) != NULL)
		if (one->at == AT_WAITING)
			break;
	if (one != NULL)
		refusals_place(r, one);
}

static void refusals_unplace(struct refusals *r, const struct refusal *one)
{
	size_t last = r->n_items - 1;

	if (one->at == AT_WAITING)
		return;
	r->items[one->at] = r->items[last];
	r->owners[one->at] = r->owners[last];
	r->owners[one->at]->at = one->at;
	r->n_items = last;
}

static bool refusal_same(const struct node_refusal *a, const struct node_refusal *b)
{
	return a->kind == b->kind && a->seq == b->seq && a->code == b->code && strcmp(a->reason, b->reason) == 0;
}

void refusals_set(struct refusals *r, const struct object *o, const struct err *why)
{
	struct node_refusal what = { .seq = o->seq, .code = (uint16_t)why->code };
	struct refusal *one = map_get_str(&r->by_id, o->id);

	what.kind = o->kind == OBJECT_FAULTY ? o->wire_kind : o->kind;
	str_copy(what.id, sizeof what.id, o->id);
	str_copy(what.reason, sizeof what.reason, why->msg);
	if (one != NULL && refusal_same(&one->what, &what))
		return;
	log_warn("object_refused", log_s("id", what.id), log_s("reason", what.reason));
	if (one != NULL) {
		one->what = what;
		if (one->at != AT_WAITING)
			r->items[one->at] = what;
	} else {
		if ((one = malloc(sizeof *one)) == NULL) {
			r->lost++;
			return;
		}
		one->what = what;
		if (map_put_str(&r->by_id, one->what.id, one, NULL) != 0) {
			free(one);
			r->lost++;
			return;
		}
		refusals_place(r, one);
	}
	refusals_changed(r);
}

void refusals_clear(struct refusals *r, const char *id)
{
	struct refusal *one = map_remove_str(&r->by_id, id);

	if (one == NULL)
		return;
	log_info("object_accepted", log_s("id", one->what.id));
	refusals_unplace(r, one);
	refusals_admit_waiting(r);
	free(one);
	refusals_changed(r);
}

void refusals_state(const struct refusals *r, struct node_state *out)
{
	out->serial = r->serial;
	out->n = (uint32_t)r->n_items;
	out->more = (uint32_t)(map_count(&r->by_id) - r->n_items);
	out->refusals = r->items;
}

uint64_t refusals_count(const struct refusals *r)
{
	return map_count(&r->by_id);
}
