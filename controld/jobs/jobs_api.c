/* What people see of jobs and do to them. */
#include "common/base/clock.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "controld/identity/identity.h"
#include "controld/jobs/follow.h"
#include "controld/jobs/job_log.h"
#include "controld/jobs/room.h"
#include "controld/jobs/share.h"
#include "controld/jobs/workers.h"
#include "controld/rest/park.h"

#include <stdlib.h>
#include <string.h>

#define JSON_TYPE "application/json; charset=utf-8"

const char *jobs_tenant_of(const struct request *rq)
{
	const struct identity *who = request_identity(rq);

	return who->system_admin ? "" : who->tenant_id;
}

static const char *query_or(const struct request *rq, const char *name)
{
	const char *s = request_query(rq, name);

	return s != NULL ? s : "";
}

static const struct job_kind *kind_of(struct jobs *j, const struct job *job)
{
	return kinds_find(&j->kinds, job->kind, NULL);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct listing {
	struct jobs *jobs;
	struct buf *out;
	unsigned limit, n;
	char last[RAND_ID_SIZE];
	bool more;
};

static int on_listed(const struct job *job, void *arg)
{
	struct listing *l = arg;

	if (l->n == l->limit) {
		l->more = true;
		return 1;
	}
	l->n++;
	(void)str_copy(l->last, sizeof l->last, job->id);
	job_print(l->out, job, kind_of(l->jobs, job));
	return 0;
}

int jobs_api_list(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct listing l = { .jobs = feature };
	const bool all = *jobs_tenant_of(rq) == '\0';
	struct job_filter f = { .tenant_id = all ? query_or(rq, "tenant_id") : jobs_tenant_of(rq),
		.kind = query_or(rq, "kind"),
		.queue = query_or(rq, "queue"),
		.state = query_or(rq, "state"),
		.schedule_id = query_or(rq, "schedule_id") };
	struct page page;
	struct db *db;
	int rc;

	if (request_page(rq, &page, e) != 0 || store_read_begin(l.jobs->conf.store, &db, e) != 0)
		return -1;
	l.limit = page.limit;
	f.before = page.after;
	f.limit = page.limit + 1;
	l.out = reply_open(rp, 200, JSON_TYPE);
	jsonw_object(l.out, NULL);
	jsonw_array(l.out, "items");
	rc = job_list(db, &f, on_listed, &l, e);
	store_read_end(db);
	jsonw_end_array(l.out);
	jsonw_str(l.out, "next_cursor", l.more ? l.last : NULL);
	jsonw_end_object(l.out);
	return rc;
}

struct showing {
	struct jobs *jobs;
	struct reply *rp;
	int status;
	int64_t after; /* a version; shown only when it is newer or has ended. -1: only when it has ended; 0: in any case */
	bool shown;
};

static int on_shown(const struct job *job, void *arg)
{
	struct showing *s = arg;

	if (!job_state_ended(job->state) && (s->after < 0 || (s->after > 0 && job->version <= s->after)))
		return 0;
	s->shown = true;
	reply_etag(s->rp, job->version);
	job_print(reply_open(s->rp, s->status, JSON_TYPE), job, kind_of(s->jobs, job));
	return 0;
}

static int show(struct jobs *j, const char *tenant_id, const char *id, struct showing *s, struct err *e)
{
	struct db *db;
	int rc;

	if (store_read_begin(j->conf.store, &db, e) != 0)
		return -1;
	rc = job_get(db, tenant_id, id, on_shown, s, e);
	store_read_end(db);
	return rc;
}

static int show_now(struct jobs *j, struct request *rq, struct reply *rp, const char *id, int status, struct err *e)
{
	struct showing s = { .jobs = j, .rp = rp, .status = status };

	return show(j, jobs_tenant_of(rq), id, &s, e);
}

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

#define WAIT_MAX_MS  60000
#define WAIT_LOOK_MS 1000 /* another controld may run it: then nobody here is woken */

struct waiting {
	uint64_t until_ms;
	int64_t after;
};

static int read_wait(const struct request *rq, struct waiting *w, struct err *e)
{
	const char *wait = request_query(rq, "wait"), *after = request_query(rq, "after");
	uint64_t ms = 0;

	w->after = wait != NULL ? -1 : 0;
	if (wait != NULL && (str_to_duration_ms(wait, &ms) != 0 || ms > WAIT_MAX_MS))
		return err_set(e, ERR_VALIDATION, "wait", "wait: must be from 0s to %ds", WAIT_MAX_MS / 1000);
	if (after != NULL && str_to_i64(after, 0, INT64_MAX, &w->after) != 0)
		return err_set(e, ERR_VALIDATION, "after", "after: must be a number");
	w->until_ms = clock_mono_ms() + ms;
	return 0;
}

/* Has the reply wait for the job to change: false when it must be given now. */
static bool wait_more(struct jobs *j, struct request *rq, struct reply *rp, const struct waiting *w, park_fn finish)
{
	const uint64_t now = clock_mono_ms();
	char key[JOBS_PARK_SIZE];
	struct waiting *copy;

	if (j->conf.parks == NULL || now >= w->until_ms || (copy = malloc(sizeof *copy)) == NULL)
		return false;
	*copy = *w;
	jobs_park_key(key, request_param(rq, "id"));
	reply_park(rp, key, park_ticket(j->conf.parks, key), MIN(w->until_ms - now, WAIT_LOOK_MS), finish, copy, free);
	return true;
}

static int get_or_wait(void *feature, struct request *rq, struct reply *rp, void *state, struct err *e)
{
	const struct waiting *w = state;
	struct jobs *j = feature;
	struct showing s = { .jobs = j, .rp = rp, .status = 200, .after = w->after };

	if (show(j, jobs_tenant_of(rq), request_param(rq, "id"), &s, e) != 0)
		return -1;
	if (s.shown || wait_more(j, rq, rp, w, get_or_wait))
		return 0;
	return show_now(j, rq, rp, request_param(rq, "id"), 200, e);
}

int jobs_api_get(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct waiting w;

	return read_wait(rq, &w, e) != 0 ? -1 : get_or_wait(feature, rq, rp, &w, e);
}

int jobs_api_events(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	const struct follow_start start = { request_identity(rq), jobs_tenant_of(rq), request_param(rq, "id") };
	struct jobs *j = feature;

	if (j->follows == NULL)
		return err_set(e, ERR_UNAVAILABLE, NULL, "there are no streams here");
	return follows_add(j->follows, &start, rp, e);
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

struct lines {
	struct buf *out;
	unsigned limit, n;
	int64_t last;
	bool ended;
};

static int on_line(const struct job_line *line, void *arg)
{
	struct lines *l = arg;

	l->n++;
	l->last = line->n;
	jsonw_object(l->out, NULL);
	jsonw_int(l->out, "n", line->n);
	jsonw_time(l->out, "time", line->time_ms);
	jsonw_str(l->out, "level", job_level_name(line->level));
	jsonw_str(l->out, "text", line->text);
	jsonw_end_object(l->out);
	return 0;
}

static int on_ended(const struct job *job, void *arg)
{
	((struct lines *)arg)->ended = job_state_ended(job->state);
	return 0;
}

/* The state first: if it has ended by then, the lines that follow are all there are. */
static int read_lines(struct db *db, const struct request *rq, struct lines *l, struct err *e)
{
	if (job_get(db, jobs_tenant_of(rq), request_param(rq, "id"), on_ended, l, e) != 0)
		return -1;
	return job_log_read(db, request_param(rq, "id"), l->last, l->limit, on_line, l, e);
}

static int lines_or_wait(void *feature, struct request *rq, struct reply *rp, void *state, struct err *e)
{
	const struct waiting *w = state;
	struct lines l = { .last = MAX(w->after, 0) };
	struct jobs *j = feature;
	struct page page;
	struct db *db;
	int rc;

	if (request_page(rq, &page, e) != 0 || store_read_begin(j->conf.store, &db, e) != 0)
		return -1;
	l.limit = page.limit;
	l.out = reply_open(rp, 200, JSON_TYPE);
	jsonw_object(l.out, NULL);
	jsonw_array(l.out, "items");
	rc = read_lines(db, rq, &l, e);
	store_read_end(db);
	if (rc == 0 && l.n == 0 && !l.ended && wait_more(j, rq, rp, w, lines_or_wait))
		return 0;
	jsonw_end_array(l.out);
	jsonw_int(l.out, "next_after", l.last);
	jsonw_bool(l.out, "ended", l.ended && l.n < l.limit);
	jsonw_null(l.out, "next_cursor");
	jsonw_end_object(l.out);
	return rc;
}

int jobs_api_logs(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct waiting w;

	return read_wait(rq, &w, e) != 0 ? -1 : lines_or_wait(feature, rq, rp, &w, e);
}

/* ---- starting ---------------------------------------------------------------------------------------------------- */

int jobs_may_start(struct jobs *j, struct request *rq, const char *name, const json_t *args, struct err *e)
{
	const struct job_kind *kind = kinds_find(&j->kinds, name, NULL);

	if (kind == NULL || kind->start == PERM_PUBLIC) {
		err_set(e, ERR_VALIDATION, "kind",
			"kind: there are no jobs of kind '%.40s' that can be started by hand", name);
		return err_detail(e, "choice", name);
	}
	if (!identity_allows(request_identity(rq), kind->start))
		return err_set(e, ERR_FORBIDDEN, "kind", "kind: you may not start jobs of kind %s", kind->name);
	kind_check(kind, args, request_errors(rq));
	return request_errors(rq)->n > 0 ? -1 : 0;
}

static int read_due(const json_t *body, int64_t *due_ms, struct err *e)
{
	const char *text = json_string_value(json_object_get(body, "due_at"));

	*due_ms = 0;
	if (text != NULL && clock_parse_rfc3339(text, due_ms) != 0)
		return err_set(e, ERR_VALIDATION, "due_at", "due_at: must be a time as in 2026-11-22T10:00:00Z");
	return 0;
}

int jobs_api_create(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	const struct identity *who = request_identity(rq);
	const json_t *body = request_body(rq);
	json_t *none = json_object();
	const json_t *args = json_object_get(body, "args");
	struct job_order o = { .kind = json_string_value(json_object_get(body, "kind")),
		.tenant_id = who->tenant_id,
		.user_id = who->user_id,
		.actor = who->actor,
		.request_id = request_id(rq),
		.key = json_string_value(json_object_get(body, "unique_key")),
		.queue = json_string_value(json_object_get(body, "queue")),
		.priority = json_integer_value(json_object_get(body, "priority")) };
	struct job_placed placed = { .there = false };
	char location[64];
	int rc;

	o.args = json_is_object(args) ? args : none;
	rc = jobs_may_start(feature, rq, o.kind, o.args, e);
	if (rc == 0 && (rc = read_due(body, &o.due_ms, e)) == 0)
		rc = jobs_enqueue(feature, &o, &placed, e);
	json_decref(none);
	if (rc != 0)
		return -1;
	(void)str_fmt(location, sizeof location, "/api/v1/jobs/%s", placed.id);
	reply_header(rp, "Location", location);
	return show_now(feature, rq, rp, placed.id, placed.there ? 200 : 202, e);
}

/* ---- by hand ----------------------------------------------------------------------------------------------------- */

struct acting {
	struct job_by by;
	bool fresh;
};

static int on_kind(const struct job *job, void *name)
{
	return str_copy(name, JOB_NAME_MAX + 1, job->kind);
}

int jobs_may_handle(struct jobs *j, const struct request *rq, const char *name, struct err *e)
{
	const struct job_kind *kind = kinds_find(&j->kinds, name, NULL);

	if (kind != NULL && kind->start == PERM_SYSTEM && !identity_allows(request_identity(rq), PERM_SYSTEM))
		return err_set(e, ERR_FORBIDDEN, NULL, "jobs of kind %s are the platform's", kind->name);
	return 0;
}

static int may_handle(struct jobs *j, const struct request *rq, struct err *e)
{
	char name[JOB_NAME_MAX + 1] = "";
	struct db *db;
	int rc;

	if (store_read_begin(j->conf.store, &db, e) != 0)
		return -1;
	rc = job_get(db, jobs_tenant_of(rq), request_param(rq, "id"), on_kind, name, e);
	store_read_end(db);
	return rc == 0 ? jobs_may_handle(j, rq, name, e) : -1;
}

static struct acting acting_of(const struct request *rq)
{
	return (struct acting){ .by = { jobs_tenant_of(rq), request_param(rq, "id"), request_identity(rq)->actor,
					request_id(rq), clock_wall_ms() } };
}

int jobs_api_cancel(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	const struct acting a = acting_of(rq);
	bool running;

	if (may_handle(feature, rq, e) != 0 || jobs_cancel(feature, &a.by, &running, e) != 0)
		return -1;
	return show_now(feature, rq, rp, a.by.id, running ? 202 : 200, e);
}

static int work_retry(struct db *tx, void *arg, struct err *e)
{
	const struct acting *a = arg;

	return job_retry(tx, &a->by, a->fresh, e);
}

int jobs_api_retry(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct acting a = acting_of(rq);
	struct jobs *j = feature;

	a.fresh = json_is_true(json_object_get(request_body(rq), "fresh"));
	if (may_handle(j, rq, e) != 0 || store_write(j->conf.store, STORE_LOGGED, work_retry, &a, e) != 0)
		return -1;
	workers_poke(j->workers, false);
	jobs_changed(j, a.by.id);
	return show_now(j, rq, rp, a.by.id, 202, e);
}

static int work_delete(struct db *tx, void *arg, struct err *e)
{
	return job_delete(tx, &((const struct acting *)arg)->by, e);
}

int jobs_api_delete(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct acting a = acting_of(rq);
	struct jobs *j = feature;

	if (may_handle(j, rq, e) != 0 || store_write(j->conf.store, STORE_LOGGED, work_delete, &a, e) != 0)
		return -1;
	jobs_changed(j, a.by.id);
	reply_empty(rp, 204);
	return 0;
}

/* ---- kinds and queues -------------------------------------------------------------------------------------------- */

static void print_kind(struct buf *b, const struct job_kind *k, bool may_start)
{
	jsonw_object(b, NULL);
	jsonw_str(b, "name", k->name);
	jsonw_str(b, "summary", k->summary);
	jsonw_str(b, "queue", job_queue_name(k->queue));
	jsonw_uint(b, "attempts", k->attempts);
	jsonw_uint(b, "timeout_seconds", k->timeout_ms / 1000);
	jsonw_bool(b, "unique", (k->flags & JOB_UNIQUE) != 0);
	jsonw_bool(b, "may_start", may_start);
	jsonw_array(b, "args");
	for (size_t i = 0; k->args != NULL && i < k->args->n; i++) {
		jsonw_object(b, NULL);
		jsonw_str(b, "name", k->args->fields[i].name);
		jsonw_bool(b, "required", (k->args->fields[i].flags & SCHEMA_REQUIRED) != 0);
		jsonw_str(b, "help", k->args->fields[i].help);
		jsonw_end_object(b);
	}
	jsonw_end_array(b);
	jsonw_end_object(b);
}

int jobs_api_kinds(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	const struct kinds *all = &((struct jobs *)feature)->kinds;
	struct buf *b = reply_open(rp, 200, JSON_TYPE);

	(void)e;
	jsonw_object(b, NULL);
	jsonw_array(b, "items");
	for (size_t t = 0; t < all->n; t++)
		for (size_t i = 0; i < all->tables[t].n; i++) {
			const struct job_kind *k = &all->tables[t].rows[i];

			print_kind(b, k, k->start != PERM_PUBLIC && identity_allows(request_identity(rq), k->start));
		}
	jsonw_end_array(b);
	jsonw_null(b, "next_cursor");
	jsonw_end_object(b);
	return 0;
}

int jobs_api_queues(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	static const enum job_state shown[] = { JOB_QUEUED, JOB_SCHEDULED, JOB_RUNNING, JOB_DEAD };
	struct jobs *j = feature;
	struct job_counts c;
	struct buf *b;
	struct db *db;
	int rc;

	(void)rq;
	if (store_read_begin(j->conf.store, &db, e) != 0)
		return -1;
	rc = job_count(db, &c, e);
	store_read_end(db);
	if (rc != 0)
		return -1;
	b = reply_open(rp, 200, JSON_TYPE);
	jsonw_object(b, NULL);
	jsonw_array(b, "items");
	for (int q = 0; q < JOB_QUEUES; q++) {
		jsonw_object(b, NULL);
		jsonw_str(b, "name", job_queue_name((enum job_queue)q));
		jsonw_int(b, "weight", share_weights[q]);
		for (size_t i = 0; i < ARRAY_LEN(shown); i++)
			jsonw_int(b, job_state_name(shown[i]), c.n[q][shown[i]]);
		jsonw_end_object(b);
	}
	jsonw_end_array(b);
	jsonw_null(b, "next_cursor");
	jsonw_end_object(b);
	return 0;
}
