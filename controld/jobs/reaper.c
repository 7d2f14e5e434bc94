#include "controld/jobs/reaper.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/jobs/job_hold.h"

#include <string.h>

/* ---- giving back ------------------------------------------------------------------------------------------------- */

#define BATCH 100

struct batch {
	struct orphan {
		char id[RAND_ID_SIZE];
		int64_t lease, failures, crashes;
		bool cancel;
	} all[BATCH];
	size_t n;
	bool (*mine)(const char *id, int64_t lease, void *arg);
	void *arg;
	unsigned given;
};

static int on_held(const struct job *j, void *arg)
{
	struct batch *b = arg;
	struct orphan *o = &b->all[b->n];

	if (b->mine != NULL && b->mine(j->id, j->lease, b->arg))
		return 0;
	(void)str_copy(o->id, sizeof o->id, j->id);
	o->lease = j->lease;
	o->failures = j->failures;
	o->crashes = j->crashes;
	o->cancel = j->cancel;
	return ++b->n == BATCH;
}

/* What was to be cancelled is, and what kills whoever takes it is not tried for ever. */
static struct hold_end end_of(const struct orphan *o)
{
	struct hold_end end = {
		.state = JOB_QUEUED, .now_ms = clock_wall_ms(), .failures = o->failures, .crashes = o->crashes + 1
	};

	if (o->cancel) {
		end.state = JOB_CANCELLED;
	} else if (end.crashes >= JOB_CRASHES_MAX) {
		end.state = JOB_DEAD;
		end.error_code = err_api(ERR_INTERNAL);
		end.error = "whoever ran it died, again and again";
	}
	return end;
}

static int give_one(struct db *tx, const struct orphan *o, unsigned *given, struct err *e)
{
	const struct hold h = { o->id, o->lease };
	const struct hold_end end = end_of(o);
	const struct job_by by = { "", o->id, "system", "", end.now_ms };
	int n = job_hold_end(tx, &h, &end, e);

	if (n <= 0)
		return n;
	++*given;
	log_warn("job_given_back", log_s("job", o->id), log_s("state", job_state_name(end.state)));
	return job_state_ended(end.state) ? job_note_change(tx, &by, job_state_name(end.state), e) : 0;
}

static int work_give_back(struct db *tx, void *arg, struct err *e)
{
	struct batch *b = arg;

	b->given = 0;
	for (size_t i = 0; i < b->n; i++)
		if (give_one(tx, &b->all[i], &b->given, e) != 0)
			return -1;
	return 0;
}

int reaper_give_back(struct store *store, const char *holder, bool (*mine)(const char *id, int64_t lease, void *arg),
	void *arg, unsigned *given_back, struct err *e)
{
	struct batch b = { .mine = mine, .arg = arg };
	struct db *db;
	int rc;

	do {
		b.n = 0;
		if (store_read_begin(store, &db, e) != 0)
			return -1;
		rc = job_hold_of(db, holder, on_held, &b, e);
		store_read_end(db);
		if (rc != 0 || (b.n > 0 && store_write(store, STORE_LOGGED, work_give_back, &b, e) != 0))
			return -1;
		*given_back += b.given;
	} while (b.n == BATCH);
	return 0;
}

/* ---- who is dead ------------------------------------------------------------------------------------------------- */

static struct reaper_seen *find(struct reaper *r, const char *holder)
{
	for (size_t i = 0; i < r->n; i++)
		if (str_eq(r->seen[i].holder, holder))
			return &r->seen[i];
	return NULL;
}

struct looking {
	struct reaper *reaper;
	const struct reaper_conf *conf;
	uint64_t now_ms;
};

/* Those beyond the most that are watched are watched when others are gone. */
static int on_holder(const char *holder, int64_t beat, void *arg)
{
	struct looking *l = arg;
	struct reaper *r = l->reaper;
	struct reaper_seen *s = find(r, holder);

	if (str_eq(holder, l->conf->self))
		return 0;
	if (s == NULL) {
		if (r->n == REAPER_HOLDERS_MAX)
			return 0;
		s = &r->seen[r->n++];
		(void)str_copy(s->holder, sizeof s->holder, holder);
		s->beat = beat - 1;
	}
	s->there = true;
	if (s->beat != beat) {
		s->beat = beat;
		s->since_ms = l->now_ms;
	}
	return 0;
}

/* One without a row has left, or was cleared away. */
static bool is_dead(const struct reaper_seen *s, const struct reaper_conf *c, uint64_t now_ms)
{
	return !c->shared || s->beat < 0 || now_ms - s->since_ms >= c->lease_ms;
}

static int work_forget(struct db *tx, void *arg, struct err *e)
{
	return job_hold_leave(tx, arg, e);
}

int reaper_look(struct reaper *r, const struct reaper_conf *c, uint64_t now_ms, unsigned *given_back, struct err *e)
{
	struct looking l = { r, c, now_ms };
	struct db *db;
	int rc;

	*given_back = 0;
	for (size_t i = 0; i < r->n; i++)
		r->seen[i].there = false;
	if (store_read_begin(c->store, &db, e) != 0)
		return -1;
	rc = job_hold_holders(db, on_holder, &l, e);
	store_read_end(db);
	for (size_t i = 0; i < r->n && rc == 0;) {
		struct reaper_seen *s = &r->seen[i];
		const bool dead = s->there && is_dead(s, c, now_ms);

		if (dead)
			rc = reaper_give_back(c->store, s->holder, NULL, NULL, given_back, e);
		if (dead && rc == 0)
			rc = store_write(c->store, STORE_OPERATIONAL, work_forget, s->holder, e);
		if (rc == 0 && (dead || !s->there))
			*s = r->seen[--r->n];
		else
			i++;
	}
	return rc;
}
