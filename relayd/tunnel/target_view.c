#include "relayd/tunnel/target_view.h"

#include "common/base/err.h"
#include "common/base/map.h"
#include "common/base/str.h"
#include "common/tunnel/frame_hello.h"
#include "relayd/conf/refusals.h"
#include "relayd/conf/snapshot.h"
#include "relayd/tunnel/standing.h"
#include "relayd/tunnel/troubles.h"
#include "relayd/tunnel/watch.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct checked {
	const struct object *object;  /* a reference */
	unsigned down, others;        /* links whose agents say so, or do not */
	char instance[FRAME_ID_SIZE]; /* one of those that are down, and why */
	char reason[FRAME_REASON_SIZE];
	char *shut; /* an agent whose machine it leads from says that it cannot listen there: why; NULL: none does */
	enum err_code shut_code;
	bool listened; /* another one can */
	bool refused;
};

struct target_view {
	struct refusals *refusals;
	struct map checked; /* by mapping */
	pthread_mutex_t lock;
	struct troubles *troubles;
};

static void checked_free(struct checked *c)
{
	object_unref(c->object);
	free(c->shut);
	free(c);
}

int target_view_new(struct target_view **out, struct refusals *refusals)
{
	struct target_view *v = calloc(1, sizeof *v);

	if (v == NULL)
		return -1;
	if (troubles_new(&v->troubles) != 0) {
		free(v);
		return -1;
	}
	v->refusals = refusals;
	map_init(&v->checked);
	pthread_mutex_init(&v->lock, NULL);
	*out = v;
	return 0;
}

static void forget(struct target_view *v, struct checked *c)
{
	map_remove_str(&v->checked, c->object->id);
	if (c->refused)
		refusals_clear(v->refusals, c->object->id);
	checked_free(c);
}

void target_view_free(struct target_view *v)
{
	struct checked *c;
	size_t it = 0;

	if (v == NULL)
		return;
	while ((c = map_next(&v->checked, &it)) != NULL)
		checked_free(c);
	map_free(&v->checked);
	pthread_mutex_destroy(&v->lock);
	troubles_free(v->troubles);
	free(v);
}

/* ---- the configuration -------------------------------------------------------------------------------------------- */

static void put(struct target_view *v, const struct object *o)
{
	struct checked *c = map_remove_str(&v->checked, o->id); /* its key is the old object's */

	if (c == NULL && (c = calloc(1, sizeof *c)) == NULL)
		return;
	object_unref(c->object);
	c->object = object_ref(o);
	if (map_put_str(&v->checked, c->object->id, c, NULL) != 0)
		checked_free(c);
}

/* Whether agents may have something to say of it. */
static bool is_looked_at(const struct object *o)
{
	return watch_is_wanted(o) ||
	       (o != NULL && o->kind == OBJECT_MAPPING && o->mapping.enabled && o->mapping.source_client[0] != '\0');
}

static void on_object(const struct object *old, const struct object *new_, void *arg)
{
	struct target_view *v = arg;
	struct checked *c;

	if (is_looked_at(new_))
		put(v, new_);
	else if (is_looked_at(old) && (c = map_get_str(&v->checked, old->id)) != NULL)
		forget(v, c);
}

bool target_view_apply(struct target_view *v, const struct snapshot *old, const struct snapshot *new_)
{
	const bool before = map_count(&v->checked) > 0;

	snapshot_diff(old, new_, on_object, v);
	return before || map_count(&v->checked) > 0;
}

/* ---- a look ------------------------------------------------------------------------------------------------------- */

void target_view_begin(struct target_view *v)
{
	struct checked *c;
	size_t it = 0;

	while ((c = map_next(&v->checked, &it)) != NULL) {
		c->down = c->others = 0;
		c->listened = false;
		c->instance[0] = c->reason[0] = '\0';
		free(c->shut);
		c->shut = NULL;
	}
	troubles_clear(v->troubles);
}

/* An agent says it on every link: once is enough. The mapping's own reason does not depend on room in the list. */
static void add_trouble(
	struct target_view *v, struct checked *c, const struct frame_hello *who, const struct standing *s)
{
	struct client_trouble *t = troubles_get(v->troubles, who, s->mapping);

