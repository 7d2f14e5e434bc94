/*
 * Search on SQLite: FTS5. Its lists rise by rowid, which is the order of what is found, so it stops as soon as the page is full,
 * and goes on behind the last row of the page before. Words are of a-z and 0-9 alone and stand in quotes: none is an operator.
 */
#include "common/base/buf.h"
#include "common/base/err.h"
#include "controld/store/driver_search.h"

#define FORGET        "INSERT INTO search_fts (search_fts, rowid, words) SELECT 'delete', n, words FROM search_entries WHERE "
#define FORGET_OBJECT FORGET "kind = ?1 AND id = ?2"
#define FORGET_TENANT FORGET "tenant_id = ?1"
#define LEARN         "INSERT INTO search_fts (rowid, words) SELECT n, words FROM search_entries WHERE kind = ?1 AND id = ?2"
#define REBUILD       "INSERT INTO search_fts (search_fts) VALUES ('rebuild')"

/* CROSS: FTS5 leads, whatever the planner thinks of tenants. */
static const char sql_find[] =
	"SELECT o.kind, o.id, o.title, o.n FROM search_fts CROSS JOIN search_entries o ON o.n = search_fts.rowid WHERE "
	"search_fts MATCH ?1 AND search_fts.rowid > ?2 AND o.tenant_id = ?3 ORDER BY search_fts.rowid LIMIT ?4";

static const char *const sql[] = { sql_find, FORGET_OBJECT, FORGET_TENANT, LEARN, REBUILD };
static const struct sql_table table = { "search of sqlite", sql, ARRAY_LEN(sql) };

/* NOT binds closer than AND. */
static void put_words(struct buf *b, const struct search_ask *a, bool whole)
{
	for (size_t i = 0; i < a->words; i++)
		buf_printf(b, "%s\"%s\"%s", i > 0 ? " AND " : "", a->word[i], whole ? "" : " *");
}

static int find(struct db *db, struct query **out, const struct search_ask *a, unsigned step, struct err *e)
{
	char mark[SEARCH_MARK_SIZE];
	struct buf b;
	int rc;

	(void)step;
	buf_init(&b, 4096);
	search_mark(mark, 't', a->tenant_id);
	buf_printf(&b, "(\"%s\" AND ", mark);
	search_mark(mark, 'k', a->kind);
	if (a->kind[0] != '\0')
		buf_printf(&b, "\"%s\" AND ", mark);
	put_words(&b, a, a->whole);
	buf_printf(&b, ")");
	if (!a->whole) {
		buf_printf(&b, " NOT (");
		put_words(&b, a, true);
		buf_printf(&b, ")");
	}
	search_mark(mark, 'k', a->without);
	if (a->without[0] != '\0')
		buf_printf(&b, " NOT \"%s\"", mark);
	rc = b.failed ? err_set(e, ERR_NOMEM, NULL, "search: out of memory")
	              : db_query(db, out, sql_find, e, bind_s(buf_cstr(&b)), bind_i(a->after), bind_s(a->tenant_id),
				bind_i(a->limit));
	buf_free(&b);
	return rc;
}

const struct driver_search sqlite_search = {
	.sql = &table,
	.steps = 1,
	.find = find,
	.forget = FORGET_OBJECT,
	.forget_tenant = FORGET_TENANT,
	.learn = LEARN,
	.rebuild = REBUILD,
};
