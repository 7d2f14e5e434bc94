#include "controld/fleet/line/asks.h"

#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/rand.h"
#include "common/base/str.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct target {
	struct asks_node node;
	uint64_t given_ms; /* 0: not yet */
	bool done;         /* answered, or lost */
};

/* Few are open at a time, so they stand in a plain list. */
struct open_ask {
	struct list link;
	struct ask what;
	uint64_t deadline_ms;
	bool finished;
	bool foreign;     /* of another controld */
	uint64_t told_ms; /* to the others; 0: not yet */
	struct relay_answers got;
	size_t waiting; /* targets that are not done */
	size_t n;
	struct target targets[];
};

struct asks {
	pthread_mutex_t lock;
	struct list open;
	size_t n_open, n_foreign;
	uint64_t next_id;
	asks_finished_fn on_finished;
	void *arg;
};

int asks_new(struct asks **out, asks_finished_fn finished, void *arg, struct err *e)
{
	struct asks *a = calloc(1, sizeof *a);

	if (a == NULL)
		return err_set(e, ERR_NOMEM, NULL, "asks: out of memory");
	pthread_mutex_init(&a->lock, NULL);
	list_init(&a->open);
	a->next_id = rand_u64() >> 16; /* an answer to an ask of an earlier process meets none of ours */
	a->on_finished = finished;
	a->arg = arg;
	*out = a;
	return 0;
}

static void open_ask_free(struct asks *a, struct open_ask *o)
{
	list_remove(&o->link);
	if (o->foreign)
		a->n_foreign--;
	else
		a->n_open--;
	free(o->got.conns);
	free(o);
}

void asks_free(struct asks *a)
{
	if (a == NULL)
		return;
	LIST_FOREACH_SAFE (it, &a->open)
		open_ask_free(a, CONTAINER_OF(it, struct open_ask, link));
	pthread_mutex_destroy(&a->lock);
	free(a);
}

static struct open_ask *find(struct asks *a, uint64_t id)
{
	LIST_FOREACH (it, &a->open) {
		struct open_ask *o = CONTAINER_OF(it, struct open_ask, link);

		if (o->what.id == id)
			return o;
	}
	return NULL;
}

static struct target *find_target(struct open_ask *o, const char *node)
{
	for (size_t i = 0; i < o->n; i++)
		if (!o->targets[i].done && strcmp(o->targets[i].node.id, node) == 0)
			return &o->targets[i];
	return NULL;
}

/* ---- for who asks ------------------------------------------------------------------------------------------------ */

static struct open_ask *open_ask_new(const struct ask *what, const struct asks_node *nodes, size_t n, uint64_t now_ms)
{
	struct open_ask *o = calloc(1, sizeof *o + n * sizeof o->targets[0]);

	if (o == NULL)
		return NULL;
	list_init(&o->link);
	o->what = *what;
	o->deadline_ms = now_ms + ASKS_DEADLINE_MS;
	o->n = o->waiting = o->got.nodes_asked = n;
	for (size_t i = 0; i < n; i++)
		o->targets[i].node = nodes[i];
	o->finished = o->got.complete = n == 0;
	return o;
}

int asks_open(struct asks *a, const struct ask *what, const struct asks_node *nodes, size_t n, uint64_t now_ms,
	uint64_t *id, struct err *e)
{
	struct open_ask *o = open_ask_new(what, nodes, n, now_ms);

	if (o == NULL)
		return err_set(e, ERR_NOMEM, NULL, "ask: out of memory");

	pthread_mutex_lock(&a->lock);
	if (a->n_open == ASKS_OPEN_MAX) {
		pthread_mutex_unlock(&a->lock);
		free(o);
		return err_set(e, ERR_OVERLOADED, NULL, "%d questions to relays are open already", ASKS_OPEN_MAX);
	}
	*id = o->what.id = a->next_id++;
	list_push_back(&a->open, &o->link);
	a->n_open++;
	pthread_mutex_unlock(&a->lock);
	return 0;
}

static int copy_answers(const struct relay_answers *from, struct relay_answers *out, struct err *e)
{
	struct relay_conn *conns = NULL;

	if (from->n > 0) {
		conns = calloc(from->n, sizeof *conns);
		if (conns == NULL)
			return err_set(e, ERR_NOMEM, NULL, "answers of relays: out of memory");
		memcpy(conns, from->conns, from->n * sizeof *conns);
	}
	*out = *from;
	out->conns = conns;
	return 0;
}

int asks_result(struct asks *a, uint64_t id, struct relay_answers *out, struct err *e)
{
	struct open_ask *o;
	int rc;

	pthread_mutex_lock(&a->lock);
	o = find(a, id);
	rc = o != NULL && !o->foreign
	             ? copy_answers(&o->got, out, e)
	             : err_set(e, ERR_NOT_FOUND, NULL, "there is no question %" PRIu64 " to relays", id);
	pthread_mutex_unlock(&a->lock);
	return rc;
}

