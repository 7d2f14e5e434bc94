#include "controld/identity/user.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/identity/fold.h"
#include "controld/store/changes.h"
#include "controld/store/erasure.h"
#include "controld/store/search.h"

#include <stdlib.h>
#include <string.h>

#define USER_SELECT                                                                                             \
	"SELECT u.id, u.tenant_id, u.email, u.username, u.password_hash, u.first_name, u.last_name, u.status, " \
	"m.role, u.system_admin, u.version, u.created_ms, u.updated_ms, u.last_login_ms FROM users u "          \
	"JOIN memberships m ON m.tenant_id = u.tenant_id AND m.user_id = u.id WHERE u.status <> 'deleting' AND "
enum { USER_COL_ROLE = 8 };

enum {
	SQL_GET,
	SQL_FIND,
	SQL_LIST,
	SQL_TAKEN,
	SQL_INSERT,
	SQL_UPDATE,
	SQL_TOUCH,
	SQL_MEMBER,
	SQL_SET_ROLE,
	SQL_ENTER,
	SQL_LEAVING,
	SQL_SWITCH_OFF,
	SQL_ERASE_MEMBERS,
	SQL_ERASE_MEMBERS_OF_TENANT,
	SQL_ERASE
};
static const char *const sql[] = {
	[SQL_GET] = USER_SELECT "u.id = ?2 AND (?1 = '' OR u.tenant_id = ?1)",
	[SQL_FIND] = USER_SELECT "(u.email_key = ?1 OR u.username_key = ?1)",
	[SQL_LIST] = USER_SELECT
	"(?1 = '' OR u.tenant_id = ?1) AND (?2 = '' OR u.tenant_id = ?2) AND u.id > ?3 AND (?4 = '' OR u.status = ?4) "
	"AND (?5 = '' OR m.role = ?5) AND (?6 = '' OR u.email_key = ?6) AND (?7 = '' OR u.username_key = ?7) "
	"AND (?8 = '' OR u.email_key LIKE ?8 ESCAPE '!' OR u.username_key LIKE ?8 ESCAPE '!' "
	"OR lower(u.first_name) LIKE ?8 ESCAPE '!' OR lower(u.last_name) LIKE ?8 ESCAPE '!') ORDER BY u.id LIMIT ?9",
	[SQL_TAKEN] = "SELECT CASE WHEN email_key = ?2 OR username_key = ?2 THEN 1 ELSE 0 END FROM users "
		      "WHERE id <> ?1 AND (email_key IN (?2, ?3) OR username_key IN (?2, ?3))",
	[SQL_INSERT] = "INSERT INTO users (id, tenant_id, email, email_key, username, username_key, password_hash, "
		       "first_name, last_name, status, system_admin, version, created_ms, updated_ms, last_login_ms) "
		       "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, 0)",
	[SQL_UPDATE] =
		"UPDATE users SET email = ?3, email_key = ?4, username = ?5, username_key = ?6, password_hash = ?7, "
		"first_name = ?8, last_name = ?9, status = ?10, system_admin = ?11, version = ?12, "
		"updated_ms = ?13 WHERE id = ?1 AND tenant_id = ?2",
	[SQL_TOUCH] = "UPDATE users SET last_login_ms = ?3 WHERE id = ?1 AND tenant_id = ?2",
	[SQL_MEMBER] = "INSERT INTO memberships (tenant_id, user_id, role, created_ms) VALUES (?1, ?2, ?3, ?4)",
	[SQL_SET_ROLE] = "UPDATE memberships SET role = ?3 WHERE tenant_id = ?1 AND user_id = ?2",
	[SQL_ENTER] = "SELECT m.tenant_id, m.role FROM memberships m JOIN tenants t ON t.id = m.tenant_id "
		      "WHERE m.user_id = ?1 AND (?2 = '' OR m.tenant_id = ?2) AND t.status = 'active' LIMIT 2",
	[SQL_LEAVING] = "SELECT id, updated_ms FROM users WHERE status = 'deleting' ORDER BY id LIMIT ?1",
	[SQL_SWITCH_OFF] =
		"UPDATE users SET status = 'deleting', version = version + 1, updated_ms = ?2 WHERE id IN (SELECT id "
		"FROM users WHERE tenant_id = ?1 AND status <> 'deleting' LIMIT ?3) RETURNING id",
	[SQL_ERASE_MEMBERS] = "DELETE FROM memberships WHERE user_id = ?1 AND tenant_id IN (SELECT tenant_id FROM "
			      "memberships WHERE user_id = ?1 LIMIT ?2)",
	[SQL_ERASE_MEMBERS_OF_TENANT] =
		"DELETE FROM memberships WHERE tenant_id = ?1 AND user_id IN (SELECT m.user_id FROM memberships m JOIN "
		"users u ON u.id = m.user_id WHERE m.tenant_id = ?1 AND u.tenant_id <> ?1 LIMIT ?2)",
	[SQL_ERASE] = "DELETE FROM users WHERE id = ?1 AND status = 'deleting' RETURNING tenant_id",
};
const struct sql_table user_sql = { "user", sql, ARRAY_LEN(sql) };

