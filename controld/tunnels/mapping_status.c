#include "controld/tunnels/mapping_status.h"

#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/str.h"
#include "controld/rest/park.h"
#include "proto/node_state.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/*
 *   groups --> group --> nodes --> node --> refusals --> refusal <-- refusals <-- subject <-- subjects
 *                `-----> watches (who waits for a version placed on this group)
 *
 * A refusal hangs in two lists: of the node that said it and of the mapping it is about.
 */
struct group {
	char id[PROTO_ID_SIZE];
	struct list nodes;
	struct list watches; /* not settled */
	int64_t best;        /* highest sequence that an online node has; -1: none online */
};

struct node {
	struct list in_group;
	struct group *group;
	char id[PROTO_ID_SIZE];
	char name[PROTO_NAME_SIZE];
	bool online;
	int64_t seq;
	struct list refusals;
};

struct subject { /* a mapping that somebody refuses; gone with the last refusal */
	char id[PROTO_ID_SIZE];
	struct list refusals;
};

struct refusal {
	struct list in_node, in_subject;
	struct node *node;
	struct subject *subject;
	int64_t seq;
	enum err_code code;
	char reason[NODE_REASON_SIZE];
};

struct mapping_watch {
	struct list link; /* in its group's watches, or in `settled` until the wake, or in none */
	struct mapping_statuses *s;
	char mapping_id[PROTO_ID_SIZE];
	char node_id[PROTO_ID_SIZE];
	int64_t seq;
	size_t left; /* online nodes of the placement that have not come that far */
	bool settled;
};

struct mapping_statuses {
	struct parks *parks;
	pthread_mutex_t lock;
	struct map nodes, groups, subjects;
	struct list settled; /* watches whose key is to be woken when the lock is released */
};

int mapping_statuses_new(struct mapping_statuses **out, struct parks *parks, struct err *e)
{
	struct mapping_statuses *s = calloc(1, sizeof *s);

	if (s == NULL)
		return err_set(e, ERR_NOMEM, NULL, "mapping statuses: out of memory");
	s->parks = parks;
	pthread_mutex_init(&s->lock, NULL);
	map_init(&s->nodes);
	map_init(&s->groups);
	map_init(&s->subjects);
	list_init(&s->settled);
	*out = s;
	return 0;
}

/* ---- refusals ----------------------------------------------------------------------------------------------------- */
static struct subject *subject_of(struct mapping_statuses *s, const char *mapping_id)
{
	struct subject *subject = map_get_str(&s->subjects, mapping_id);

	if (subject != NULL)
		return subject;
	subject = calloc(1, sizeof *subject);
	if (subject == NULL)
		return NULL;
	list_init(&subject->refusals);
	str_copy(subject->id, sizeof subject->id, mapping_id);
	if (map_put_str(&s->subjects, subject->id, subject, NULL) == 0)
		return subject;
	free(subject);
	return NULL;
}

static void drop_refusals(struct mapping_statuses *s, struct node *n)
{
	LIST_FOREACH_SAFE (it, &n->refusals) {
		struct refusal *r = CONTAINER_OF(it, struct refusal, in_node);

		list_remove(&r->in_node);
		list_remove(&r->in_subject);
		if (list_empty(&r->subject->refusals)) {
			map_remove_str(&s->subjects, r->subject->id);
			free(r->subject);
		}
		free(r);
	}
}

static int add_refusal(struct mapping_statuses *s, struct node *n, const struct mapping_refusal *said)
{
	struct refusal *r = calloc(1, sizeof *r);

	if (r == NULL)
		return -1;
	r->subject = subject_of(s, said->mapping_id);
	if (r->subject == NULL) {
		free(r);
		return -1;
	}
	r->node = n;
	r->seq = said->seq;
	r->code = said->code;
	str_copy(r->reason, sizeof r->reason, said->reason);
	list_push_back(&n->refusals, &r->in_node);
	list_push_back(&r->subject->refusals, &r->in_subject);
	return 0;
}

/* Most words of a node repeat the list of the one before. */
static bool same_refusals(const struct node *n, const struct mapping_refusal *said, size_t count)
{
	size_t i = 0;

	LIST_FOREACH (it, &n->refusals) {
		const struct refusal *r = CONTAINER_OF(it, struct refusal, in_node);

		if (i == count || r->seq != said[i].seq || r->code != said[i].code ||
			!str_eq(r->subject->id, said[i].mapping_id) || !str_eq(r->reason, said[i].reason))
			return false;
		i++;
	}
	return i == count;
}

static void set_refusals(struct mapping_statuses *s, struct node *n, const struct mapping_refusal *said, size_t count)
{
	if (same_refusals(n, said, count))
		return;
	drop_refusals(s, n);
	for (size_t i = 0; i < count; i++)
		if (add_refusal(s, n, &said[i]) != 0) {
			log_warn("refusals_dropped", log_s("node", n->name), log_u("count", count - i));
			return;
		}
}

static bool placed_on(const struct node *n, const char *group_id, const char *node_id)
{
	return str_eq(n->group->id, group_id) && (node_id[0] == '\0' || str_eq(n->id, node_id));
}

/* A refusal of an older version counts only once the node has said that it has the newer one and still refuses. */
static bool counts(const struct refusal *r, const char *group_id, const char *node_id, int64_t seq)
{
	return r->node->online && (r->seq >= seq || r->node->seq >= seq) && placed_on(r->node, group_id, node_id);
}

static bool is_refused(struct mapping_statuses *s, const struct group *g, const struct mapping_watch *w)
{
	const struct subject *subject = map_get_str(&s->subjects, w->mapping_id);

	if (subject == NULL)
		return false;
	LIST_FOREACH (it, &subject->refusals)
		if (counts(CONTAINER_OF(it, struct refusal, in_subject), g->id, w->node_id, w->seq))
			return true;
	return false;
}

/* ---- groups and nodes --------------------------------------------------------------------------------------------- */
static struct group *group_of(struct mapping_statuses *s, const char *id)
{
	struct group *g = map_get_str(&s->groups, id);

	if (g != NULL)
		return g;
	g = calloc(1, sizeof *g);
	if (g == NULL)
		return NULL;
	str_copy(g->id, sizeof g->id, id);
	list_init(&g->nodes);
	list_init(&g->watches);
	g->best = -1;
	if (map_put_str(&s->groups, g->id, g, NULL) == 0)
		return g;
	free(g);
	return NULL;
}

static struct node *node_of(struct mapping_statuses *s, const char *id)
{
	struct node *n = map_get_str(&s->nodes, id);

	if (n != NULL)
		return n;
	n = calloc(1, sizeof *n);
	if (n == NULL)
		return NULL;
	str_copy(n->id, sizeof n->id, id);
	list_init(&n->in_group);
	list_init(&n->refusals);
	if (map_put_str(&s->nodes, n->id, n, NULL) == 0)
		return n;
	free(n);
	return NULL;
}

/* The highest is found again only when the one that may have had it falls back. */
static void update_best(struct group *g, const struct node *changed, int64_t before)
{
	const int64_t now = changed->online ? changed->seq : -1;

	if (now >= g->best) {
		g->best = now;
		return;
	}
	if (before < g->best)
		return;
	g->best = -1;
	LIST_FOREACH (it, &g->nodes) {
		const struct node *n = CONTAINER_OF(it, struct node, in_group);

		if (n->online && n->seq > g->best)
			g->best = n->seq;
	}
}

static void settle(struct mapping_statuses *s, struct mapping_watch *w)
{
	w->settled = true;
	list_remove(&w->link);
	list_push_back(&s->settled, &w->link);
}

/* A node of the group stands at (online, seq) now and stood at `before` (-1: offline): who waited for that? */
static void update_watches(struct mapping_statuses *s, struct group *g, const struct node *n, int64_t before)
{
	LIST_FOREACH_SAFE (it, &g->watches) {
		struct mapping_watch *w = CONTAINER_OF(it, struct mapping_watch, link);
		const bool waited = before >= 0 && before < w->seq;
		const bool waits = n->online && n->seq < w->seq;

		if (!placed_on(n, g->id, w->node_id))
			continue;
		if (waited && !waits) {
			assert(w->left > 0);
			w->left--;
		} else if (waits && !waited) {
			w->left++;
		}
		if (w->left == 0 || (!list_empty(&n->refusals) && is_refused(s, g, w)))
			settle(s, w);
	}
}

static void leave_group(struct mapping_statuses *s, struct node *n)
{
	const int64_t before = n->online ? n->seq : -1;

	if (n->group == NULL)
		return;
	n->online = false;
	update_watches(s, n->group, n, before);
	update_best(n->group, n, before);
	list_remove(&n->in_group);
	n->group = NULL;
}

/* The keys are woken without the lock: whoever runs then may come back in here. */
static void unlock_and_wake(struct mapping_statuses *s)
{
	char keys[64][PROTO_ID_SIZE + sizeof "mapping:"];
	size_t n;

	do {
		struct list *it;

		for (n = 0; n < ARRAY_LEN(keys) && (it = list_first(&s->settled)) != NULL; n++) {
			const struct mapping_watch *w = CONTAINER_OF(it, struct mapping_watch, link);

			str_fmt(keys[n], sizeof keys[n], "mapping:%s", w->mapping_id);
			list_remove(it);
		}
		pthread_mutex_unlock(&s->lock);
		for (size_t i = 0; i < n; i++)
			park_wake(s->parks, keys[i]);
		if (n == ARRAY_LEN(keys))
			pthread_mutex_lock(&s->lock);
	} while (n == ARRAY_LEN(keys));
}

static int take_word(struct mapping_statuses *s, const char *node_id, const char *name, const char *group_id,
	bool online, int64_t seq, const struct mapping_refusal *refusals, size_t count)
{
	struct node *n = node_of(s, node_id);
	struct group *g = group_of(s, group_id);
	int64_t before;

	if (n == NULL || g == NULL)
		return -1;
	if (n->group != g) {
		leave_group(s, n);
		n->group = g;
		list_push_back(&g->nodes, &n->in_group);
	}
	before = n->online ? n->seq : -1;
	str_copy(n->name, sizeof n->name, name);
	n->online = online;
	n->seq = seq;
	set_refusals(s, n, refusals, count);
	update_best(g, n, before);
	update_watches(s, g, n, before);
	return 0;
}

void mapping_statuses_node(struct mapping_statuses *s, const char *node_id, const char *node_name, const char *group_id,
	bool online, int64_t seq, const struct mapping_refusal *refusals, size_t n)
{
	int rc;

	pthread_mutex_lock(&s->lock);
	rc = take_word(s, node_id, node_name, group_id, online, seq, refusals, n);
	unlock_and_wake(s);
	if (rc != 0)
		log_warn("node_word_dropped", log_s("node", node_name), log_s("why", "out of memory"));
}

bool mapping_statuses_any_refused(struct mapping_statuses *s)
{
	bool any;

	pthread_mutex_lock(&s->lock);
	any = map_count(&s->subjects) > 0;
	pthread_mutex_unlock(&s->lock);
	return any;
}

static void free_node(struct mapping_statuses *s, struct node *n)
{
	drop_refusals(s, n);
	leave_group(s, n);
	map_remove_str(&s->nodes, n->id);
	free(n);
}

void mapping_statuses_node_gone(struct mapping_statuses *s, const char *node_id)
{
	struct node *n;

	pthread_mutex_lock(&s->lock);
	n = map_get_str(&s->nodes, node_id);
	if (n != NULL)
		free_node(s, n);
	unlock_and_wake(s);
}

void mapping_statuses_free(struct mapping_statuses *s)
{
	void *p;

	if (s == NULL)
		return;
	for (size_t it = 0; (p = map_next(&s->nodes, &it)) != NULL; it = 0)
		free_node(s, p);
	for (size_t it = 0; (p = map_next(&s->groups, &it)) != NULL;)
		free(p);
	map_free(&s->nodes);
	map_free(&s->groups);
	map_free(&s->subjects);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */
static void add_reason(json_t **errors, const struct refusal *r)
{
	if (errors == NULL)
		return;
	if (*errors == NULL)
		*errors = json_object();
	json_object_set_new(
		*errors, r->node->name, json_pack("{s:s, s:s}", "code", err_api(r->code), "message", r->reason));
}

static bool collect_reasons(struct mapping_statuses *s, const char *mapping_id, const char *group_id,
	const char *node_id, int64_t seq, json_t **errors)
{
	const struct subject *subject = map_get_str(&s->subjects, mapping_id);
	bool any = false;

	if (subject == NULL)
		return false;
	LIST_FOREACH (it, &subject->refusals) {
		const struct refusal *r = CONTAINER_OF(it, struct refusal, in_subject);

		if (!counts(r, group_id, node_id, seq))
			continue;
		any = true;
		add_reason(errors, r);
	}
	return any;
}

static bool is_acknowledged(struct mapping_statuses *s, const char *group_id, const char *node_id, int64_t seq)
{
	const struct group *g = map_get_str(&s->groups, group_id);
	const struct node *n;

	if (g == NULL)
		return false;
	if (node_id[0] == '\0')
		return g->best >= seq;
	n = map_get_str(&s->nodes, node_id);
	return n != NULL && n->group == g && n->online && n->seq >= seq;
}

enum mapping_overall mapping_statuses_get(struct mapping_statuses *s, const char *mapping_id, const char *group_id,
	const char *node_id, int64_t seq, json_t **error_json)
{
	enum mapping_overall overall = MAPPING_STATUS_PENDING;

	if (error_json != NULL)
		*error_json = NULL;
	pthread_mutex_lock(&s->lock);
	if (collect_reasons(s, mapping_id, group_id, node_id, seq, error_json))
		overall = MAPPING_STATUS_ERROR;
	else if (is_acknowledged(s, group_id, node_id, seq))
		overall = MAPPING_STATUS_ACTIVE;
	pthread_mutex_unlock(&s->lock);
	return overall;
}

bool mapping_statuses_refused(struct mapping_statuses *s, const struct mapping_version *v, enum err_code code)
{
	const struct subject *subject;
	bool refused = false;

	pthread_mutex_lock(&s->lock);
	subject = map_get_str(&s->subjects, v->mapping_id);
	if (subject != NULL)
		LIST_FOREACH (it, &subject->refusals) {
			const struct refusal *r = CONTAINER_OF(it, struct refusal, in_subject);

			refused |= r->code == code && r->seq >= v->seq && counts(r, v->group_id, v->node_id, v->seq);
		}
	pthread_mutex_unlock(&s->lock);
	return refused;
}

/* ---- watches ------------------------------------------------------------------------------------------------------ */
static void start_watch(struct mapping_statuses *s, struct mapping_watch *w, struct group *g)
{
	LIST_FOREACH (it, &g->nodes) {
		const struct node *n = CONTAINER_OF(it, struct node, in_group);

		w->left += n->online && n->seq < w->seq && placed_on(n, g->id, w->node_id);
	}
	w->settled = w->left == 0 || is_refused(s, g, w);
	if (!w->settled)
		list_push_back(&g->watches, &w->link);
}

int mapping_watch_new(
	struct mapping_watch **out, struct mapping_statuses *s, const struct mapping_version *v, struct err *e)
{
	struct mapping_watch *w = calloc(1, sizeof *w);
	struct group *g;

	if (w == NULL)
		return err_set(e, ERR_NOMEM, NULL, "mapping %s: out of memory", v->mapping_id);
	w->s = s;
	w->seq = v->seq;
	list_init(&w->link);
	str_copy(w->mapping_id, sizeof w->mapping_id, v->mapping_id);
	str_copy(w->node_id, sizeof w->node_id, v->node_id);
	pthread_mutex_lock(&s->lock);
	g = group_of(s, v->group_id);
	if (g != NULL)
		start_watch(s, w, g);
	pthread_mutex_unlock(&s->lock);
	if (g == NULL) {
		free(w);
		return err_set(e, ERR_NOMEM, NULL, "mapping %s: out of memory", v->mapping_id);
	}
	*out = w;
	return 0;
}

bool mapping_watch_settled(struct mapping_watch *w)
{
	bool settled;

	pthread_mutex_lock(&w->s->lock);
	settled = w->settled;
	pthread_mutex_unlock(&w->s->lock);
	return settled;
}

void mapping_watch_free(struct mapping_watch *w)
{
	if (w == NULL)
		return;
	pthread_mutex_lock(&w->s->lock);
	list_remove(&w->link);
	pthread_mutex_unlock(&w->s->lock);
	free(w);
}
