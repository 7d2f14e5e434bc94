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
	uint16_t closed; /* a target port that the config of its client does not let through; 0: none */
};

struct target_view {
	struct refusals *refusals;
	struct map checked;         /* by mapping */
	const struct snapshot *now; /* during target_view_apply() */
	bool ports_changed;         /* the same: of some client */
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

static struct checked *put(struct target_view *v, const struct object *o)
{
	struct checked *c = map_remove_str(&v->checked, o->id); /* its key is the old object's */

	if (c == NULL && (c = calloc(1, sizeof *c)) == NULL)
		return NULL;
	object_unref(c->object);
	c->object = object_ref(o);
	if (map_put_str(&v->checked, c->object->id, c, NULL) == 0)
		return c;
	checked_free(c);
	return NULL;
}

/* Whether agents may have something to say of it. */
static bool is_looked_at(const struct object *o)
{
	return watch_is_wanted(o) ||
	       (o != NULL && o->kind == OBJECT_MAPPING && o->mapping.enabled && o->mapping.source_client[0] != '\0');
}

/* The first of its target ports that the client's config does not let through; 0: none. */
static uint16_t closed_port(const struct target_view *v, const struct object *o)
{
	const struct mapping_conf *m = &o->mapping;
	const struct object *client;

	if (o->kind != OBJECT_MAPPING || !m->enabled || m->target_client[0] == '\0' || m->target_port == 0)
		return 0;
	client = snapshot_find(v->now, m->target_client);
	for (int i = 0; client != NULL && client->kind == OBJECT_CLIENT && i <= m->port_last - m->port_first; i++)
		if (!client_conf_port_ok(&client->client, (uint16_t)(m->target_port + i)))
			return (uint16_t)(m->target_port + i);
	return 0;
}

static void consider(struct target_view *v, const struct object *o)
{
	const uint16_t closed = closed_port(v, o);
	struct checked *c = map_get_str(&v->checked, o->id);

	if (is_looked_at(o) || closed != 0) {
		if (c == NULL || c->object != o)
			c = put(v, o);
		if (c != NULL)
			c->closed = closed;
	} else if (c != NULL) {
		forget(v, c);
	}
}

static bool has_ports(const struct object *o)
{
	return o != NULL && o->kind == OBJECT_CLIENT && o->client.allowed.n + o->client.blocked.n > 0;
}

static void on_object(const struct object *old, const struct object *new_, void *arg)
{
	struct target_view *v = arg;
	struct checked *c;

	v->ports_changed |= has_ports(old) || has_ports(new_);
	if (new_ != NULL)
		consider(v, new_);
	else if ((c = map_get_str(&v->checked, old->id)) != NULL)
		forget(v, c);
}

static void consider_all(struct target_view *v)
{
	struct snapshot_walk w = { 0 };
	const struct object *o;

	while ((o = snapshot_next(v->now, &w)) != NULL)
		if (o->kind == OBJECT_MAPPING && o->mapping.target_client[0] != '\0')
			consider(v, o);
}

bool target_view_apply(struct target_view *v, const struct snapshot *old, const struct snapshot *new_)
{
	const bool before = map_count(&v->checked) > 0;

	v->now = new_;
	v->ports_changed = false;
	snapshot_diff(old, new_, on_object, v);
	if (v->ports_changed && new_ != NULL)
		consider_all(v);
	v->now = NULL;
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
	const bool down = shut || c->closed != 0 || (c->down > 0 && c->others == 0);
	struct err why = { .code = ERR_NONE };

	if (shut) {
		err_set(&why, c->shut_code, NULL, "%s", c->shut);
		refusals_set(v->refusals, c->object, &why);
	} else if (c->closed != 0) {
		err_set(&why, ERR_DENIED_TARGET, "target_port",
			"the config of client %s does not let target port %u through (allowed_ports, blocked_ports)",
			c->object->mapping.target_client, (unsigned)c->closed);
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
