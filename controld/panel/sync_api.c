/* What people start, watch and stop of syncs. */
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "controld/identity/identity.h"
#include "controld/jobs/job.h"
#include "controld/jobs/jobs.h"
#include "controld/panel/rate.h"
#include "controld/panel/room.h"
#include "controld/platform/platform.h"

#include <ctype.h>
#include <string.h>

#define JSON_TYPE  "application/json; charset=utf-8"
#define LOGS_LIMIT 20

static struct buf *open_data(struct reply *rp, int status)
{
	struct buf *b = reply_open(rp, status, JSON_TYPE);

	jsonw_object(b, NULL);
	jsonw_bool(b, "success", true);
	return b;
}

/* ---- starting ----------------------------------------------------------------------------------------------------- */

static void reply_started(struct reply *rp, const struct sync_log *s)
{
	struct buf *b = open_data(rp, 202);
	char message[64];

	jsonw_object(b, "data");
	jsonw_str(b, "sync_log_id", s->id);
	jsonw_str(b, "task_id", s->job_id);
	jsonw_str(b, "status", s->state);
	jsonw_end_object(b);
	(void)str_fmt(
		message, sizeof message, "%c%s sync has been queued", toupper((unsigned char)s->type[0]), s->type + 1);
	jsonw_str(b, "message", message);
	jsonw_end_object(b);
}

static int start(struct panels *p, struct request *rq, struct reply *rp, const char *type, struct err *e)
{
	const struct identity *who = request_identity(rq);
	const json_t *body = request_body(rq);
	const char *by = json_string_value(json_object_get(body, "requested_by"));
	const struct sync_order o = { .tenant_id = who->tenant_id,
		.user_id = who->user_id,
		.actor = who->actor,
		.request_id = request_id(rq),
		.requested_by = by != NULL ? by : who->actor,
		.type = type,
		.skip_users = json_is_true(json_object_get(body, "skip_users")) };
	char location[96];
	struct sync_log s = { .tenant_id = "" };

	if (sync_start(p, &o, &s, e) != 0)
		return -1;
	(void)str_fmt(location, sizeof location, "/api/v1/sync/status/%s", s.id);
	reply_header(rp, "Location", location);
	reply_started(rp, &s);
	return 0;
}

int sync_api_start(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	const char *type = request_param(rq, "type");

	if (sync_kinds_of(type) == 0)
		return err_set(e, ERR_NOT_FOUND, NULL,
			"there is no sync '%.40s'; there are full, locations, nodes, allocations, nests, eggs, "
			"servers, users, "
			"databases",
			type);
	return start(feature, rq, rp, type, e);
}

int sync_api_start_admin(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return start(feature, rq, rp, json_string_value(json_object_get(request_body(rq), "type")), e);
}

/* ---- watching ----------------------------------------------------------------------------------------------------- */

static int read_one(struct panels *p, const char *id, struct sync_log *s, struct err *e)
{
	struct db *db;
	int rc;

	if (store_read_begin(p->conf.store, &db, e) != 0)
		return -1;
	rc = sync_log_get(db, id, s, e);
	store_read_end(db);
	return rc;
}

static void reply_log(struct reply *rp, const struct sync_log *s, const char *message)
{
	struct buf *b = open_data(rp, 200);

	sync_log_print(b, "data", s);
	if (message != NULL)
		jsonw_str(b, "message", message);
	jsonw_end_object(b);
}

int sync_api_status(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct sync_log s;

	if (read_one(feature, request_param(rq, "id"), &s, e) != 0)
		return -1;
	reply_log(rp, &s, NULL);
	return 0;
}

static int on_listed(const struct sync_log *s, void *arg)
{
	sync_log_print(arg, NULL, s);
	return 0;
}

/* Of a query that was checked. */
static int64_t number_or(const struct request *rq, const char *name, int64_t otherwise)
{
	const char *text = request_query(rq, name);
	int64_t n;

	return text != NULL && str_to_i64(text, 0, INT64_MAX, &n) == 0 ? n : otherwise;
}

int sync_api_logs(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct panels *p = feature;
	const char *type = request_query(rq, "type");
	const struct sync_log_filter f = { type != NULL ? type : "", number_or(rq, "limit", LOGS_LIMIT),
		number_or(rq, "offset", 0) };
	int64_t total;
	struct buf *b;
	struct db *db;
	int rc;

	if (store_read_begin(p->conf.store, &db, e) != 0)
		return -1;
	b = open_data(rp, 200);
	jsonw_array(b, "data");
	rc = sync_log_list(db, &f, on_listed, b, &total, e);
	store_read_end(db);
	jsonw_end_array(b);
	jsonw_int(b, "total", total);
	jsonw_int(b, "limit", f.limit);
	jsonw_int(b, "offset", f.offset);
	jsonw_end_object(b);
	return rc;
}