void asks_forget(struct asks *a, uint64_t id)
{
	struct open_ask *o;

	pthread_mutex_lock(&a->lock);
	o = find(a, id);
	if (o != NULL && !o->foreign)
		open_ask_free(a, o);
	pthread_mutex_unlock(&a->lock);
}

/* ---- for the line ------------------------------------------------------------------------------------------------ */

static bool is_due(const struct target *t, uint64_t now_ms)
{
	return !t->done && (t->given_ms == 0 || now_ms >= t->given_ms + ASKS_AGAIN_MS);
}

uint32_t asks_take(struct asks *a, const char *node, uint64_t now_ms, struct ask out[ASKS_MAX])
{
	uint32_t n = 0;

	pthread_mutex_lock(&a->lock);
	LIST_FOREACH (it, &a->open) {
		struct open_ask *o = CONTAINER_OF(it, struct open_ask, link);
		struct target *t = o->finished || n == ASKS_MAX ? NULL : find_target(o, node);

		if (t == NULL || !is_due(t, now_ms))
			continue;
		t->given_ms = now_ms;
		out[n++] = o->what;
	}
	pthread_mutex_unlock(&a->lock);
	return n;
}

bool asks_has(struct asks *a, const char *node, uint64_t now_ms)
{
	bool has = false;

	pthread_mutex_lock(&a->lock);
	LIST_FOREACH (it, &a->open) {
		struct open_ask *o = CONTAINER_OF(it, struct open_ask, link);
		const struct target *t = o->finished ? NULL : find_target(o, node);

		has = has || (t != NULL && is_due(t, now_ms));
	}
	pthread_mutex_unlock(&a->lock);
	return has;
}

/* The nodes are noted first and told without the lock: fn asks for what is theirs. */
void asks_due(struct asks *a, uint64_t now_ms, void (*fn)(const char *node, void *arg), void *arg)
{
	struct asks_node *due = NULL;
	size_t n = 0, max = 0;

	pthread_mutex_lock(&a->lock);
	LIST_FOREACH (it, &a->open)
		max += CONTAINER_OF(it, struct open_ask, link)->waiting;
	if (max > 0)
		due = calloc(max, sizeof *due);
	LIST_FOREACH (it, &a->open) {
		struct open_ask *o = CONTAINER_OF(it, struct open_ask, link);

		for (size_t i = 0; due != NULL && !o->finished && i < o->n; i++)
			if (is_due(&o->targets[i], now_ms))
				due[n++] = o->targets[i].node;
	}
	pthread_mutex_unlock(&a->lock);
	for (size_t i = 0; i < n; i++)
		fn(due[i].id, arg);
	free(due);
}

/* Adds what one node listed, as far as the limit of the question goes. */
static void collect(struct open_ask *o, const struct target *t, const struct msg_answer *m)
{
	struct relay_answers *got = &o->got;
	size_t room = o->what.limit > got->n ? o->what.limit - got->n : 0;
	size_t n = MIN((size_t)m->n, room);
	struct relay_conn *conns = n == 0 ? NULL : realloc(got->conns, (got->n + n) * sizeof *conns);

	if (conns == NULL)
		n = 0;
	else
		got->conns = conns;
	for (size_t i = 0; i < n; i++) {
		struct relay_conn *c = &got->conns[got->n + i];

		str_copy(c->node_id, sizeof c->node_id, t->node.id);
		str_copy(c->node_name, sizeof c->node_name, t->node.name);
		c->info = m->conns[i];
	}
	got->n += n;
	if (m->truncated || n < m->n)
		got->truncated = true;
}

/* One target needs no waiting for any more; whether that was the last. */
static bool settle(struct open_ask *o, struct target *t)
{
	bool last;

	t->done = true;
	last = --o->waiting == 0;
	if (last)
		o->got.complete = true;
	if (!last || o->finished)
		return false;
	o->finished = true;
	return !o->foreign;
}

static bool take_answer(struct asks *a, const char *node, const struct msg_answer *m, bool told)
{
	struct open_ask *o;
	struct target *t;
	bool finished = false, foreign = false;

	pthread_mutex_lock(&a->lock);
	o = find(a, m->ask);
	t = o == NULL || (told && o->foreign) ? NULL : find_target(o, node);
	if (t != NULL && o->foreign) {
		foreign = true;
		finished = settle(o, t);
	} else if (t != NULL) {
		o->got.nodes_answered++;
		if (o->what.kind == ASK_CUT && m->code == ERR_NONE)
			o->got.cut++;
		if (o->what.kind == ASK_CONNECTIONS)
			collect(o, t, m);
		finished = settle(o, t);
	}
	pthread_mutex_unlock(&a->lock);
	if (finished)
		a->on_finished(m->ask, a->arg);
	return foreign;
}

bool asks_answer(struct asks *a, const char *node, const struct msg_answer *m)
{
	return take_answer(a, node, m, false);
}

