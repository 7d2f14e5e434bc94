/* The job that syncs: each panel in turn, whatever becomes of the others. */
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/identity/tenant.h"
#include "controld/jobs/job_run.h"
#include "controld/jobs/jobs.h"
#include "controld/panel/rate.h"
#include "controld/panel/room.h"
#include "controld/panel/sync_report.h"
#include "controld/panel/walk.h"

#include <string.h>

#define OTHERS_MS  1000 /* a sync that another one is before looks again after this */
#define ATTEMPTS   8
#define TIMEOUT_MS (12 * 3600 * 1000ull)

const char *const sync_types[] = { SYNC_FULL, "locations", "nodes", "allocations", "nests", "eggs", "servers", "users",
	"databases", NULL };

unsigned sync_kinds_of(const char *type)
{
	enum panel_kind k;

	if (str_eq(type, SYNC_FULL))
		return PANEL_ALL;
	return panel_kind_parse(type, &k) == 0 ? BIT(k) : 0;
}

/* ---- starting ----------------------------------------------------------------------------------------------------- */

struct starting {
	struct panels *panels;
	const struct sync_order *order;
	const json_t *args;
	struct sync_log *log;
};

/* The job, or the one that does the same; and its log. */
static int place(
	struct db *tx, struct starting *t, const struct job_order *job, struct job_placed *placed, struct err *e)
{
	const struct sync_order *o = t->order;

	if (jobs_enqueue_in(t->panels->conf.jobs, tx, job, placed, e) != 0)
		return -1;
	*t->log = (struct sync_log){ .created_ms = 0 };
	(void)str_copy(t->log->tenant_id, sizeof t->log->tenant_id, o->tenant_id);
	(void)str_copy(t->log->job_id, sizeof t->log->job_id, placed->id);
	(void)str_copy(t->log->type, sizeof t->log->type, o->type);
	(void)str_copy(t->log->requested_by, sizeof t->log->requested_by, o->requested_by);
	return sync_log_open(tx, t->log, clock_wall_ms(), e);
}

static int work_start(struct db *tx, void *arg, struct err *e)
{
	struct starting *t = arg;
	const struct sync_order *o = t->order;
	char key[SYNC_TYPE_SIZE + RAND_ID_SIZE];
	const struct job_order job = { .kind = SYNC_KIND,
		.tenant_id = o->tenant_id,
		.user_id = o->user_id,
		.actor = o->actor,
		.request_id = o->request_id,
		.args = t->args,
		.key = key };
	struct job_placed placed = { .there = false };

	(void)str_fmt(key, sizeof key, "%s%s", o->type, o->skip_users ? " without users" : "");
	if (place(tx, t, &job, &placed, e) != 0)
		return -1;
	/* A sync is over a moment before its job is: it is no sync that is still to come. */
	if (placed.there && t->log->completed_ms != 0) {
		(void)str_fmt(key, sizeof key, "after %s", placed.id);
		if (place(tx, t, &job, &placed, e) != 0)
			return -1;
	}
	return placed.there ? 0 : sync_log_change(tx, t->log, o->actor, "queued", clock_wall_ms(), e);
}

int sync_start(struct panels *p, const struct sync_order *o, struct sync_log *s, struct err *e)
{
	json_t *args = json_pack(
		"{s:s, s:b, s:s}", "type", o->type, "skip_users", o->skip_users, "requested_by", o->requested_by);
	struct starting t = { p, o, args, s };
	const int rc = args != NULL ? store_write(p->conf.store, STORE_LOGGED, work_start, &t, e)
	                            : err_set(e, ERR_NOMEM, NULL, "sync: out of memory");

	json_decref(args);
	if (rc == 0)
		log_info("sync_queued", log_s("sync_log_id", s->id), log_s("task_id", s->job_id),
			log_s("type", s->type));
	return rc;
}

/* ---- begin and end, each in one transaction ------------------------------------------------------------------------- */

struct sync {
	struct panels *panels;
	struct job_run *job;
	struct sync_log log;
	int64_t others;
	char remark[SYNC_ERROR_SIZE];
	struct sync_report report;
	const char *read[PANEL_SLOTS]; /* names of the panels that there are; "" */
};

