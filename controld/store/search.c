#include "controld/store/search.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/store/erasure.h"

#include <string.h>

/*
 * The first word leads through the index, at most SEARCH_LOOKED_MAX entries of it; the others are looked up for each
 * object, by its key alone, so that no database is tempted to go through all that have them.
 */
#define LOOKED                                                                                                       \
	"SELECT tenant_id, kind, id, word FROM search_words v WHERE v.tenant_id = ?1 AND v.word >= ?2 AND v.word < " \
	"?3 AND (?4 = '' OR v.kind = ?4) AND v.kind <> ?5 ORDER BY v.word LIMIT ?14"
#define ALSO(from, to)                                                                                            \
	"AND (" from                                                                                              \
	" = '' OR EXISTS (SELECT 1 FROM search_words x WHERE x.kind = w.kind AND x.id = w.id AND x.word >= " from \
	" AND x.word < " to ")) "

enum { SQL_FIND, SQL_PUT, SQL_WORD, SQL_DROP, SQL_DROP_WORDS, SQL_ERASE, SQL_ERASE_WORDS };
static const char *const sql[] = {
	[SQL_FIND] = "SELECT o.kind, o.id, o.title, max(CASE WHEN w.word = ?2 THEN 1 ELSE 0 END) FROM (" LOOKED
		     ") w JOIN search_objects o ON o.kind = w.kind AND o.id = w.id WHERE 1 = 1 " ALSO("?6", "?7") ALSO(
			     "?8", "?9") ALSO("?10", "?11") "GROUP BY o.kind, o.id, o.title ORDER BY 4 DESC, o.kind, "
							    "o.id LIMIT ?12 OFFSET ?13",
	[SQL_PUT] = "INSERT INTO search_objects (kind, id, tenant_id, title) VALUES (?1, ?2, ?3, ?4) ON CONFLICT "
		    "(kind, id) DO "
		    "UPDATE SET tenant_id = excluded.tenant_id, title = excluded.title",
	[SQL_WORD] = "INSERT INTO search_words (tenant_id, word, kind, id) VALUES (?1, ?2, ?3, ?4) ON CONFLICT "
		     "(tenant_id, word, "
		     "kind, id) DO NOTHING",
	[SQL_DROP] = "DELETE FROM search_objects WHERE kind = ?1 AND id = ?2",
	[SQL_DROP_WORDS] = "DELETE FROM search_words WHERE kind = ?1 AND id = ?2",
	[SQL_ERASE] = "DELETE FROM search_objects WHERE tenant_id = ?1",
	[SQL_ERASE_WORDS] = "DELETE FROM search_words WHERE tenant_id = ?1",
};
const struct sql_table search_sql = { "search", sql, ARRAY_LEN(sql) };

/* ---- words -------------------------------------------------------------------------------------------------------- */

static bool is_letter(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c >= 0x80;
}

size_t search_word(const char **text, char word[SEARCH_WORD_SIZE])
{
	static const char hex[] = "0123456789abcdef";
	const char *p = *text;
	size_t n = 0;

	while (*p != '\0' && !is_letter((unsigned char)*p))
		p++;
	for (; is_letter((unsigned char)*p); p++) {
		const unsigned char c = (unsigned char)*p;

		if (c >= 0x80 && n + 2 < SEARCH_WORD_SIZE) {
			word[n++] = hex[c >> 4];
			word[n++] = hex[c & 15];
		} else if (c < 0x80 && n + 1 < SEARCH_WORD_SIZE) {
			word[n++] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
		}
	}
	word[n] = '\0';
	*text = p;
	return n;
}

