#include "controld/fleet/line/presence.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/fleet/line/mailbox.h"
#include "controld/fleet/line/roster.h"
#include "controld/fleet/node.h"
#include "controld/fleet/who.h"
#include "controld/loop/pool.h"
#include "controld/store/store.h"

#include <stdlib.h>

struct row {
	struct node node; /* controld_id: who has it, or had it */
	bool claim;
};

/* A growing array of them. */
struct rows {
	struct row *items;
	size_t n, cap;
};

struct presence {
	struct presence_conf conf;
	struct rows events; /* who has gone; not yet handed to the worker */
	uint64_t lost;
	uint64_t next_ms; /* of the next flush of who was heard of */
	bool busy;
	/* the worker's while busy */
	struct rows writing_events, writing_seen;
	bool logged; /* there is something to say among them */
	bool failed;
	struct pool_job job;
	struct letter done;
};

static void work_write(struct pool_job *job);
static void on_done(struct letter *l);

int presence_new(struct presence **out, const struct presence_conf *c, struct err *e)
{
	struct presence *p = calloc(1, sizeof *p);

	if (p == NULL)
		return err_set(e, ERR_NOMEM, NULL, "presence: out of memory");
	p->conf = *c;
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

static int rows_add(struct rows *r, const struct presence *p, const struct roster_node *n)
{
	struct row *row;

	if (r->n == r->cap) {
		size_t cap = r->cap == 0 ? 16 : r->cap * 2;
		struct row *items = realloc(r->items, cap * sizeof *items);

		if (items == NULL)
			return -1;
		r->items = items;
		r->cap = cap;
	}
	row = &r->items[r->n++];
	*row = (struct row){ n->row, n->claim };
	str_copy(row->node.controld_id, sizeof row->node.controld_id, n->here ? p->conf.self : n->peer);
	return 0;
}

/* ---- on the worker ----------------------------------------------------------------------------------------------- */

/* One that came here and went again before that was written down did both: else its row would stay with who had it before. */
static int write_row(
	struct db *tx, const struct presence *p, const struct row *row, const struct who *who, struct err *e)
{
	struct node node = row->node;

	if (!row->claim)
		return node_seen(tx, &node, e);
	node.online = true;
	if (node_come(tx, &node, who, e) != 0)
		return -1;
	node.online = row->node.online;
	return node.online ? 0 : node_gone(tx, &node, p->conf.self, who, e);
}

/* What has gone comes first: a node may have come back since. */
static int work_tx(struct db *tx, void *arg, struct err *e)
{
	const struct presence *p = arg;
	const struct who who = { "system", "", clock_wall_ms() };

	for (size_t i = 0; i < p->writing_events.n; i++)
		if (node_gone(tx, &p->writing_events.items[i].node, p->conf.self, &who, e) != 0)
			return -1;
	for (size_t i = 0; i < p->writing_seen.n; i++)
		if (write_row(tx, p, &p->writing_seen.items[i], &who, e) != 0)
			return -1;
	return 0;
}

static void work_write(struct pool_job *job)
{
	struct presence *p = CONTAINER_OF(job, struct presence, job);
	enum store_class class = p->logged ? STORE_LOGGED : STORE_OPERATIONAL;
	struct err e;

	p->failed = store_write(p->conf.store, class, work_tx, p, &e) != 0;
	if (p->failed)
		log_warn("presence_not_stored", log_u("events", p->writing_events.n), log_err(&e));
	mailbox_post(p->conf.mailbox, &p->done);
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

void presence_offline(struct presence *p, const struct roster_node *n)
{
	if (p->events.n >= PRESENCE_EVENTS_MAX || rows_add(&p->events, p, n) != 0)
		p->lost++;
}

static void on_seen(const struct roster_node *n, void *arg)
{
	struct presence *p = arg;

	p->logged = p->logged || n->claim;
	(void)rows_add(&p->writing_seen, p, n); /* one that finds no room is written with its next word */
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
		p->logged = p->writing_events.n > 0;
		if (now_ms >= p->next_ms || p->writing_events.n > 0 || roster_has_claims(p->conf.roster)) {
			p->next_ms = now_ms + PRESENCE_MS;
			roster_flush(p->conf.roster, on_seen, p);
		}
	}
	if (p->writing_events.n == 0 && p->writing_seen.n == 0)
		return;
	p->busy = true;
	pool_resume(p->conf.worker, &p->job); /* one job at a time: it needs no limit */
}

uint64_t presence_lost(const struct presence *p)
{
	return p->lost;
}