/* ---- rules ------------------------------------------------------------------------------------------------------- */

/* Words that are no role are none. */
static enum role user_role(const char *s)
{
	enum role role;

	return role_parse(s, &role) == 0 ? role : ROLE_NONE;
}

void user_init(struct user *u, const char *tenant_id, int64_t now_ms)
{
	*u = (struct user){ .status = "active", .role = ROLE_VIEWER, .version = 1 };
	rand_id(u->id, "usr");
	(void)str_copy(u->tenant_id, sizeof u->tenant_id, tenant_id);
	u->created_ms = u->updated_ms = now_ms;
}

void user_apply(struct user *u, const json_t *body, char *names, size_t size)
{
	const struct user old = *u;
	const char *role = json_string_value(json_object_get(body, "role"));
	const json_t *system_admin = json_object_get(body, "system_admin");
	struct fold_names changed = { names, size };

	names[0] = '\0';
	fold_take(body, "email", u->email, sizeof u->email);
	fold_take(body, "username", u->username, sizeof u->username);
	fold_take(body, "first_name", u->first_name, sizeof u->first_name);
	fold_take(body, "last_name", u->last_name, sizeof u->last_name);
	fold_take(body, "status", u->status, sizeof u->status);
	if (u->username[0] == '\0')
		(void)str_copy(u->username, sizeof u->username, u->email);
	if (role != NULL)
		u->role = user_role(role);
	if (system_admin != NULL)
		u->system_admin = json_is_true(system_admin);
	fold_note(&changed, "email", strcmp(old.email, u->email) != 0);
	fold_note(&changed, "username", strcmp(old.username, u->username) != 0);
	fold_note(&changed, "first_name", strcmp(old.first_name, u->first_name) != 0);
	fold_note(&changed, "last_name", strcmp(old.last_name, u->last_name) != 0);
	fold_note(&changed, "status", strcmp(old.status, u->status) != 0);
	fold_note(&changed, "role", old.role != u->role);
	fold_note(&changed, "system_admin", old.system_admin != u->system_admin);
}

bool user_may_manage(const struct identity *who, enum role role, bool system_admin)
{
	return who->system_admin || (!system_admin && role <= who->role && who->role >= ROLE_ADMIN);
}

json_t *user_json(const struct user *u)
{
	json_t *roles = json_pack("[s]", role_name(u->role));

	if (u->system_admin)
		json_array_append_new(roles, json_string("system_admin"));
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:b, s:o, s:o, s:o}", "id", u->id,
		"user_id", u->id, "tenant_id", u->tenant_id, "username", u->username, "email", u->email, "first_name",
		u->first_name, "last_name", u->last_name, "status", u->status, "role", role_name(u->role), "roles",
		roles, "system_admin", u->system_admin, "created_at", fold_time(u->created_ms), "updated_at",
		fold_time(u->updated_ms), "last_login", fold_time(u->last_login_ms));
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static void user_load(struct user *u, struct query *q)
{
	*u = (struct user){ .role = ROLE_NONE };
	(void)str_copy(u->id, sizeof u->id, query_text(q, 0));
	(void)str_copy(u->tenant_id, sizeof u->tenant_id, query_text(q, 1));
	(void)str_copy(u->email, sizeof u->email, query_text(q, 2));
	(void)str_copy(u->username, sizeof u->username, query_text(q, 3));
	(void)str_copy(u->password_hash, sizeof u->password_hash, query_text(q, 4));
	(void)str_copy(u->first_name, sizeof u->first_name, query_text(q, 5));
	(void)str_copy(u->last_name, sizeof u->last_name, query_text(q, 6));
	(void)str_copy(u->status, sizeof u->status, query_text(q, 7));
	u->role = user_role(query_text(q, USER_COL_ROLE));
	u->system_admin = query_int(q, 9) != 0;
	u->version = query_int(q, 10);
	u->created_ms = query_int(q, 11);
	u->updated_ms = query_int(q, 12);
	u->last_login_ms = query_int(q, 13);
}

/* The single row of a query that was begun; ends it. 1, 0 or -1. */
static int user_one(struct query *q, struct user *out, struct err *e)
{
	int rc = query_next(q, e);

	if (rc == 1)
		user_load(out, q);
	query_end(q);
	return rc;
}