static const char *arg_of(const struct sync *s, const char *name, const char *otherwise)
{
	const char *v = json_string_value(json_object_get(job_run_args(s->job), name));

	return v != NULL ? v : otherwise;
}

/* What belongs to nobody is told to the tenant that was there first. */
static void set_tenant(struct db *tx, struct sync *s)
{
	struct tenant first;

	(void)str_copy(s->log.tenant_id, sizeof s->log.tenant_id, job_run_tenant(s->job));
	if (s->log.tenant_id[0] == '\0' && tenant_find(tx, TENANT_DEFAULT, &first, NULL) == 0)
		(void)str_copy(s->log.tenant_id, sizeof s->log.tenant_id, first.id);
}

/* A job that a schedule has started, or somebody by hand, has no log yet. */
static int work_begin(struct db *tx, void *arg, struct err *e)
{
	struct sync *s = arg;
	const int64_t now_ms = clock_wall_ms();
	bool again;

	s->log = (struct sync_log){ .created_ms = 0 };
	set_tenant(tx, s);
	(void)str_copy(s->log.job_id, sizeof s->log.job_id, job_run_id(s->job));
	(void)str_copy(s->log.type, sizeof s->log.type, arg_of(s, "type", SYNC_FULL));
	(void)str_copy(s->log.requested_by, sizeof s->log.requested_by, arg_of(s, "requested_by", ""));
	if (sync_log_open(tx, &s->log, now_ms, e) != 0)
		return -1;
	if (s->log.completed_ms != 0 && str_eq(s->log.state, "COMPLETED"))
		return 0;
	again = s->log.started_ms != 0;
	if (sync_log_begin(tx, s->log.id, now_ms, &s->others, e) != 0 || s->others > 0)
		return MIN((int)s->others, 0);
	if (!again)
		s->log.started_ms = now_ms;
	return again ? 0 : sync_log_started(tx, &s->log, now_ms, e);
}

/* What was kept of a panel that is not in the settings any more. */
static int retire_others(struct db *tx, const struct sync *s, int64_t now_ms, struct err *e)
{
	struct sync_log_progress p = { s->log.total, s->log.synced, s->log.failed, 0, 0 };
	size_t n;

	if (!str_eq(s->log.type, SYNC_FULL))
		return 0;
	if (mirror_retire(tx, s->read[0], s->read[1], now_ms, &n, e) != 0)
		return -1;
	p.removed = (int64_t)n;
	return n > 0 ? sync_log_progress(tx, s->log.id, &p, e) : 0;
}

static int work_end(struct db *tx, void *arg, struct err *e)
{
	struct sync *s = arg;
	const int64_t now_ms = clock_wall_ms();

	if (job_run_save_in(tx, s->job, "completed", e) != 0 || walk_forget(tx, s->log.job_id, e) != 0 ||
		sync_log_get(tx, s->log.id, &s->log, e) != 0 || retire_others(tx, s, now_ms, e) != 0 ||
		sync_log_complete(tx, s->log.id, s->remark, now_ms, e) != 0 ||
		sync_log_get(tx, s->log.id, &s->log, e) != 0)
		return -1;
	if (sync_log_change(tx, &s->log, "system", "completed", now_ms, e) != 0)
		return -1;
	return sync_report_in(tx, s->panels, &s->report, &s->log, e);
}

/* ---- the panels ----------------------------------------------------------------------------------------------------- */

/* "pterodactyl: the key may not read users; changed while it was read: servers" */
static void remark_kinds(char *dst, size_t size, const char *what, unsigned kinds)
{
	const char *between = what;

	for (int k = 0; k < PANEL_KINDS; k++)
		if ((kinds & BIT(k)) != 0) {
			const size_t n = strlen(dst);

			(void)str_fmt(dst + n, size - n, "%s%s", between, panel_kind_plural((enum panel_kind)k));
			between = ", ";
		}
}

static void remark(struct sync *s, const struct sync_panel *p)
{
	char text[SYNC_ERROR_SIZE] = "";
	const size_t n = strlen(s->remark);

	remark_kinds(text, sizeof text, "the key may not read ", p->denied & p->wanted);
	remark_kinds(text, sizeof text, text[0] != '\0' ? "; kept changing: " : "kept changing: ", p->unsure);
	if (text[0] == '\0')
		return;
	(void)str_fmt(s->remark + n, sizeof s->remark - n, "%s%s: %s", n > 0 ? "; " : "", p->driver->name, text);
	job_run_log(s->job, JOB_WARN, "%s: %s", p->driver->name, text);
}

