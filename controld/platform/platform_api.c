/* The routes of the platform's settings and repositories. */
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/identity/identity.h"
#include "controld/out/outbound.h"
#include "controld/platform/repo.h"
#include "controld/platform/room.h"
#include "controld/store/changes.h"

#include <stdlib.h>
#include <string.h>

#define JSON_TYPE   "application/json; charset=utf-8"
#define FIELDS_SIZE 512

/* ---- settings: reading ------------------------------------------------------------------------------------------- */

/* Who changed what is kept, and when. */
static void print_changes(struct buf *b, const struct settings_now *now, const enum setting_key *keys, size_t n)
{
	jsonw_object(b, "changed");
	for (size_t i = 0; i < n; i++) {
		const struct setting *s = &now->of[keys[i]];

		if (!s->kept)
			continue;
		jsonw_object(b, setting_name(keys[i]));
		jsonw_time(b, "updatedAt", s->updated_ms);
		jsonw_str(b, "updatedBy", s->updated_by);
		jsonw_end_object(b);
	}
	jsonw_end_object(b);
}

int platform_reply(struct platform *p, const enum setting_key *keys, size_t n, const char *message, struct reply *rp,
	struct err *e)
{
	struct settings_now *now = calloc(1, sizeof *now);
	struct buf *b;
	int rc;

	if (now == NULL)
		return err_set(e, ERR_NOMEM, NULL, "settings: out of memory");
	if ((rc = platform_read(p, now, e)) == 0) {
		b = reply_open(rp, 200, JSON_TYPE);
		jsonw_object(b, NULL);
		jsonw_bool(b, "success", true);
		jsonw_object(b, "data");
		for (size_t i = 0; i < n; i++)
			setting_print(b, keys[i], &now->of[keys[i]]);
		jsonw_end_object(b);
		print_changes(b, now, keys, n);
		if (message != NULL)
			jsonw_str(b, "message", message);
		jsonw_end_object(b);
	}
	seal_wipe(now, sizeof *now);
	free(now);
	return rc;
}

static int reply_all(struct platform *p, const char *message, struct reply *rp, struct err *e)
{
	enum setting_key all[SETTING_KEYS_N];

	for (int k = 0; k < SETTING_KEYS_N; k++)
		all[k] = (enum setting_key)k;
	return platform_reply(p, all, SETTING_KEYS_N, message, rp, e);
}

static int api_get(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	(void)rq;
	return reply_all(feature, NULL, rp, e);
}

/* ---- settings: changing ------------------------------------------------------------------------------------------ */

struct changing {
	const struct platform *p;
	const struct request *rq;
	struct settings_now wanted, was;
	enum setting_step what[SETTING_KEYS_N];
	int64_t now_ms;
	char fields[FIELDS_SIZE];
};

static void take(struct platform *p, struct changing *c, struct err_list *errs)
{
	const char *name;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)request_body(c->rq), name, v)
	{
		const int k = setting_find(name);
		bool reset, same;

		if (k < 0) /* the schema has refused it */
			continue;
		setting_take((enum setting_key)k, v, outbound_guard(p->conf.outbound), &c->wanted.of[k], &reset, &same,
			errs);
		c->what[k] = same ? SETTING_LEAVE : reset ? SETTING_RESET : SETTING_SET;
	}
}

/* What is logged shows no secret. */
static int log_change(struct db *tx, const struct changing *c, struct err *e)
{
	struct change change = { .time_ms = c->now_ms,
		.actor = request_identity(c->rq)->actor,
		.request_id = request_id(c->rq),
		.kind = "setting",
		.op = "update",
		.subject = "platform",
		.fields = c->fields };
	struct buf b;
	int rc;

	buf_init(&b, CHANGES_OBJECT_MAX);
	jsonw_object(&b, NULL);
	for (int k = 0; k < SETTING_KEYS_N; k++)
		if (c->what[k] == SETTING_SET)
			setting_print(&b, (enum setting_key)k, &c->wanted.of[k]);
		else if (c->what[k] == SETTING_RESET)
			jsonw_null(&b, setting_name((enum setting_key)k));
	jsonw_end_object(&b);
	change.object = b.failed ? NULL : buf_cstr(&b);
	rc = changes_append(tx, &change, NULL, e);
	buf_free(&b);
	return rc;
}