int user_get(struct db *db, const char *scope, const char *id, struct user *out, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_GET], e, bind_s(scope), bind_s(id)) != 0 || (rc = user_one(q, out, e)) < 0)
		return -1;
	return rc == 1 ? 0 : err_set(e, ERR_USER_NOT_FOUND, NULL, "there is no user %s", id);
}

int user_find(struct db *db, const char *account, struct user *out, struct err *e)
{
	char key[USER_EMAIL_MAX + 1];
	struct query *q;

	fold_key(key, sizeof key, account);
	if (db_query(db, &q, sql[SQL_FIND], e, bind_s(key)) != 0)
		return -1;
	return user_one(q, out, e);
}

/*
 * Email and username are looked up together at a login, so neither may equal the other one of somebody else.
 */
static int user_check_names(struct db *tx, const struct user *u, const char *email, const char *username, struct err *e)
{
	struct query *q;
	bool is_email = false;
	int rc;

	if (db_query(tx, &q, sql[SQL_TAKEN], e, bind_s(u->id), bind_s(email), bind_s(username)) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1)
		is_email = query_int(q, 0) != 0;
	query_end(q);
	if (rc <= 0)
		return rc;
	err_set(e, ERR_ALREADY_EXISTS, NULL, "taken");
	return is_email ? fold_taken(e, "email", u->email) : fold_taken(e, "username", u->username);
}

static int user_index(struct db *tx, const struct user *u, struct err *e)
{
	const char *const texts[] = { u->username, u->first_name, u->last_name, NULL };
	const struct search_object o = { "user", u->id, u->tenant_id, u->email, texts };

	return strcmp(u->status, "deleting") == 0 ? search_drop(tx, "user", u->id, e) : search_put(tx, &o, e);
}

int user_insert(struct db *tx, const struct user *u, struct err *e)
{
	char email[sizeof u->email], username[sizeof u->username];

	fold_key(email, sizeof email, u->email);
	fold_key(username, sizeof username, u->username);
	if (user_check_names(tx, u, email, username, e) != 0)
		return -1;
	if (db_exec(tx, sql[SQL_INSERT], e, bind_s(u->id), bind_s(u->tenant_id), bind_s(u->email), bind_s(email),
		    bind_s(u->username), bind_s(username), bind_s(u->password_hash), bind_s(u->first_name),
		    bind_s(u->last_name), bind_s(u->status), bind_i(u->system_admin), bind_i(u->version),
		    bind_i(u->created_ms), bind_i(u->updated_ms)) < 0)
		return -1;
	if (db_exec(tx, sql[SQL_MEMBER], e, bind_s(u->tenant_id), bind_s(u->id), bind_s(role_name(u->role)),
		    bind_i(u->created_ms)) < 0)
		return -1;
	return user_index(tx, u, e);
}

int user_update(struct db *tx, struct user *u, int64_t now_ms, struct err *e)
{
	bool going = strcmp(u->status, "deleting") == 0; /* gives its names free */
	char email[sizeof u->email], username[sizeof u->username];

	fold_key(email, sizeof email, going ? u->id : u->email);
	fold_key(username, sizeof username, going ? u->id : u->username);
	if (user_check_names(tx, u, email, username, e) != 0)
		return -1;
	u->version++;
	u->updated_ms = now_ms;
	if (db_exec(tx, sql[SQL_UPDATE], e, bind_s(u->id), bind_s(u->tenant_id), bind_s(u->email), bind_s(email),
		    bind_s(u->username), bind_s(username), bind_s(u->password_hash), bind_s(u->first_name),
		    bind_s(u->last_name), bind_s(u->status), bind_i(u->system_admin), bind_i(u->version),
		    bind_i(u->updated_ms)) < 0)
		return -1;
	if (db_exec(tx, sql[SQL_SET_ROLE], e, bind_s(u->tenant_id), bind_s(u->id), bind_s(role_name(u->role))) < 0)
		return -1;
	return user_index(tx, u, e);
}

int user_touch_login(struct db *tx, const char *tenant_id, const char *id, int64_t now_ms, struct err *e)
{
	return db_exec(tx, sql[SQL_TOUCH], e, bind_s(id), bind_s(tenant_id), bind_i(now_ms)) < 0 ? -1 : 0;
}

/* "abc" as the pattern "abc%" in lower case, with what LIKE understands escaped by '!'. */
static void user_pattern(char *dst, size_t size, const char *search)
{
	char key[USER_EMAIL_MAX + 1];
	size_t n = 0;

	fold_key(key, sizeof key, search);
	for (const char *c = key; *c != '\0' && n + 4 < size; c++) {
		if (*c == '%' || *c == '_' || *c == '!')
			dst[n++] = '!';
		dst[n++] = *c;
	}
	if (n > 0)
		dst[n++] = '%';
	dst[n] = '\0';
}

