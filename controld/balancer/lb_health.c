#include "controld/balancer/lb_health.h"

#include "common/base/map.h"
#include "common/base/str.h"
#include "controld/balancer/lb_standing.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct told {
	char node[PROTO_ID_SIZE];
	struct backend_state *items;
	uint32_t n;
	bool dirty, gone;
};

struct late { /* has to be judged again */
	char backend[PROTO_ID_SIZE];
	int64_t due_ms;
};

struct lb_healths {
	struct store *store;
	pthread_mutex_t lock;
	struct map nodes; /* struct told; under the lock */
	struct map waits; /* struct late, by backend; the writer's */
};

int lb_healths_new(struct lb_healths **out, struct store *store, struct err *e)
{
	struct lb_healths *h = calloc(1, sizeof *h);

	if (h == NULL)
		return err_set(e, ERR_NOMEM, NULL, "health of backends: out of memory");
	h->store = store;
	pthread_mutex_init(&h->lock, NULL);
	map_init(&h->nodes);
	map_init(&h->waits);
	*out = h;
	return 0;
}

static void told_free(struct told *t)
{
	if (t == NULL)
		return;
	free(t->items);
	free(t);
}

void lb_healths_free(struct lb_healths *h)
{
	struct told *t;
	struct late *late;
	size_t it = 0;

	if (h == NULL)
		return;
	while ((t = map_next(&h->nodes, &it)) != NULL)
		told_free(t);
	it = 0;
	while ((late = map_next(&h->waits, &it)) != NULL)
		free(late);
	map_free(&h->nodes);
	map_free(&h->waits);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

/* ---- what relays say ---------------------------------------------------------------------------------------------- */

static bool same(const struct told *t, const struct backend_states *list)
{
	if (t->gone || t->n != list->n)
		return false;
	for (uint32_t i = 0; i < t->n; i++) {
		const struct backend_state *a = &t->items[i], *b = &list->items[i];

		if (a->state != b->state || a->flaps != b->flaps || a->since_ms != b->since_ms ||
			!str_eq(a->backend, b->backend) || !str_eq(a->reason, b->reason))
			return false;
	}
	return true;
}

static struct told *told_of(struct lb_healths *h, const char *node_id)
{
	struct told *t = map_get_str(&h->nodes, node_id);

	if (t != NULL || (t = calloc(1, sizeof *t)) == NULL)
		return t;
	str_copy(t->node, sizeof t->node, node_id);
	t->gone = true;
	if (map_put_str(&h->nodes, t->node, t, NULL) == 0)
		return t;
	free(t);
	return NULL;
}

static int take(struct lb_healths *h, const char *node_id, const struct backend_states *list)
{
	struct told *t = told_of(h, node_id);
	struct backend_state *items;

	if (t == NULL)
		return -1;
	if (same(t, list))
		return 0;
	items = list->n > 0 ? malloc(list->n * sizeof *items) : NULL;
	if (list->n > 0 && items == NULL)
		return -1;
	if (list->n > 0)
		memcpy(items, list->items, list->n * sizeof *items);
	free(t->items);
	t->items = items;
	t->n = list->n;
	t->gone = false;
	t->dirty = true;
	return 0;
}

int lb_healths_node(struct lb_healths *h, const char *node_id, const struct backend_states *list)
{
	int rc;

	if (!list->told)
		return 0;
	pthread_mutex_lock(&h->lock);
	rc = take(h, node_id, list);
	pthread_mutex_unlock(&h->lock);
	return rc;
}

void lb_healths_node_gone(struct lb_healths *h, const char *node_id)
{
	struct told *t;

	pthread_mutex_lock(&h->lock);
	t = map_get_str(&h->nodes, node_id);
	if (t != NULL && !t->gone) {
		t->gone = t->dirty = true;
		t->n = 0;
	}
	pthread_mutex_unlock(&h->lock);
}

static bool anybody(struct lb_healths *h)
{
	const struct told *t;
	bool any = false;
	size_t it = 0;

	pthread_mutex_lock(&h->lock);
	while ((t = map_next(&h->nodes, &it)) != NULL)
		any = any || !t->gone;
	pthread_mutex_unlock(&h->lock);
	return any;
}

/* ---- writing it down ---------------------------------------------------------------------------------------------- */

#define NODES_BATCH 64

struct batch {
	struct lb_healths *h;
	int64_t now_ms;
	size_t n;
	struct told nodes[NODES_BATCH]; /* copies */
	struct map touched;             /* struct late */
	bool failed;                    /* no memory */
};

static int copy(struct told *to, const struct told *t)
{
	*to = *t;
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): each element is written once, which the analyzer loses */
	to->items = NULL;
	if (t->n == 0)
		return 0;
	to->items = malloc(t->n * sizeof *to->items);
	if (to->items == NULL)
		return -1;
	memcpy(to->items, t->items, t->n * sizeof *to->items);
	return 0;
}

