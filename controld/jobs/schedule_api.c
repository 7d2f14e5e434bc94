#include "common/base/clock.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "controld/identity/identity.h"
#include "controld/jobs/job_secret.h"
#include "controld/jobs/room.h"
#include "controld/jobs/schedule.h"
#include "controld/store/changes.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define JSON_TYPE "application/json; charset=utf-8"

static void reply_schedule(struct jobs *j, struct reply *rp, int status, const struct schedule *s)
{
	reply_etag(rp, s->version);
	schedule_print(reply_open(rp, status, JSON_TYPE), s, kinds_find(&j->kinds, s->kind, NULL));
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct listing {
	struct jobs *jobs;
	struct buf *out;
	unsigned limit, n;
	char last[RAND_ID_SIZE];
	bool more;
};

static int on_listed(const struct schedule *s, void *arg)
{
	struct listing *l = arg;

	if (l->n == l->limit) {
		l->more = true;
		return 1;
	}
	l->n++;
	(void)str_copy(l->last, sizeof l->last, s->id);
	schedule_print(l->out, s, kinds_find(&l->jobs->kinds, s->kind, NULL));
	return 0;
}

int schedule_api_list(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct listing l = { .jobs = feature };
	struct page page;
	struct db *db;
	int rc;

	if (request_page(rq, &page, e) != 0 || store_read_begin(l.jobs->conf.store, &db, e) != 0)
		return -1;
	l.limit = page.limit;
	l.out = reply_open(rp, 200, JSON_TYPE);
	jsonw_object(l.out, NULL);
	jsonw_array(l.out, "items");
	rc = schedule_list(db, jobs_tenant_of(rq), page.after, page.limit + 1, on_listed, &l, e);
	store_read_end(db);
	jsonw_end_array(l.out);
	jsonw_str(l.out, "next_cursor", l.more ? l.last : NULL);
	jsonw_end_object(l.out);
	return rc;
}

static int read_one(struct jobs *j, const struct request *rq, struct schedule *out, struct err *e)
{
	struct db *db;
	int rc;

	if (store_read_begin(j->conf.store, &db, e) != 0)
		return -1;
	rc = schedule_get(db, jobs_tenant_of(rq), request_param(rq, "id"), out, e);
	store_read_end(db);
	return rc;
}

int schedule_api_get(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct schedule s;

	if (read_one(feature, rq, &s, e) != 0)
		return -1;
	reply_schedule(feature, rp, 200, &s);
	return 0;
}

/* ---- changing ---------------------------------------------------------------------------------------------------- */

struct changing {
	struct jobs *jobs;
	const struct request *rq;
	struct schedule s;
	const char *op;
};

static int log_change(struct db *tx, const struct changing *c, struct err *e)
{
	struct change change = { .time_ms = c->s.updated_ms,
		.tenant = c->s.tenant_id,
		.actor = request_identity(c->rq)->actor,
		.request_id = request_id(c->rq),
		.kind = "schedule",
		.op = c->op,
		.subject = c->s.id,
		.fields = "" };
	struct buf b;
	int rc;

	buf_init(&b, 4 * SCHEDULE_ARGS_MAX);
	schedule_print(&b, &c->s, kinds_find(&c->jobs->kinds, c->s.kind, NULL));
	change.object = b.failed ? NULL : buf_cstr(&b);
	rc = changes_append(tx, &change, NULL, e);
	buf_free(&b);
	return rc;
}

static void take_text(const json_t *body, const char *name, char *dst, size_t size)
{
	const char *s = json_string_value(json_object_get(body, name));

	if (s != NULL)
		(void)str_copy(dst, size, s);
}

static int take_args(const json_t *body, struct schedule *s, struct err *e)
{
	const json_t *args = json_object_get(body, "args");
	char *text;
	int rc = 0;

	if (args == NULL)
		return 0;
	if (!json_is_object(args))
		return err_set(e, ERR_VALIDATION, "args", "args: must be an object");
	if ((text = json_dumps(args, JSON_COMPACT | JSON_SORT_KEYS)) == NULL)
		return err_set(e, ERR_NOMEM, NULL, "schedule: out of memory");
	if (str_copy(s->args, sizeof s->args, text) != 0)
		rc = err_set(e, ERR_TOO_LARGE, "args", "args: longer than %d bytes", SCHEDULE_ARGS_MAX);
	free(text);
	return rc;
}

/* What was sent, checked; and when it is due next. */
static int take(struct changing *c, struct request *rq, struct err *e)
{
	const json_t *body = request_body(rq);
	const char *missed = json_string_value(json_object_get(body, "missed"));
	struct schedule *s = &c->s;
	json_t *args;
	int rc;

	take_text(body, "name", s->name, sizeof s->name);
	take_text(body, "cron", s->cron, sizeof s->cron);
	take_text(body, "time_zone", s->time_zone, sizeof s->time_zone);
	if (missed != NULL)
		s->run_missed = str_eq(missed, "run_once");
	if (json_object_get(body, "paused") != NULL)
		s->paused = json_is_true(json_object_get(body, "paused"));
	if (take_args(body, s, e) != 0)
		return -1;
	args = json_loads(s->args, 0, NULL);
	rc = jobs_may_start(c->jobs, rq, s->kind, args, e);
	if (rc == 0 && job_secret_any(kinds_find(&c->jobs->kinds, s->kind, NULL), args))
		rc = err_set(e, ERR_VALIDATION, "args",
			"args: a schedule keeps no secrets, and jobs of kind %s have them", s->kind);
	json_decref(args);
	if (rc != 0 || schedule_next(s, s->updated_ms, &s->next_ms, e) != 0)
		return -1;
	if (s->paused)
		s->next_ms = 0;
	return 0;
}

static int work_create(struct db *tx, void *arg, struct err *e)
{
	struct changing *c = arg;
	int64_t n;

	if (schedule_count(tx, c->s.tenant_id, &n, e) != 0)
		return -1;
	if (n >= SCHEDULES_MAX)
		return err_set(e, ERR_LIMIT, NULL, "the tenant has %d schedules, which is the most", SCHEDULES_MAX);
	return schedule_insert(tx, &c->s, e) != 0 ? -1 : log_change(tx, c, e);
}

int schedule_api_create(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	const struct identity *who = request_identity(rq);
	struct changing c = { .jobs = feature, .rq = rq, .op = "create" };

	rand_id(c.s.id, "sch");
	(void)str_copy(c.s.tenant_id, sizeof c.s.tenant_id, who->tenant_id);
	(void)str_copy(c.s.user_id, sizeof c.s.user_id, who->user_id);
	take_text(request_body(rq), "kind", c.s.kind, sizeof c.s.kind);
	(void)str_copy(c.s.time_zone, sizeof c.s.time_zone, "UTC");
	(void)str_copy(c.s.args, sizeof c.s.args, "{}");
	c.s.version = 1;
	c.s.created_ms = c.s.updated_ms = clock_wall_ms();
	if (take(&c, rq, e) != 0 || store_write(c.jobs->conf.store, STORE_LOGGED, work_create, &c, e) != 0)
		return -1;
	reply_schedule(c.jobs, rp, 201, &c.s);
	return 0;
}

static int work_update(struct db *tx, void *arg, struct err *e)
{
	struct changing *c = arg;

	return schedule_update(tx, &c->s, e) != 0 ? -1 : log_change(tx, c, e);
}

/* The row as it is, to be changed. */
static int begin(struct changing *c, struct err *e)
{
	char etag[32];

	if (read_one(c->jobs, c->rq, &c->s, e) != 0 || jobs_may_handle(c->jobs, c->rq, c->s.kind, e) != 0)
		return -1;
	(void)str_fmt(etag, sizeof etag, "v%" PRId64, c->s.version);
	c->s.updated_ms = clock_wall_ms();
	return request_if_match(c->rq, etag, e);
}

static int finish(struct changing *c, struct reply *rp, struct err *e)
{
	if (store_write(c->jobs->conf.store, STORE_LOGGED, work_update, c, e) != 0)
		return -1;
	c->s.version++;
	reply_schedule(c->jobs, rp, 200, &c->s);
	return 0;
}

int schedule_api_update(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct changing c = { .jobs = feature, .rq = rq, .op = "update" };
	const char *kind = json_string_value(json_object_get(request_body(rq), "kind"));

	if (begin(&c, e) != 0)
		return -1;
	if (kind != NULL && !str_eq(kind, c.s.kind))
		return err_set(e, ERR_VALIDATION, "kind", "kind: cannot be changed; make another schedule");
	return take(&c, rq, e) != 0 ? -1 : finish(&c, rp, e);
}

static int set_paused(void *feature, struct request *rq, struct reply *rp, bool paused, struct err *e)
{
	struct changing c = { .jobs = feature, .rq = rq, .op = paused ? "pause" : "resume" };

	if (begin(&c, e) != 0)
		return -1;
	if (c.s.paused == paused) {
		reply_schedule(c.jobs, rp, 200, &c.s);
		return 0;
	}
	c.s.paused = paused;
	c.s.next_ms = 0;
	if (!paused && schedule_next(&c.s, c.s.updated_ms, &c.s.next_ms, e) != 0)
		return -1;
	return finish(&c, rp, e);
}

int schedule_api_pause(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return set_paused(feature, rq, rp, true, e);
}

int schedule_api_resume(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return set_paused(feature, rq, rp, false, e);
}

static int work_delete(struct db *tx, void *arg, struct err *e)
{
	struct changing *c = arg;

	return schedule_delete(tx, c->s.id, e) != 0 ? -1 : log_change(tx, c, e);
}

int schedule_api_delete(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct changing c = { .jobs = feature, .rq = rq, .op = "delete" };

	if (begin(&c, e) != 0 || store_write(c.jobs->conf.store, STORE_LOGGED, work_delete, &c, e) != 0)
		return -1;
	reply_empty(rp, 204);
	return 0;
}

int schedule_api_run(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	const struct identity *who = request_identity(rq);
	struct job_placed placed = { .there = false };
	struct schedule s;
	struct job_order o = { .kind = s.kind,
		.tenant_id = s.tenant_id,
		.user_id = who->user_id,
		.actor = who->actor,
		.request_id = request_id(rq),
		.schedule_id = s.id };
	char location[64];
	json_t *args;
	struct buf *b;
	int rc;

	if (read_one(feature, rq, &s, e) != 0)
		return -1;
	args = json_loads(s.args, 0, NULL);
	o.args = args;
	rc = jobs_may_start(feature, rq, s.kind, args, e);
	if (rc == 0)
		rc = jobs_enqueue(feature, &o, &placed, e);
	json_decref(args);
	if (rc != 0)
		return -1;
	(void)str_fmt(location, sizeof location, "/api/v1/jobs/%s", placed.id);
	reply_header(rp, "Location", location);
	b = reply_open(rp, 202, JSON_TYPE);
	jsonw_object(b, NULL);
	jsonw_str(b, "job_id", placed.id);
	jsonw_end_object(b);
	return 0;
}

/* ---- schema ------------------------------------------------------------------------------------------------------ */

static const char *const missed_choices[] = { "skip", "run_once", NULL };
static const struct schema_field fields[] = {
	{ .name = "id", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY },
	{ .name = "name", .type = SCHEMA_STRING, .flags = SCHEMA_REQUIRED, .min = 1, .max = SCHEDULE_NAME_MAX },
	{ .name = "kind",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_REQUIRED,
		.min = 1,
		.max = JOB_NAME_MAX,
		.help = "of job; cannot be changed" },
	{ .name = "args", .type = SCHEMA_ANY, .help = "an object, as the kind says" },
	{ .name = "cron",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_REQUIRED,
		.min = 1,
		.max = CRON_TEXT_MAX,
		.help = "minute hour day month weekday, @hourly, @daily, ..., or @every 15m" },
	{ .name = "time_zone",
		.type = SCHEMA_STRING,
		.min = 1,
		.max = ZONE_NAME_SIZE - 1,
		.help = "UTC, +02:00 or a name such as Europe/Berlin; default UTC" },
	{ .name = "missed",
		.type = SCHEMA_STRING,
		.choices = missed_choices,
		.help = "what becomes of runs that nobody was there for; default skip" },
	{ .name = "paused", .type = SCHEMA_BOOL },
	{ .name = "tenant_id", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY | SCHEMA_NULLABLE },
	{ .name = "user_id", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY | SCHEMA_NULLABLE },
	{ .name = "next_at", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY | SCHEMA_NULLABLE },
	{ .name = "last_at", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY | SCHEMA_NULLABLE },
	{ .name = "last_job_id", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY | SCHEMA_NULLABLE },
	{ .name = "missed_runs", .type = SCHEMA_INT, .flags = SCHEMA_READ_ONLY },
	{ .name = "created_at", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY },
	{ .name = "updated_at", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY },
	{ .name = "version", .type = SCHEMA_INT, .flags = SCHEMA_READ_ONLY },
};
const struct schema schedule_schema = { "Schedule", fields, ARRAY_LEN(fields), false };