int user_list(struct db *db, const struct user_filter *f, user_fn fn, void *arg, struct err *e)
{
	char email[USER_EMAIL_MAX + 1], username[USER_EMAIL_MAX + 1], pattern[2 * USER_EMAIL_MAX + 4];
	struct user u;
	struct query *q;
	int rc;

	fold_key(email, sizeof email, f->email);
	fold_key(username, sizeof username, f->username);
	user_pattern(pattern, sizeof pattern, f->search);
	if (db_query(db, &q, sql[SQL_LIST], e, bind_s(f->scope), bind_s(f->tenant_id), bind_s(f->after),
		    bind_s(f->status), bind_s(f->role), bind_s(email), bind_s(username), bind_s(pattern),
		    bind_i(f->limit)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		user_load(&u, q);
		if ((rc = fn(&u, arg)) != 0)
			break;
	}
	query_end(q);
	return rc;
}

int user_enter(struct db *db, struct user *u, const char *tenant_id, struct err *e)
{
	struct query *q;
	int n = 0, rc;

	if (db_query(db, &q, sql[SQL_ENTER], e, bind_s(u->id), bind_s(tenant_id)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1 && ++n == 1) {
		(void)str_copy(u->tenant_id, sizeof u->tenant_id, query_text(q, 0));
		u->role = user_role(query_text(q, 1));
	}
	query_end(q);
	if (rc < 0)
		return -1;
	if (n == 0)
		return err_set(e, ERR_FORBIDDEN, "tenant_id", "this account may not work in that tenant");
	if (n == 1)
		return 0;
	err_set(e, ERR_VALIDATION, "tenant_id", "tenant_id: this account belongs to several tenants, name one");
	return err_detail(e, "required", "");
}

/* ---- the end of a user ------------------------------------------------------------------------------------------- */

int user_leaving(struct db *db, unsigned limit, erase_leaving_fn fn, void *arg, struct err *e)
{
	return erase_leaving(db, sql[SQL_LEAVING], limit, fn, arg, e);
}

static int log_user(struct db *tx, const char *op, const char *id, const char *tenant, int64_t now_ms, struct err *e)
{
	const struct change c = { .time_ms = now_ms,
		.tenant = tenant,
		.actor = "system",
		.kind = "user",
		.op = op,
		.subject = id,
		.fields = "status" };

	return changes_append(tx, &c, NULL, e);
}

/* Accounts of a tenant that goes leave as others do; each has its row in the log, which readers follow. */
static int switch_off(struct db *tx, const struct erase_owner *o, unsigned limit, unsigned *n, struct err *e)
{
	char(*ids)[RAND_ID_SIZE] = calloc(limit, sizeof *ids);
	struct query *q;
	int rc;

	*n = 0;
	if (ids == NULL)
		return err_set(e, ERR_NOMEM, NULL, "tenant %s: out of memory", o->id);
	rc = db_query(tx, &q, sql[SQL_SWITCH_OFF], e, bind_s(o->id), bind_i(o->now_ms), bind_i(limit));
	if (rc == 0) {
		while ((rc = query_next(q, e)) == 1 && *n < limit)
			(void)str_copy(ids[(*n)++], sizeof ids[0], query_text(q, 0));
		query_end(q);
	}
	for (unsigned i = 0; rc == 0 && i < *n; i++)
		rc = log_user(tx, "delete", ids[i], o->id, o->now_ms, e);
	free(ids);
	return rc;
}

static int erase_account(struct db *tx, const struct erase_owner *o, struct err *e)
{
	char tenant[RAND_ID_SIZE] = "";
	struct query *q;
	int rc;

	if (db_query(tx, &q, sql[SQL_ERASE], e, bind_s(o->id)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		(void)str_copy(tenant, sizeof tenant, query_text(q, 0));
	query_end(q);
	return rc == 1 ? log_user(tx, "erase", o->id, tenant, o->now_ms, e) : rc;
}

static int erase(
	struct db *tx, const struct erase_owner *o, unsigned limit, int64_t *position, unsigned *n, struct err *e)
{
	(void)position;
	if (o->tenant && switch_off(tx, o, limit, n, e) != 0)
		return -1;
	if (o->tenant && *n > 0)
		return 0;
	if (erase_by(tx, sql[SQL_ERASE_MEMBERS], sql[SQL_ERASE_MEMBERS_OF_TENANT], o, limit, n, e) != 0)
		return -1;
	return !o->tenant && o->ripe && *n < limit ? erase_account(tx, o, e) : 0;
}

const struct erasure user_erasure = { "user", "memberships,users", erase };
