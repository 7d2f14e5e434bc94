#include "controld/platform/repo.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/jsonw.h"

#include <string.h>

#define OWNER_MAX 40
#define NAME_MAX  100

enum { SQL_ADD, SQL_RENAME, SQL_DELETE, SQL_COUNT, SQL_LIST };
static const char add[] = "INSERT INTO platform_repos (repo, tenant_id, added_by, created_ms, updated_ms) "
			  "VALUES (?1, '', ?2, ?3, ?3)";
static const char *const sql[] = {
	[SQL_ADD] = add,
	[SQL_RENAME] = "UPDATE platform_repos SET repo = ?2, updated_ms = ?3 WHERE repo = ?1",
	[SQL_DELETE] = "DELETE FROM platform_repos WHERE repo = ?1",
	[SQL_COUNT] = "SELECT count(*) FROM platform_repos",
	[SQL_LIST] = "SELECT repo, added_by, created_ms, updated_ms FROM platform_repos ORDER BY repo",
};
const struct sql_table repo_sql = { "platform repo", sql, ARRAY_LEN(sql) };

static bool part_ok(const char *s, size_t n, size_t max)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

	return n > 0 && n <= max && strspn(s, letters) >= n && !(s[0] == '.' && (n == 1 || (n == 2 && s[1] == '.')));
}

int repo_check(const char *field, const char *repo, struct err *e)
{
	const size_t owner = strcspn(repo, "/");

	if (repo[owner] == '/' && part_ok(repo, owner, OWNER_MAX) &&
		part_ok(repo + owner + 1, strlen(repo + owner + 1), NAME_MAX))
		return 0;
	err_set(e, ERR_VALIDATION, field, "%s: must be owner/name of letters, digits, '.', '_' and '-'", field);
	return err_detail(e, "format", repo);
}

static int too_many(struct db *tx, struct err *e)
{
	struct query *q;
	int64_t n = 0;
	int rc;

	if (db_query(tx, &q, sql[SQL_COUNT], e) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1)
		n = query_int(q, 0);
	query_end(q);
	if (rc < 0)
		return -1;
	return n >= REPOS_MAX ? err_set(e, ERR_LIMIT, NULL, "there are %d repositories, which is the most", REPOS_MAX)
	                      : 0;
}

static int taken(const char *repo, struct err *e)
{
	return e->code == ERR_ALREADY_EXISTS
	               ? err_set(e, ERR_ALREADY_EXISTS, "repo", "repo: %s is listed already", repo)
	               : -1;
}

int repo_add(struct db *tx, const char *repo, const char *by, int64_t now_ms, struct err *e)
{
	if (too_many(tx, e) != 0)
		return -1;
	return db_exec(tx, sql[SQL_ADD], e, bind_s(repo), bind_s(by), bind_i(now_ms)) < 0 ? taken(repo, e) : 0;
}

int repo_rename(struct db *tx, const char *old, const char *repo, int64_t now_ms, struct err *e)
{
	const int n = db_exec(tx, sql[SQL_RENAME], e, bind_s(old), bind_s(repo), bind_i(now_ms));

	if (n < 0)
		return taken(repo, e);
	return n > 0 ? 0 : err_set(e, ERR_NOT_FOUND, "oldRepo", "there is no repository %s", old);
}

int repo_delete(struct db *tx, const char *repo, struct err *e)
{
	const int n = db_exec(tx, sql[SQL_DELETE], e, bind_s(repo));

	if (n < 0)
		return -1;
	return n > 0 ? 0 : err_set(e, ERR_NOT_FOUND, "repo", "there is no repository %s", repo);
}

int repo_print_all(struct db *db, struct buf *b, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_LIST], e) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		jsonw_object(b, NULL);
		jsonw_str(b, "repo", query_text(q, 0));
		jsonw_str(b, "addedBy", query_text(q, 1));
		jsonw_time(b, "createdAt", query_int(q, 2));
		jsonw_time(b, "updatedAt", query_int(q, 3));
		jsonw_end_object(b);
	}
	query_end(q);
	return rc;
}