static int write_one(struct db *tx, struct changing *c, enum setting_key k, struct err *e)
{
	struct setting *s = &c->wanted.of[k];
	const size_t used = strlen(c->fields);

	(void)str_fmt(c->fields + used, sizeof c->fields - used, "%s%s", used > 0 ? "," : "", setting_name(k));
	if (c->what[k] == SETTING_RESET)
		return setting_drop(tx, k, e);
	s->updated_ms = c->now_ms;
	(void)str_copy(s->updated_by, sizeof s->updated_by, request_identity(c->rq)->actor);
	return setting_put(tx, k, s, e);
}

static int work_change(struct db *tx, void *arg, struct err *e)
{
	struct changing *c = arg;

	c->fields[0] = '\0';
	if (platform_read_in(c->p, tx, &c->was, e) != 0 ||
		secret_home_check(c->p, &c->was, &c->wanted, c->what, e) != 0)
		return -1;
	for (int k = 0; k < SETTING_KEYS_N; k++)
		if (c->what[k] != SETTING_LEAVE && write_one(tx, c, (enum setting_key)k, e) != 0)
			return -1;
	return c->fields[0] != '\0' ? log_change(tx, c, e) : 0;
}

static int change(struct platform *p, struct changing *c, struct err_list *errs, struct err *e)
{
	take(p, c, errs);
	if (errs->n > 0) {
		if (e != NULL)
			*e = errs->items[0];
		return -1;
	}
	if (store_write(p->conf.store, STORE_LOGGED, work_change, c, e) != 0)
		return -1;
	log_info("platform_settings_changed", log_s("keys", c->fields), log_s("actor", request_identity(c->rq)->actor));
	return 0;
}

int platform_change(struct platform *p, struct request *rq, struct err *e)
{
	struct changing *c = calloc(1, sizeof *c);
	int rc;

	if (c == NULL)
		return err_set(e, ERR_NOMEM, NULL, "settings: out of memory");
	c->p = p;
	c->rq = rq;
	c->now_ms = clock_wall_ms();
	rc = change(p, c, request_errors(rq), e);
	seal_wipe(c, sizeof *c);
	free(c);
	return rc;
}

static int api_change(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	if (platform_change(feature, rq, e) != 0)
		return -1;
	return reply_all(feature, "Settings updated", rp, e);
}

/* ---- repositories ------------------------------------------------------------------------------------------------ */

struct repo_change {
	const struct request *rq;
	const char *op, *old, *repo;
};

static int work_repo(struct db *tx, void *arg, struct err *e)
{
	const struct repo_change *r = arg;
	const char *actor = request_identity(r->rq)->actor;
	const int64_t now_ms = clock_wall_ms();
	const struct change log = { .time_ms = now_ms,
		.actor = actor,
		.request_id = request_id(r->rq),
		.kind = "repo",
		.op = r->op,
		.subject = r->repo,
		.fields = r->old != NULL ? "repo" : "" };
	int rc;

	if (str_eq(r->op, "create"))
		rc = repo_add(tx, r->repo, actor, now_ms, e);
	else if (str_eq(r->op, "delete"))
		rc = repo_delete(tx, r->repo, e);
	else
		rc = repo_rename(tx, r->old, r->repo, now_ms, e);
	return rc == 0 ? changes_append(tx, &log, NULL, e) : -1;
}

static void reply_repo(const struct request *rq, int status, const char *message, struct reply *rp)
{
	struct buf *b = reply_open(rp, status, JSON_TYPE);

	jsonw_object(b, NULL);
	jsonw_bool(b, "success", true);
	jsonw_object(b, "data");
	jsonw_str(b, "repo", json_string_value(json_object_get(request_body(rq), "repo")));
	jsonw_end_object(b);
	jsonw_str(b, "message", message);
	jsonw_end_object(b);
}

