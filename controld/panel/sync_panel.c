/*
 * One panel, within a sync: its lists are walked page by page, several pages at once; each page is written with its objects in
 * one transaction; and once a walk is complete, what it has not seen is marked as gone.
 */
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/jobs/job_run.h"
#include "controld/panel/fetch.h"
#include "controld/panel/rate.h"
#include "controld/panel/room.h"
#include "controld/panel/steady.h"
#include "controld/panel/turn.h"
#include "controld/panel/walk.h"

#include <inttypes.h>
#include <stdlib.h>

#define LOOK_MS      100 /* how often it is asked whether to stop */
#define ROUNDS       3   /* that a list which changes under our feet is walked */
#define REMOVE_BATCH 500

/* One walk of a panel's lists. */
struct walking {
	struct sync_panel *s;
	struct walk_key key;
	struct fetch *fetch;
	struct walk walk;          /* what was there when it began */
	struct sync_tally before;  /* of the panels before this one */
	unsigned covered, missing; /* BIT(kind) */
	unsigned failed;
};

static bool on_stop(void *arg)
{
	return job_run_stop(arg);
}

/* ---- planning ----------------------------------------------------------------------------------------------------- */

static int follow(struct walking *w, const struct walk_page *p, struct err *e);

/* Taken as read if it was read already, else asked for. */
static int plan(struct walking *w, const struct panel_list *l, int64_t parent_id, int64_t number, struct err *e)
{
	const struct walk_page *p = walk_find(&w->walk, l, parent_id, number);

	return p != NULL ? follow(w, p, e) : fetch_put(w->fetch, l, parent_id, number, e);
}

/* Items that hang on a list's items, and that this panel does not include. */
static int plan_children(struct walking *w, const struct walk_page *p, struct err *e)
{
	const struct panel_driver *d = w->s->driver;

	for (size_t i = 0; p->missing != 0 && i < d->n; i++) {
		const struct panel_list *l = &d->lists[i];

		if (l->parent != p->list->kind || (l->kinds & p->missing & w->s->wanted) == 0)
			continue;
		w->missing &= ~l->kinds;
		for (size_t k = 0; k < p->own.n; k++)
			if (plan(w, l, p->own.all[k], 1, e) != 0)
				return -1;
	}
	return 0;
}

static void count(struct walking *w, const struct walk_page *p)
{
	struct sync_tally *t = w->s->tally;
	const bool top = p->list->parent == PANEL_KINDS;

	if (top && p->number == 1)
		t->total += p->total;
	t->total += (int64_t)p->objects + p->failed - (top ? p->listed : 0);
	t->synced += (int64_t)p->objects;
	t->failed += p->failed;
}