static void print_panel(struct buf *b, struct panels *p, enum panel_slot slot, const struct panel_access *access)
{
	static const char *const names[PANEL_SLOTS] = { "pterodactyl", "virtfusion" };
	const struct panel_driver *driver;
	struct rate_state rate;

	pthread_mutex_lock(&p->lock);
	driver = p->driver[slot];
	pthread_mutex_unlock(&p->lock);
	rate_state(p->rates[slot], clock_mono_ms(), &rate);
	jsonw_object(b, NULL);
	jsonw_str(b, "name", driver != NULL ? driver->name : names[slot]);
	jsonw_str(b, "url", access->url);
	jsonw_bool(b, "apiKeySet", access->key[0] != '\0');
	jsonw_uint(b, "requests", rate.requests);
	jsonw_uint(b, "requestsInWindow", rate.used);
	jsonw_uint(b, "requestsLimit", rate.limit);
	jsonw_uint(b, "heldForMs", rate.held_ms);
	jsonw_end_object(b);
}

static int print_panels(struct buf *b, struct panels *p, struct err *e)
{
	int rc = 0;

	jsonw_array(b, "panels");
	for (int slot = 0; rc == 0 && slot < PANEL_SLOTS; slot++) {
		struct panel_access access;

		rc = panels_access(p, (enum panel_slot)slot, &access, e);
		if (rc == 0 && access.url[0] != '\0')
			print_panel(b, p, (enum panel_slot)slot, &access);
	}
	jsonw_end_array(b);
	return rc;
}

struct lasts {
	struct sync_log current, last;
	bool is_current, is_last;
};

static int read_lasts(struct panels *p, struct lasts *l, struct err *e)
{
	struct db *db;
	int rc;

	if (store_read_begin(p->conf.store, &db, e) != 0)
		return -1;
	if ((rc = sync_log_last(db, false, &l->current, &l->is_current, e)) == 0)
		rc = sync_log_last(db, true, &l->last, &l->is_last, e);
	store_read_end(db);
	return rc;
}

static void print_or_null(struct buf *b, const char *key, const struct sync_log *s, bool there)
{
	if (there)
		sync_log_print(b, key, s);
	else
		jsonw_null(b, key);
}

int sync_api_overview(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct panels *p = feature;
	struct lasts l;
	struct buf *b;
	int rc;

	(void)rq;
	if (read_lasts(p, &l, e) != 0)
		return -1;
	b = open_data(rp, 200);
	jsonw_object(b, "data");
	jsonw_bool(b, "isRunning", l.is_current && strcmp(l.current.state, "RUNNING") == 0);
	print_or_null(b, "current", &l.current, l.is_current);
	print_or_null(b, "last", &l.last, l.is_last);
	rc = print_panels(b, p, e);
	jsonw_end_object(b);
	jsonw_end_object(b);
	return rc;
}

/* ---- stopping ----------------------------------------------------------------------------------------------------- */

static int find_to_cancel(struct panels *p, const char *id, struct sync_log *s, struct err *e)
{
	struct lasts l;

	if (id != NULL)
		return read_one(p, id, s, e);
	if (read_lasts(p, &l, e) != 0)
		return -1;
	if (!l.is_current)
		return err_set(e, ERR_NOT_FOUND, NULL, "no sync is under way");
	*s = l.current;
	return 0;
}

/* Without an id it is the one that runs, or waits to. */
static int cancel(struct panels *p, const struct request *rq, struct reply *rp, const char *id, struct err *e)
{
	struct sync_log s;
	struct job_by by = { .tenant_id = "",
		.actor = request_identity(rq)->actor,
		.request_id = request_id(rq),
		.now_ms = clock_wall_ms() };
	bool running;

	if (find_to_cancel(p, id, &s, e) != 0)
		return -1;
	by.id = s.job_id;
	if (jobs_cancel(p->conf.jobs, &by, &running, e) != 0 || read_one(p, s.id, &s, e) != 0)
		return -1;
	reply_log(rp, &s, running ? "Sync is being cancelled" : "Sync has been cancelled");
	return 0;
}

int sync_api_cancel(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return cancel(feature, rq, rp, request_param(rq, "id"), e);
}

int sync_api_cancel_admin(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return cancel(feature, rq, rp, json_string_value(json_object_get(request_body(rq), "id")), e);
}

/* ---- settings ----------------------------------------------------------------------------------------------------- */

static const enum setting_key sync_keys[] = { SETTING_AUTO_SYNC_ENABLED, SETTING_AUTO_SYNC_INTERVAL,
	SETTING_SYNC_BATCH_SIZE };

int sync_api_settings(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	const struct panels *p = feature;

	(void)rq;
	return platform_reply(p->conf.platform, sync_keys, ARRAY_LEN(sync_keys), NULL, rp, e);
}

int sync_api_set_settings(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct panels *p = feature;
	struct sync_settings s;

	if (platform_change(p->conf.platform, rq, e) != 0 || panels_settings(p, &s, e) != 0 ||
		sync_schedule_follow(p, &s, clock_wall_ms(), e) != 0)
		return -1;
	return platform_reply(p->conf.platform, sync_keys, ARRAY_LEN(sync_keys), "Sync settings updated", rp, e);
}