/* The first word behind all that begin with this one. No word is longer than SEARCH_WORD_SIZE - 1. */
static void end_of(char end[SEARCH_WORD_SIZE + 1], const char *word)
{
	size_t n = strlen(word);

	memcpy(end, word, n + 1);
	while (n > 0 && end[n - 1] == 'z')
		n--;
	if (n == 0) {
		memset(end, 'z', SEARCH_WORD_SIZE);
		end[SEARCH_WORD_SIZE] = '\0';
		return;
	}
	end[n] = '\0';
	end[n - 1] = (char)(end[n - 1] == '9' ? 'a' : end[n - 1] + 1);
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

static int put_words(struct db *tx, const struct search_object *o, const char *text, unsigned *left, struct err *e)
{
	char word[SEARCH_WORD_SIZE];

	while (*left > 0 && search_word(&text, word) > 0) {
		if (db_post(tx, sql[SQL_WORD], e, bind_s(o->tenant_id), bind_s(word), bind_s(o->kind), bind_s(o->id)) !=
			0)
			return -1;
		--*left;
	}
	return 0;
}

int search_put(struct db *tx, const struct search_object *o, struct err *e)
{
	unsigned left = SEARCH_WORDS_MAX;

	if (db_post(tx, sql[SQL_DROP_WORDS], e, bind_s(o->kind), bind_s(o->id)) != 0 ||
		db_post(tx, sql[SQL_PUT], e, bind_s(o->kind), bind_s(o->id), bind_s(o->tenant_id), bind_s(o->title)) !=
			0 ||
		put_words(tx, o, o->id, &left, e) != 0 || put_words(tx, o, o->title, &left, e) != 0)
		return -1;
	for (const char *const *text = o->texts; *text != NULL; text++)
		if (put_words(tx, o, *text, &left, e) != 0)
			return -1;
	return 0;
}

int search_drop(struct db *tx, const char *kind, const char *id, struct err *e)
{
	return db_exec(tx, sql[SQL_DROP], e, bind_s(kind), bind_s(id)) < 0 ||
	                       db_exec(tx, sql[SQL_DROP_WORDS], e, bind_s(kind), bind_s(id)) < 0
	               ? -1
	               : 0;
}

static int erase(
	struct db *tx, const struct erase_owner *o, unsigned limit, int64_t *position, unsigned *n, struct err *e)
{
	(void)limit, (void)position;
	*n = 0;
	if (!o->tenant)
		return 0; /* its objects take their words along */
	return db_exec(tx, sql[SQL_ERASE], e, bind_s(o->id)) < 0 ||
	                       db_exec(tx, sql[SQL_ERASE_WORDS], e, bind_s(o->id)) < 0
	               ? -1
	               : 0;
}

const struct erasure search_erasure = { "search", "search_objects,search_words", erase };

/* ---- finding ------------------------------------------------------------------------------------------------------ */

int search_find(struct db *db, const struct search_query *q, int (*fn)(const struct search_hit *hit, void *arg),
	void *arg, struct err *e)
{
	char from[SEARCH_QUERY_MAX][SEARCH_WORD_SIZE] = { "" }, to[SEARCH_QUERY_MAX][SEARCH_WORD_SIZE + 1] = { "" };
	const char *text = q->text;
	struct query *rows;
	size_t n = 0;
	int rc;

	while (n < SEARCH_QUERY_MAX && search_word(&text, from[n]) > 0) {
		end_of(to[n], from[n]);
		n++;
	}
	if (n == 0)
		return 0;
	if (db_query(db, &rows, sql[SQL_FIND], e, bind_s(q->tenant_id), bind_s(from[0]), bind_s(to[0]), bind_s(q->kind),
		    bind_s(q->without), bind_s(from[1]), bind_s(to[1]), bind_s(from[2]), bind_s(to[2]), bind_s(from[3]),
		    bind_s(to[3]), bind_i(q->limit), bind_i(q->skip), bind_i(SEARCH_LOOKED_MAX)) != 0)
		return -1;
	while ((rc = query_next(rows, e)) == 1) {
		const struct search_hit hit = { query_text(rows, 0), query_text(rows, 1), query_text(rows, 2),
			query_int(rows, 3) };

		if (fn(&hit, arg) != 0) {
			rc = 0;
			break;
		}
	}
	query_end(rows);
	return rc;
}