	str_copy(c->instance, sizeof c->instance, who->instance);
	str_copy(c->reason, sizeof c->reason, s->reason);
	if (t == NULL)
		return;
	t->kind = CLIENT_TROUBLE_DOWN;
	str_copy(t->reason, sizeof t->reason, s->reason);
}

void target_view_add(
	struct target_view *v, const char *mapping, const struct frame_hello *who, const struct standing *s)
{
	struct checked *c;

	pthread_mutex_lock(&v->lock);
	c = map_get_str(&v->checked, mapping);
	if (c != NULL && s != NULL && s->down) {
		c->down++;
		add_trouble(v, c, who, s);
	} else if (c != NULL) {
		c->others++;
	}
	pthread_mutex_unlock(&v->lock);
}

void target_view_doubt(struct target_view *v, const struct frame_hello *who, const struct standing *s)
{
	struct client_trouble *t;

	pthread_mutex_lock(&v->lock);
	t = troubles_get(v->troubles, who, s->mapping);
	if (t != NULL && t->kind != CLIENT_TROUBLE_DOWN) {
		t->kind = CLIENT_TROUBLE_DOUBT;
		str_fmt(t->reason, sizeof t->reason,
			"%u connections in a row did not get through; others are asked first", s->failures);
	}
	pthread_mutex_unlock(&v->lock);
}

/* "ADDRESS_IN_USE: 127.0.0.1:5432: ..." of the agent's words. */
static enum err_code code_of(const char *reason, const char **rest)
{
	static const enum err_code known[] = { ERR_ADDR_IN_USE, ERR_PERMISSION };

	*rest = strstr(reason, ": ");
	*rest = *rest != NULL ? *rest + 2 : reason;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (str_starts(reason, err_api(known[i])))
			return known[i];
	return ERR_UNAVAILABLE;
}

static void add_shut_trouble(const struct target_view *v, const struct frame_hello *who, const struct standing *s)
{
	struct client_trouble *t = troubles_get(v->troubles, who, s->mapping);
	const char *rest;

	if (t == NULL || t->kind == CLIENT_TROUBLE_DOWN)
		return;
	t->kind = CLIENT_TROUBLE_DOWN;
	(void)code_of(s->reason, &rest);
	(void)str_fmt(t->reason, sizeof t->reason, "it cannot listen on its machine: %s", rest);
}

void target_view_add_shut(struct target_view *v, const struct frame_hello *who, const struct standing *s, bool others)
{
	char text[FRAME_REASON_SIZE + FRAME_ID_SIZE + 60];
	struct checked *c;
	const char *rest;

	pthread_mutex_lock(&v->lock);
	c = map_get_str(&v->checked, s->mapping);
	if (c != NULL) {
		c->listened |= others;
		add_shut_trouble(v, who, s);
	}
	if (c != NULL && c->shut == NULL) {
		c->shut_code = code_of(s->reason, &rest);
		(void)str_fmt(text, sizeof text, "agent %s, whose machine it leads from, cannot listen: %s",
			who->instance, rest);
		c->shut = strdup(text);
	}
	pthread_mutex_unlock(&v->lock);
}

static void judge(struct target_view *v, struct checked *c)
{
	const bool shut = c->shut != NULL && !c->listened;
	const bool down = shut || (c->down > 0 && c->others == 0);
	struct err why = { .code = ERR_NONE };

	if (shut) {
		err_set(&why, c->shut_code, NULL, "%s", c->shut);
		refusals_set(v->refusals, c->object, &why);
	} else if (down) {
		err_set(&why, ERR_TARGET_DOWN, NULL, "no agent here has a target that works; %s: %s", c->instance,
			c->reason);
		refusals_set(v->refusals, c->object, &why);
	} else if (c->refused) {
		refusals_clear(v->refusals, c->object->id);
	}
	c->refused = down;
}

void target_view_end(struct target_view *v)
{
	struct checked *c;
	size_t it = 0;

	while ((c = map_next(&v->checked, &it)) != NULL)
		judge(v, c);
}

void target_view_troubles(const struct target_view *v, struct client_states *out)
{
	troubles_list(v->troubles, out);
}