/* What a page leads to: the list's others, once its first one says how many there are; lists that hang on its items. */
static int follow(struct walking *w, const struct walk_page *p, struct err *e)
{
	count(w, p);
	w->covered |= p->list->kinds;
	w->missing |= p->missing;
	w->failed |= p->failed_kinds;
	w->s->denied |= p->denied;
	if (plan_children(w, p, e) != 0)
		return -1;
	for (int64_t n = 2; p->number == 1 && n <= p->pages; n++)
		if (plan(w, p->list, p->parent_id, n, e) != 0)
			return -1;
	return 0;
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

struct writing {
	struct walking *w;
	const struct walk_page *p;
	const struct panel_page *page;
	size_t written;
};

static int work_page(struct db *tx, void *arg, struct err *e)
{
	struct writing *t = arg;
	const struct walking *w = t->w;
	const struct sync_tally *tally = w->s->tally;
	const struct mirror_writer writer = { w->key.panel, w->s->log->started_seq, clock_wall_ms() };
	struct sync_log_progress progress;
	char at[96];

	(void)str_fmt(at, sizeof at, "%s %s %" PRId64, w->key.panel, t->p->list->name, t->p->number);
	if (job_run_save_in(tx, w->s->job, at, e) != 0 || mirror_put(tx, &writer, t->page, &t->written, e) != 0)
		return -1;
	progress = (struct sync_log_progress){ tally->total, tally->synced, tally->failed, (int64_t)t->written, 0 };
	return walk_put(tx, &w->key, t->p, t->page, e) != 0 ? -1 : sync_log_progress(tx, w->s->log->id, &progress, e);
}

static int own_ids(struct walk_page *p, const struct panel_page *page, struct err *e)
{
	for (size_t i = 0; i < page->n; i++)
		if (page->all[i].kind == p->list->kind && mirror_ids_add(&p->own, page->all[i].id, e) != 0)
			return -1;
	return 0;
}

static int take_page(struct walking *w, const struct fetch_page *f, struct err *e)
{
	struct walk_page p;
	struct writing t = { .w = w, .p = &p, .page = &f->page };
	const struct sync_tally *tally = w->s->tally;
	char note[96];
	int rc;

	walk_page_of(&p, f->list, f->parent_id, f->number, &f->page);
	rc = own_ids(&p, &f->page, e);
	if (rc == 0 && (rc = follow(w, &p, e)) == 0)
		rc = store_write(job_run_store(w->s->job), STORE_OPERATIONAL, work_page, &t, e);
	mirror_ids_fini(&p.own);
	if (rc != 0)
		return -1;
	(void)str_fmt(note, sizeof note, "%s: %s, page %" PRId64 " of %" PRId64, w->key.panel, f->list->name, f->number,
		f->page.pages);
	job_run_note(w->s->job, note);
	job_run_progress(w->s->job, tally->synced, tally->failed, tally->total);
	return 0;
}

static int take(struct walking *w, const struct fetch_page *f, struct err *e)
{
	if (f->outcome == PANEL_READ)
		return take_page(w, f, e);
	w->s->in_vain = f->outcome == PANEL_REFUSED;
	*e = f->err;
	return -1;
}

/* ---- one round ---------------------------------------------------------------------------------------------------- */

static int begin(struct walking *w, struct err *e)
{
	const struct panel_driver *d = w->s->driver;
	int rc = 0;

	*w->s->tally = w->before;
	w->covered = w->missing = w->failed = w->s->denied = 0;
	for (size_t i = 0; rc == 0 && i < d->n; i++)
		if (d->lists[i].parent == PANEL_KINDS && (d->lists[i].kinds & w->s->wanted) != 0)
			rc = plan(w, &d->lists[i], 0, 1, e);
	return rc;
}

static int fetch_all(struct walking *w, struct err *e)
{
	while (fetch_pending(w->fetch) > 0 && !job_run_stop(w->s->job)) {
		struct fetch_page *f = fetch_get(w->fetch, LOOK_MS);
		int rc;

		if (f == NULL)
			continue;
		rc = take(w, f, e);
		fetch_page_free(f);
		if (rc != 0)
			return -1;
	}
	return job_run_ended(w->s->job, e);
}

static int load(struct walking *w, struct err *e)
{
	struct db *db;
	int rc;

	walk_fini(&w->walk);
	if (store_read_begin(job_run_store(w->s->job), &db, e) != 0)
		return -1;
	rc = walk_load(db, &w->key, w->s->driver, &w->walk, e);
	store_read_end(db);
	return rc;
}

static struct panel_call call_of(const struct sync_panel *s)
{
	const struct panels_conf *c = &s->panels->conf;

	return (struct panel_call){ s->driver, &s->access, c->outbound, s->panels->rates[s->slot], c->timeout_ms,
		s->per_page, on_stop, s->job };
}

static int round_of(struct walking *w, struct err *e)
{
	const struct panel_call call = call_of(w->s);
	int rc;

	if (load(w, e) != 0 || fetch_open(&w->fetch, &call, w->s->panels->conf.parallel, e) != 0)
		return -1;
	if ((rc = begin(w, e)) == 0)
		rc = fetch_all(w, e);
	fetch_close(w->fetch);
	w->fetch = NULL;
	return rc;
}

/* ---- was it one moment? --------------------------------------------------------------------------------------------- */

struct forgetting {
	const struct walking *w;
	const struct panel_list *list;
};

static int work_forget(struct db *tx, void *arg, struct err *e)
{
	const struct forgetting *f = arg;

	if (job_run_save_in(tx, f->w->s->job, "again", e) != 0)
		return -1;
	return walk_forget_list(tx, &f->w->key, f->list->name, e);
}

/* A list that is to be read again: what is known of it is forgotten. *again gets BIT(kind) of what it brings. */
static int forget(struct walking *w, const struct panel_list *l, unsigned *again, struct err *e)
{
	struct forgetting f = { w, l };

	if ((*again & BIT(l->kind)) != 0)
		return 0;
	*again |= l->kinds;
	return store_write(job_run_store(w->s->job), STORE_OPERATIONAL, work_forget, &f, e);
}

/* *again: lists whose pages do not fit together. */
static int check(struct walking *w, unsigned *again, struct err *e)
{
	*again = 0;
	if (load(w, e) != 0)
		return -1;
	for (size_t i = 0, end; i < w->walk.n; i = end) {
		bool yes;

		end = steady_group(&w->walk, i);
		if (steady_counts(&w->walk, i, end, &yes, e) != 0)
			return -1;
		if (!yes && forget(w, w->walk.all[i].list, again, e) != 0)
			return -1;
	}
	return 0;
}

/* Both in order: what is in the first and not in the second stays in the first. */
static void subtract(struct mirror_ids *from, const struct mirror_ids *what)
{
	size_t n = 0, k = 0;

	for (size_t i = 0; i < from->n; i++) {
		while (k < what->n && what->all[k] < from->all[i])
			k++;
		if (k == what->n || what->all[k] != from->all[i])
			from->all[n++] = from->all[i];
	}
	from->n = n;
}

/* What is kept of a kind, and was not seen. */
static int find_unseen(struct walking *w, enum panel_kind kind, struct mirror_ids *out, struct err *e)
{
	struct mirror_ids seen = { .n = 0 };
	struct db *db;
	int rc;

	if (store_read_begin(job_run_store(w->s->job), &db, e) != 0)
		return -1;
	if ((rc = walk_seen(db, &w->key, kind, &seen, e)) == 0)
		rc = mirror_live(db, w->key.panel, kind, w->s->log->started_seq, out, e);
	store_read_end(db);
	if (rc == 0)
		subtract(out, &seen);
	mirror_ids_fini(&seen);
	return rc;
}

/* Pages that are asked for once more; n: how many. */
static int ask_again(struct walking *w, size_t from, const bool *doubt, size_t n, struct err *e)
{
	for (size_t i = from; n > 0; i++)
		if (doubt[i - from]) {
			const struct walk_page *p = &w->walk.all[i];

			if (fetch_put(w->fetch, p->list, p->parent_id, p->number, e) != 0)
				return -1;
			n--;
		}
	return 0;
}

static int compare_again(struct walking *w, bool *same, struct err *e)
{
	while (fetch_pending(w->fetch) > 0 && !job_run_stop(w->s->job)) {
		struct fetch_page *f = fetch_get(w->fetch, LOOK_MS);
		const struct walk_page *before;
		int rc = 0;

		if (f == NULL)
			continue;
		if (f->outcome != PANEL_READ) {
			w->s->in_vain = f->outcome == PANEL_REFUSED;
			*e = f->err;
			rc = -1;
		} else if ((before = walk_find(&w->walk, f->list, f->parent_id, f->number)) != NULL) {
			*same = *same && steady_same(before, &f->page);
		}
		fetch_page_free(f);
		if (rc != 0)
			return -1;
	}
	return job_run_ended(w->s->job, e);
}

/* One list of pages; *same: nothing moved. */
static int verify_group(struct walking *w, size_t from, size_t to, bool *same, struct err *e)
{
	const struct panel_call call = call_of(w->s);
	struct mirror_ids unseen = { .n = 0 };
	bool *doubt = calloc(to - from, sizeof *doubt);
	size_t n = 0;
	int rc = doubt != NULL ? 0 : err_set(e, ERR_NOMEM, NULL, "panel: out of memory");

	*same = true;
	if (rc == 0 && (rc = find_unseen(w, w->walk.all[from].list->kind, &unseen, e)) == 0)
		n = steady_doubts(&w->walk, from, to, &unseen, doubt);
	if (rc == 0 && n > 0 && (rc = fetch_open(&w->fetch, &call, w->s->panels->conf.parallel, e)) == 0) {
		if ((rc = ask_again(w, from, doubt, n, e)) == 0)
			rc = compare_again(w, same, e);
		fetch_close(w->fetch);
		w->fetch = NULL;
	}
	mirror_ids_fini(&unseen);
	free(doubt);
	return rc;
}

/* *again as check() has it; lists that are read again anyway are left out. */
static int verify(struct walking *w, unsigned *again, struct err *e)
{
	for (size_t i = 0, end; i < w->walk.n; i = end) {
		const struct panel_list *l = w->walk.all[i].list;
		bool same = true;

		end = steady_group(&w->walk, i);
		if (end - i < 2 || (*again & BIT(l->kind)) != 0)
			continue;
		if (verify_group(w, i, end, &same, e) != 0 || (!same && forget(w, l, again, e) != 0))
			return -1;
	}
	return 0;
}

static int walk_panel(struct walking *w, struct err *e)
{
	unsigned again = 0;

	for (int n = 0; n < ROUNDS; n++) {
		if (round_of(w, e) != 0 || check(w, &again, e) != 0 || verify(w, &again, e) != 0)
			return -1;
		if (again == 0)
			break;
		job_run_log(w->s->job, JOB_INFO, "%s changed while it was read: once more", w->key.panel);
	}
	w->s->unsure = again;
	return 0;
}

/* ---- what is gone ------------------------------------------------------------------------------------------------- */

struct removing {
	const struct walking *w;
	struct mirror_removal r;
	size_t removed;
};

static int work_remove(struct db *tx, void *arg, struct err *e)
{
	struct removing *t = arg;
	const struct sync_tally *tally = t->w->s->tally;
	struct sync_log_progress progress;

	if (job_run_save_in(tx, t->w->s->job, "removing", e) != 0 || mirror_remove(tx, &t->r, &t->removed, e) != 0)
		return -1;
	progress = (struct sync_log_progress){ tally->total, tally->synced, tally->failed, 0, (int64_t)t->removed };
	return sync_log_progress(tx, t->w->s->log->id, &progress, e);
}

static int remove_ids(struct walking *w, enum panel_kind kind, const struct mirror_ids *gone, struct err *e)
{
	for (size_t i = 0; i < gone->n; i += REMOVE_BATCH) {
		struct removing t = { .w = w,
			.r = { w->key.panel, kind, gone->all + i, MIN(gone->n - i, REMOVE_BATCH),
				w->s->log->started_seq, clock_wall_ms() } };

		if (job_run_stop(w->s->job))
			return job_run_ended(w->s->job, e);
		if (store_write(job_run_store(w->s->job), STORE_OPERATIONAL, work_remove, &t, e) != 0)
			return -1;
	}
	return 0;
}

static int remove_kind(struct walking *w, enum panel_kind kind, struct err *e)
{
	struct mirror_ids gone = { .n = 0 };
	int rc = find_unseen(w, kind, &gone, e);

	if (rc == 0)
		rc = remove_ids(w, kind, &gone, e);
	mirror_ids_fini(&gone);
	return rc;
}

static int remove_gone(struct walking *w, struct err *e)
{
	const unsigned sure = w->covered & ~(w->missing | w->failed | w->s->denied | w->s->unsure);

	for (int k = 0; k < PANEL_KINDS; k++)
		if ((sure & BIT(k)) != 0 && remove_kind(w, (enum panel_kind)k, e) != 0)
			return -1;
	return 0;
}

/* ---- the whole ------------------------------------------------------------------------------------------------------ */

/* A panel without locations is a Pelican. */
static int find_driver(struct sync_panel *s, struct err *e)
{
	static const struct panel_driver *const by_setting[] = { NULL, &panel_pterodactyl, &panel_pelican };
	enum panel_outcome outcome;
	struct panel_call call;
	bool has = false;

	s->driver = s->slot == PANEL_SLOT_VIRTFUSION ? &panel_virtfusion : by_setting[s->panels->conf.driver];
	if (s->driver == NULL) {
		s->driver = &panel_pterodactyl;
		call = call_of(s);
		if ((outcome = panel_call_has(&call, &s->driver->lists[0], &has, e)) != PANEL_READ) {
			s->in_vain = outcome == PANEL_REFUSED;
			return outcome == PANEL_STOPPED ? job_run_ended(s->job, e) : -1;
		}
		s->driver = has ? &panel_pterodactyl : &panel_pelican;
	}
	pthread_mutex_lock(&s->panels->lock);
	s->panels->driver[s->slot] = s->driver;
	pthread_mutex_unlock(&s->panels->lock);
	return 0;
}

static int walk_and_remove(struct sync_panel *s, struct err *e)
{
	struct walking w = { .s = s, .before = *s->tally };
	int rc;

	if (find_driver(s, e) != 0)
		return -1;
	w.key = (struct walk_key){ job_run_id(s->job), s->driver->name };
	if ((rc = walk_panel(&w, e)) == 0)
		rc = remove_gone(&w, e);
	walk_fini(&w.walk);
	return rc;
}

/* With no limit of ours there is no budget to share. */
static int hold_for_others(const struct sync_panel *s, const struct turn *t, struct err *e)
{
	uint64_t hold_ms;

	if (turn_begin(t, clock_wall_ms(), &hold_ms, e) != 0)
		return -1;
	if (hold_ms == 0 || s->panels->conf.rate_limit == 0)
		return 0;
	job_run_log(s->job, JOB_INFO, "waits %.1f s: another controld has asked the panel, and the limit is for all",
		(double)hold_ms / 1000);
	rate_hold(s->panels->rates[s->slot], clock_mono_ms(), hold_ms);
	return 0;
}

int sync_panel_run(struct sync_panel *s, struct err *e)
{
	static const char *const slots[] = { [PANEL_SLOT_GAME] = "game", [PANEL_SLOT_VIRTFUSION] = "virtfusion" };
	const struct turn turn = { job_run_store(s->job), slots[s->slot], s->panels->self,
		s->panels->conf.rate_window_ms };
	struct err why;
	int rc;

	if (hold_for_others(s, &turn, e) != 0)
		return -1;
	rc = walk_and_remove(s, e);
	if (turn_end(&turn, clock_wall_ms(), &why) != 0)
		log_warn("panel_turn_not_ended", log_err(&why)); /* the next one waits for longer than it must */
	return rc;
}