struct outcome {
	unsigned panels; /* that there are */
	bool failed, in_vain;
	struct err err; /* the first */
};

static void sync_slot(struct sync *s, enum panel_slot slot, const struct sync_settings *settings,
	struct sync_tally *tally, struct outcome *o)
{
	struct sync_panel p = { .panels = s->panels,
		.job = s->job,
		.log = &s->log,
		.slot = slot,
		.per_page = (unsigned)settings->batch,
		.wanted = sync_kinds_of(s->log.type),
		.tally = tally };
	struct err e = { 0 };

	if (json_is_true(json_object_get(job_run_args(s->job), "skip_users")))
		p.wanted &= ~BIT(PANEL_USER);
	if (panels_access(s->panels, slot, &p.access, &e) == 0) {
		if (p.access.url[0] == '\0')
			return;
		o->panels++;
		if (sync_panel_run(&p, &e) == 0) {
			s->read[slot] = p.driver->name;
			remark(s, &p);
			return;
		}
	}
	job_run_log(s->job, JOB_ERROR, "%s", e.msg);
	o->in_vain |= p.in_vain;
	if (!o->failed)
		o->err = e;
	o->failed = true;
}

static int sync_all(struct sync *s, struct err *e)
{
	struct sync_settings settings;
	struct sync_tally tally = { 0 };
	struct outcome o = { .panels = 0 };

	if (panels_settings(s->panels, &settings, e) != 0)
		return -1;
	for (int slot = 0; slot < PANEL_SLOTS && !job_run_stop(s->job); slot++)
		sync_slot(s, (enum panel_slot)slot, &settings, &tally, &o);
	if (job_run_ended(s->job, e) != 0)
		return -1;
	if (o.panels == 0 && !o.failed) {
		job_run_give_up(s->job);
		return err_set(
			e, ERR_UNAVAILABLE, NULL, "there is no panel: set PTERODACTYL_URL and PTERODACTYL_API_KEY");
	}
	if (o.failed) {
		if (o.in_vain)
			job_run_give_up(s->job);
		*e = o.err;
		return -1;
	}
	return 0;
}

/* ---- the job -------------------------------------------------------------------------------------------------------- */

static int run_sync(void *feature, struct job_run *r, struct err *e)
{
	struct sync s = { .panels = feature, .job = r, .read = { "", "" } };

	if (store_write(job_run_store(r), STORE_LOGGED, work_begin, &s, e) != 0)
		return -1;
	if (s.others > 0) {
		job_run_note(r, "another sync is before it");
		job_run_again_in(r, OTHERS_MS);
		return job_run_ended(r, e);
	}
	if (!str_eq(s.log.state, "COMPLETED") &&
		(sync_all(&s, e) != 0 || sync_report_read(s.panels, &s.report, e) != 0 ||
			store_write(job_run_store(r), STORE_LOGGED, work_end, &s, e) != 0))
		return -1;
	job_run_result(r, json_pack("{s:s, s:I, s:I, s:I}", "sync_log_id", s.log.id, "synced", (json_int_t)s.log.synced,
				  "changed", (json_int_t)s.log.written, "removed", (json_int_t)s.log.removed));
	return 0;
}

static const struct schema_field fields[] = {
	{ .name = "type", .type = SCHEMA_STRING, .choices = sync_types, .help = "default full" },
	{ .name = "skip_users", .type = SCHEMA_BOOL },
	{ .name = "requested_by", .type = SCHEMA_STRING, .max = SYNC_BY_MAX },
};
static const struct schema args_schema = { "JobPanelSync", fields, ARRAY_LEN(fields), false };

const struct job_kind sync_job_kinds[] = {
	{ SYNC_KIND, JOB_DEFAULT, ATTEMPTS, TIMEOUT_MS, 5000, 10 * 60 * 1000, JOB_UNIQUE, PERM_SYSTEM, &args_schema,
		run_sync, "Reads what hosting panels have" },
};
const size_t sync_job_kinds_n = ARRAY_LEN(sync_job_kinds);