static int change_repo(void *feature, const struct request *rq, const char *op, struct err *e)
{
	struct platform *p = feature;
	struct repo_change r = { .rq = rq,
		.op = op,
		.old = json_string_value(json_object_get(request_body(rq), "oldRepo")),
		.repo = json_string_value(json_object_get(request_body(rq), "repo")) };

	if (repo_check("repo", r.repo, e) != 0 || (r.old != NULL && repo_check("oldRepo", r.old, e) != 0))
		return -1;
	return store_write(p->conf.store, STORE_LOGGED, work_repo, &r, e);
}

static int api_repos(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct platform *p = feature;
	struct db *db;
	struct buf *b;
	int rc;

	(void)rq;
	if (store_read_begin(p->conf.store, &db, e) != 0)
		return -1;
	b = reply_open(rp, 200, JSON_TYPE);
	jsonw_object(b, NULL);
	jsonw_bool(b, "success", true);
	jsonw_array(b, "data");
	rc = repo_print_all(db, b, e);
	store_read_end(db);
	jsonw_end_array(b);
	jsonw_end_object(b);
	return rc;
}

static int api_repo_add(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	if (change_repo(feature, rq, "create", e) != 0)
		return -1;
	reply_repo(rq, 201, "Repository added", rp);
	return 0;
}

static int api_repo_rename(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	if (change_repo(feature, rq, "update", e) != 0)
		return -1;
	reply_repo(rq, 200, "Repository updated", rp);
	return 0;
}

/* Printed clients name it in the body. */
static int api_repo_delete(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	if (change_repo(feature, rq, "delete", e) != 0)
		return -1;
	reply_empty(rp, 204);
	return 0;
}

/* ---- schemas and routes ------------------------------------------------------------------------------------------ */

static const struct schema_field repo_fields[] = {
	{ .name = "repo",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_REQUIRED,
		.min = 3,
		.max = REPO_MAX,
		.help = "owner/name" },
};
static const struct schema repo_schema = { "Repository", repo_fields, ARRAY_LEN(repo_fields), false };

static const struct schema_field rename_fields[] = {
	{ .name = "oldRepo", .type = SCHEMA_STRING, .flags = SCHEMA_REQUIRED, .min = 3, .max = REPO_MAX },
	{ .name = "repo", .type = SCHEMA_STRING, .flags = SCHEMA_REQUIRED, .min = 3, .max = REPO_MAX },
};
static const struct schema rename_schema = { "RepositoryRename", rename_fields, ARRAY_LEN(rename_fields), false };

#define SETTINGS "/api/admin/settings"
#define REPOS    "/api/admin/settings/repos"

const struct route platform_rows[] = {
	{ "GET", SETTINGS, PERM_SYSTEM, LANE_DB, NULL, NULL, NULL, 200, 0, api_get,
		"Settings of the platform; secrets as ***", "Admin" },
	{ "POST", SETTINGS, PERM_SYSTEM, LANE_DB, NULL, &setting_schema, NULL, 200, ROUTE_PARTIAL, api_change,
		"Change those that are sent; null: what the settings file says", "Admin" },
	{ "GET", REPOS, PERM_SYSTEM, LANE_DB, NULL, NULL, NULL, 200, 0, api_repos, "List the repositories", "Admin" },
	{ "POST", REPOS, PERM_SYSTEM, LANE_DB, NULL, &repo_schema, NULL, 201, 0, api_repo_add, "Add a repository",
		"Admin" },
	{ "PUT", REPOS, PERM_SYSTEM, LANE_DB, NULL, &rename_schema, NULL, 200, 0, api_repo_rename,
		"Put another repository in the place of one", "Admin" },
	{ "DELETE", REPOS, PERM_SYSTEM, LANE_DB, NULL, &repo_schema, NULL, 204, 0, api_repo_delete,
		"Delete a repository", "Admin" },
};
const size_t platform_rows_n = ARRAY_LEN(platform_rows);