/* Copies of what is dirty, which is clean from now on. What there is no memory for stays dirty. */
static void gather(struct batch *b)
{
	struct lb_healths *h = b->h;
	struct told *t;
	size_t it = 0;

	pthread_mutex_lock(&h->lock);
	while (b->n < NODES_BATCH && (t = map_next(&h->nodes, &it)) != NULL)
		if (t->dirty && copy(&b->nodes[b->n], t) == 0) {
			t->dirty = false;
			b->n++;
		}
	pthread_mutex_unlock(&h->lock);
}

/* What was not written is dirty still. */
static void put_back(struct batch *b)
{
	pthread_mutex_lock(&b->h->lock);
	for (size_t i = 0; i < b->n; i++) {
		struct told *t = map_get_str(&b->h->nodes, b->nodes[i].node);

		if (t != NULL)
			t->dirty = true;
	}
	pthread_mutex_unlock(&b->h->lock);
}

static void note(struct map *in, const char *backend_id, int64_t due_ms, bool *failed)
{
	struct late *late = map_get_str(in, backend_id);

	if (late == NULL && (late = calloc(1, sizeof *late)) != NULL) {
		str_copy(late->backend, sizeof late->backend, backend_id);
		if (map_put_str(in, late->backend, late, NULL) != 0) {
			free(late);
			late = NULL;
		}
	}
	if (late == NULL)
		*failed = true;
	else
		late->due_ms = due_ms;
}

static void on_touched(void *arg, const char *backend_id)
{
	struct batch *b = arg;

	note(&b->touched, backend_id, 0, &b->failed);
}

static void drop_all(struct map *m)
{
	struct late *late;
	size_t it = 0;

	while ((late = map_next(m, &it)) != NULL)
		free(late);
	map_free(m);
	map_init(m);
}

static int judge_touched(struct db *tx, struct batch *b, struct err *e)
{
	const struct lb_standing_now now = { b->now_ms, anybody(b->h) };
	struct late *late;
	size_t it = 0;

	while ((late = map_next(&b->touched, &it)) != NULL) {
		int64_t wait_ms;

		if (lb_standing_judge(tx, late->backend, &now, &wait_ms, e) != 0)
			return -1;
		late->due_ms = wait_ms > 0 ? b->now_ms + wait_ms : 0;
	}
	return 0;
}

static int work_write(struct db *tx, void *arg, struct err *e)
{
	struct batch *b = arg;

	for (size_t i = 0; i < b->n; i++)
		if (lb_standing_replace(tx, b->nodes[i].node, b->nodes[i].items, b->nodes[i].n, on_touched, b, e) != 0)
			return -1;
	if (b->failed)
		return err_set(e, ERR_NOMEM, NULL, "health of backends: out of memory");
	return judge_touched(tx, b, e);
}

/* Those whose time has come are judged again with this batch. */
static void take_due(struct batch *b)
{
	const struct late *late;
	size_t it = 0;

	while ((late = map_next(&b->h->waits, &it)) != NULL)
		if (late->due_ms <= b->now_ms)
			note(&b->touched, late->backend, 0, &b->failed);
}

static void keep_waits(struct batch *b)
{
	struct lb_healths *h = b->h;
	struct late *late;
	size_t it = 0;

	while ((late = map_next(&b->touched, &it)) != NULL) {
		free(map_remove_str(&h->waits, late->backend));
		if (late->due_ms > 0)
			note(&h->waits, late->backend, late->due_ms, &b->failed);
	}
}

int lb_healths_write(void *arg, int64_t now_ms, struct err *e)
{
	struct batch b = { .h = arg, .now_ms = now_ms };
	int rc = 0;

	map_init(&b.touched);
	gather(&b);
	take_due(&b);
	if (b.n > 0 || map_count(&b.touched) > 0)
		rc = store_write(b.h->store, STORE_LOGGED, work_write, &b, e);
	if (rc == 0)
		keep_waits(&b);
	else
		put_back(&b);
	for (size_t i = 0; i < b.n; i++)
		free(b.nodes[i].items);
	drop_all(&b.touched);
	map_free(&b.touched);
	return rc;
}
