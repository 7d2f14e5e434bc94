/*
 * Search on PostgreSQL: tsvectors in a GIN index, asked for 'abc':*. Such an index has no order, and gathers all that match
 * before the first can be shown: 60 ms for 100,000. So the objects are first looked at in their order, NEAR_ROWS of them: what
 * many have fills a page from there. Only what few have goes on to the index. (All beginnings as lexemes of their own would save
 * the gathering, too, but make a write several times as dear.)
 */
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/store/driver_search.h"

#define NEAR_ROWS 500

/* ?4-?7 must be there, ?8-?11 must not all be there; patterns without a word are "%", and "" which nothing is like. */
#define MATCHES                                                                                                 \
	"o.words LIKE ?4 AND o.words LIKE ?5 AND o.words LIKE ?6 AND o.words LIKE ?7 AND NOT (o.words LIKE ?8 " \
	"AND o.words LIKE ?9 AND o.words LIKE ?10 AND o.words LIKE ?11) AND (?12 = '' OR o.kind = ?12) AND "    \
	"o.kind <> ?13 ORDER BY o.n LIMIT ?3"

enum { SQL_NEAR, SQL_FAR };
static const char *const sql[] = {
	[SQL_NEAR] =
		"SELECT o.kind, o.id, o.title, o.n FROM (SELECT * FROM search_entries WHERE tenant_id = ?1 AND n > "
		"?2 ORDER BY n LIMIT ?14) o WHERE " MATCHES,
	[SQL_FAR] = "SELECT o.kind, o.id, o.title, o.n FROM search_entries o WHERE "
		    "array_to_tsvector(string_to_array(trim(o.words), ' ')) @@ "
		    "CAST(?14 AS tsquery) AND o.tenant_id = ?1 AND o.n > ?2 AND " MATCHES,
};
static const struct sql_table table = { "search of postgresql", sql, ARRAY_LEN(sql) };

#define PATTERN_SIZE (SEARCH_WORD_SIZE + 4)
struct patterns {
	char must[SEARCH_QUERY_MAX][PATTERN_SIZE];
	char mustnt[SEARCH_QUERY_MAX][PATTERN_SIZE];
};

static void make_patterns(struct patterns *p, const struct search_ask *a)
{
	*p = (struct patterns){ 0 };
	for (size_t i = 0; i < SEARCH_QUERY_MAX; i++) {
		const bool given = i < a->words;

		str_fmt(p->must[i], PATTERN_SIZE, given ? a->whole ? "%% %s %%" : "%% %s%%" : "%%", a->word[i]);
		if (!a->whole)
			str_fmt(p->mustnt[i], PATTERN_SIZE, given ? "%% %s %%" : "%%", a->word[i]);
	}
}

/* Words are of a-z and 0-9 alone and stand in quotes: none is an operator. */
static void put_query(struct buf *b, const struct search_ask *a)
{
	char mark[SEARCH_MARK_SIZE];

	search_mark(mark, 't', a->tenant_id);
	buf_printf(b, "'%s'", mark);
	search_mark(mark, 'k', a->kind);
	if (a->kind[0] != '\0')
		buf_printf(b, " & '%s'", mark);
	for (size_t i = 0; i < a->words; i++)
		buf_printf(b, " & '%s'%s", a->word[i], a->whole ? "" : ":*");
}

static int find(struct db *db, struct query **out, const struct search_ask *a, unsigned step, struct err *e)
{
	struct patterns p;
	struct buf b;
	int rc;

	make_patterns(&p, a);
	buf_init(&b, 4096);
	put_query(&b, a);
	rc = b.failed ? err_set(e, ERR_NOMEM, NULL, "search: out of memory")
	              : db_query(db, out, sql[step], e, bind_s(a->tenant_id), bind_i(a->after), bind_i(a->limit),
				bind_s(p.must[0]), bind_s(p.must[1]), bind_s(p.must[2]), bind_s(p.must[3]),
				bind_s(p.mustnt[0]), bind_s(p.mustnt[1]), bind_s(p.mustnt[2]), bind_s(p.mustnt[3]),
				bind_s(a->kind), bind_s(a->without),
				step == SQL_NEAR ? bind_i(NEAR_ROWS) : bind_s(buf_cstr(&b)));
	buf_free(&b);
	return rc;
}

const struct driver_search postgres_search = { .sql = &table, .steps = ARRAY_LEN(sql), .find = find };