void asks_answer_told(struct asks *a, const char *node, const struct msg_answer *m)
{
	(void)take_answer(a, node, m, true);
}

void asks_renewing(struct asks *a, const char *node)
{
	uint64_t ids[ASKS_OPEN_MAX];
	size_t n = 0;

	pthread_mutex_lock(&a->lock);
	LIST_FOREACH (it, &a->open) {
		struct open_ask *o = CONTAINER_OF(it, struct open_ask, link);
		struct target *t = o->what.kind == ASK_RENEW ? find_target(o, node) : NULL;

		if (t == NULL)
			continue;
		if (!o->foreign)
			o->got.nodes_answered++;
		if (settle(o, t))
			ids[n++] = o->what.id;
	}
	pthread_mutex_unlock(&a->lock);
	for (size_t i = 0; i < n; i++)
		a->on_finished(ids[i], a->arg);
}

/* ---- between controlds ------------------------------------------------------------------------------------------- */

/* The ask whose time to be told has come, and those of its nodes that have not answered; NULL: there is none. */
static struct asks_node *next_to_tell(struct asks *a, uint64_t now_ms, struct ask *what, size_t *n)
{
	struct asks_node *nodes = NULL;

	*n = 0;
	pthread_mutex_lock(&a->lock);
	LIST_FOREACH (it, &a->open) {
		struct open_ask *o = CONTAINER_OF(it, struct open_ask, link);

		if (o->foreign || o->finished || (o->told_ms != 0 && now_ms < o->told_ms + ASKS_AGAIN_MS))
			continue;
		o->told_ms = now_ms;
		nodes = calloc(o->waiting + 1, sizeof *nodes);
		for (size_t i = 0; nodes != NULL && i < o->n; i++)
			if (!o->targets[i].done)
				nodes[(*n)++] = o->targets[i].node;
		*what = o->what;
		break;
	}
	pthread_mutex_unlock(&a->lock);
	return nodes;
}

void asks_tell(struct asks *a, uint64_t now_ms, asks_tell_fn fn, void *arg)
{
	struct asks_node *nodes;
	struct ask what;
	size_t n;

	while ((nodes = next_to_tell(a, now_ms, &what, &n)) != NULL) {
		fn(&what, nodes, n, arg);
		free(nodes);
	}
}

void asks_foreign(struct asks *a, const struct ask *what, const struct asks_node *nodes, size_t n, uint64_t now_ms)
{
	struct open_ask *o = open_ask_new(what, nodes, n, now_ms);
	bool room;

	if (o == NULL)
		return;
	o->foreign = true;
	pthread_mutex_lock(&a->lock);
	room = a->n_foreign < ASKS_FOREIGN_MAX && find(a, what->id) == NULL;
	if (room) {
		list_push_back(&a->open, &o->link);
		a->n_foreign++;
	}
	pthread_mutex_unlock(&a->lock);
	if (!room)
		free(o);
}

/* Ids of asks that have just finished, to be told without the lock. */
struct finished {
	uint64_t ids[ASKS_OPEN_MAX];
	size_t n;
};

static void tell_finished(const struct asks *a, const struct finished *f)
{
	for (size_t i = 0; i < f->n; i++)
		a->on_finished(f->ids[i], a->arg);
}

void asks_node_lost(struct asks *a, const char *node)
{
	struct finished f = { .n = 0 };

	pthread_mutex_lock(&a->lock);
	LIST_FOREACH (it, &a->open) {
		struct open_ask *o = CONTAINER_OF(it, struct open_ask, link);
		struct target *t = find_target(o, node);

		if (t != NULL && settle(o, t))
			f.ids[f.n++] = o->what.id;
	}
	pthread_mutex_unlock(&a->lock);
	tell_finished(a, &f);
}

static uint64_t next_look(const struct open_ask *o)
{
	uint64_t next = o->deadline_ms;

	if (o->finished)
		return o->deadline_ms + ASKS_KEEP_MS;
	for (size_t i = 0; i < o->n; i++)
		if (!o->targets[i].done && o->targets[i].given_ms > 0)
			next = MIN(next, o->targets[i].given_ms + ASKS_AGAIN_MS);
	return next;
}

uint64_t asks_tick(struct asks *a, uint64_t now_ms)
{
	struct finished f = { .n = 0 };
	uint64_t next = UINT64_MAX;

	pthread_mutex_lock(&a->lock);
	LIST_FOREACH_SAFE (it, &a->open) {
		struct open_ask *o = CONTAINER_OF(it, struct open_ask, link);

		if (now_ms >= o->deadline_ms + (o->foreign ? 0 : ASKS_KEEP_MS)) {
			open_ask_free(a, o);
			continue;
		}
		if (!o->finished && now_ms >= o->deadline_ms) {
			o->finished = true;
			f.ids[f.n++] = o->what.id;
		}
		next = MIN(next, next_look(o));
	}
	pthread_mutex_unlock(&a->lock);
	tell_finished(a, &f);
	return next;
}
