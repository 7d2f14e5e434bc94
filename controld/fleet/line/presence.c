#include "controld/fleet/line/presence.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "controld/fleet/line/mailbox.h"
#include "controld/fleet/line/roster.h"
#include "controld/fleet/node.h"
#include "controld/fleet/who.h"
#include "controld/loop/pool.h"
#include "controld/store/store.h"

#include <stdlib.h>

/* A growing array of rows. */
struct rows {
	struct node *items;
	size_t n, cap;
};

struct presence {
	struct store *store;
	struct pool *worker;
	struct mailbox *mailbox;
	struct roster *roster;
	struct rows events; /* not yet handed to the worker */
	uint64_t lost;
	uint64_t next_ms; /* of the next flush of who was heard of */
	bool busy;
	/* the worker's while busy */
	struct rows writing_events, writing_seen;
	bool failed;
	struct pool_job job;
	struct letter done;
};

static void work_write(struct pool_job *job);
static void on_done(struct letter *l);

int presence_new(struct presence **out, struct store *store, struct pool *worker, struct mailbox *mailbox,
	struct roster *roster, struct err *e)
{
	struct presence *p = calloc(1, sizeof *p);

	if (p == NULL)
		return err_set(e, ERR_NOMEM, NULL, "presence: out of memory");
	p->store = store;
	p->worker = worker;
	p->mailbox = mailbox;
	p->roster = roster;
	list_init(&p->job.node);
	p->job.work = work_write;
	letter_init(&p->done, on_done);
	*out = p;
	return 0;
}

void presence_free(struct presence *p)
{
	if (p == NULL)
		return;
	free(p->events.items);
	free(p->writing_events.items);
	free(p->writing_seen.items);
	free(p);
}

static int rows_add(struct rows *r, const struct node *n)
{
	if (r->n == r->cap) {
		size_t cap = r->cap == 0 ? 16 : r->cap * 2;
		struct node *items = realloc(r->items, cap * sizeof *items);

		if (items == NULL)
			return -1;
		r->items = items;
		r->cap = cap;
	}
	r->items[r->n++] = *n;
	return 0;
}

/* ---- on the worker ----------------------------------------------------------------------------------------------- */

static int work_tx(struct db *tx, void *arg, struct err *e)
{
	const struct presence *p = arg;
	const struct who who = { "system", "", clock_wall_ms() };

	for (size_t i = 0; i < p->writing_seen.n; i++)
		if (node_seen(tx, &p->writing_seen.items[i], e) != 0)
			return -1;
	for (size_t i = 0; i < p->writing_events.n; i++)
		if (node_event(tx, &p->writing_events.items[i], &who, e) != 0)
			return -1;
	return 0;
}

static void work_write(struct pool_job *job)
{
	struct presence *p = CONTAINER_OF(job, struct presence, job);
	enum store_class class = p->writing_events.n > 0 ? STORE_LOGGED : STORE_OPERATIONAL;
	struct err e;

	p->failed = store_write(p->store, class, work_tx, p, &e) != 0;
	if (p->failed)
		log_warn("presence_not_stored", log_u("events", p->writing_events.n), log_err(&e));
	mailbox_post(p->mailbox, &p->done);
}

/* ---- on the fleet thread ----------------------------------------------------------------------------------------- */

static void on_done(struct letter *l)
{
	struct presence *p = CONTAINER_OF(l, struct presence, done);

	p->busy = false;
	if (p->failed)
		return; /* the next tick tries the same again */
	p->writing_events.n = 0;
	p->writing_seen.n = 0;
}

void presence_event(struct presence *p, const struct node *n)
{
	log_info(n->online ? "node_online" : "node_offline", log_s("node", n->id), log_s("name", n->name),
		log_s("address", n->address));
	if (p->events.n >= PRESENCE_EVENTS_MAX || rows_add(&p->events, n) != 0)
		p->lost++;
}

static void on_seen(const struct roster_node *n, void *arg)
{
	(void)rows_add(arg, &n->row); /* one that finds no room is written with its next word */
}

void presence_tick(struct presence *p, uint64_t now_ms)
{
	struct rows spare;

	if (p->busy)
		return;
	if (p->writing_events.n == 0 && p->writing_seen.n == 0) {
		spare = p->writing_events;
		p->writing_events = p->events;
		p->events = spare;
		if (now_ms >= p->next_ms || p->writing_events.n > 0) {
			p->next_ms = now_ms + PRESENCE_MS;
			roster_flush(p->roster, on_seen, &p->writing_seen);
		}
	}
	if (p->writing_events.n == 0 && p->writing_seen.n == 0)
		return;
	p->busy = true;
	pool_resume(p->worker, &p->job); /* one job at a time: it needs no limit */
}

uint64_t presence_lost(const struct presence *p)
{
	return p->lost;
}
