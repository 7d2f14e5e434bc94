#include "controld/store/search.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/store/db.h"
#include "controld/store/driver_search.h"
#include "controld/store/erasure.h"

#include <inttypes.h>
#include <string.h>

enum { SQL_PUT, SQL_SAME, SQL_DROP, SQL_ERASE };
static const char *const sql[] = {
	[SQL_PUT] =
		"INSERT INTO search_entries (n, kind, id, tenant_id, title, words) VALUES ((SELECT coalesce(max(n), 0) "
		"+ 1 "
		"FROM search_entries), ?1, ?2, ?3, ?4, ?5) ON CONFLICT (kind, id) DO UPDATE SET tenant_id = "
		"excluded.tenant_id, title = excluded.title, words = excluded.words WHERE search_entries.tenant_id <> "
		"excluded.tenant_id OR search_entries.title <> excluded.title OR search_entries.words <> "
		"excluded.words",
	[SQL_SAME] = "SELECT 1 FROM search_entries WHERE kind = ?1 AND id = ?2 AND tenant_id = ?3 AND title = ?4 AND "
		     "words = "
		     "?5",
	[SQL_DROP] = "DELETE FROM search_entries WHERE kind = ?1 AND id = ?2",
	[SQL_ERASE] = "DELETE FROM search_entries WHERE tenant_id = ?1",
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

void search_mark(char dst[SEARCH_MARK_SIZE], char what, const char *id)
{
	size_t n = 0;

	dst[n++] = '=';
	dst[n++] = what;
	for (; *id != '\0' && n + 1 < SEARCH_MARK_SIZE; id++) {
		const char c = (char)(*id >= 'A' && *id <= 'Z' ? *id - 'A' + 'a' : *id);

		dst[n++] = (char)((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '_');
	}
	dst[n] = '\0';
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

static void put_words(struct buf *b, const char *text, unsigned *left)
{
	char word[SEARCH_WORD_SIZE];

	for (; *left > 0 && search_word(&text, word) > 0; --*left)
		buf_printf(b, "%s ", word);
}

/* " =ttenant =kkind word word ": every word between blanks. */
static void put_all_words(struct buf *b, const struct search_object *o)
{
	char tenant[SEARCH_MARK_SIZE], kind[SEARCH_MARK_SIZE];
	unsigned left = SEARCH_WORDS_MAX;

	search_mark(tenant, 't', o->tenant_id);
	search_mark(kind, 'k', o->kind);
	buf_printf(b, " %s %s ", tenant, kind);
	put_words(b, o->id, &left);
	put_words(b, o->title, &left);
	for (const char *const *text = o->texts; *text != NULL; text++)
		put_words(b, *text, &left);
}

/* Nothing to be done where the index follows its table by itself. */
static int index_object(struct db *tx, const char *statement, const char *kind, const char *id, struct err *e)
{
	return statement == NULL ? 0 : MIN(db_exec(tx, statement, e, bind_s(kind), bind_s(id)), 0);
}

/* An index that has to be told is told of changes only: most updates of an object leave its words alone. 1, 0 or -1. */
static int is_written(struct db *tx, const struct search_object *o, const char *words, struct err *e)
{
	struct query *q;
	int rc;

	if (tx->driver->search->learn == NULL)
		return 0;
	if (db_query(tx, &q, sql[SQL_SAME], e, bind_s(o->kind), bind_s(o->id), bind_s(o->tenant_id), bind_s(o->title),
		    bind_s(words)) != 0)
		return -1;
	rc = query_next(q, e);
	query_end(q);
	return rc;
}

static int write_words(struct db *tx, const struct search_object *o, const char *words, struct err *e)
{
	const struct driver_search *by = tx->driver->search;
	const int written = is_written(tx, o, words, e);

	if (written != 0)
		return MIN(written, 0);
	if (index_object(tx, by->forget, o->kind, o->id, e) != 0 ||
		db_post(tx, sql[SQL_PUT], e, bind_s(o->kind), bind_s(o->id), bind_s(o->tenant_id), bind_s(o->title),
			bind_s(words)) != 0)
		return -1;
	return index_object(tx, by->learn, o->kind, o->id, e);
}

int search_put(struct db *tx, const struct search_object *o, struct err *e)
{
	struct buf words;
	int rc;

	buf_init(&words, (SEARCH_WORDS_MAX + 8) * SEARCH_WORD_SIZE);
	put_all_words(&words, o);
	rc = words.failed ? err_set(e, ERR_NOMEM, NULL, "search: out of memory")
	                  : write_words(tx, o, buf_cstr(&words), e);
	buf_free(&words);
	return rc;
}

int search_drop(struct db *tx, const char *kind, const char *id, struct err *e)
{
	if (index_object(tx, tx->driver->search->forget, kind, id, e) != 0)
		return -1;
	return MIN(db_exec(tx, sql[SQL_DROP], e, bind_s(kind), bind_s(id)), 0);
}

int search_rebuild(struct db *tx, struct err *e)
{
	const char *rebuild = tx->driver->search->rebuild;
	const int there = db_has_table(tx, "search_entries", e);

	if (there != 1 || rebuild == NULL)
		return MIN(there, 0);
	return MIN(db_exec(tx, rebuild, e), 0);
}

static int erase(
	struct db *tx, const struct erase_owner *o, unsigned limit, int64_t *position, unsigned *n, struct err *e)
{
	(void)limit, (void)position;
	*n = 0;
	if (!o->tenant)
		return 0; /* its objects take their words along */
	if (tx->driver->search->forget_tenant != NULL &&
		db_exec(tx, tx->driver->search->forget_tenant, e, bind_s(o->id)) < 0)
		return -1;
	return MIN(db_exec(tx, sql[SQL_ERASE], e, bind_s(o->id)), 0);
}

const struct erasure search_erasure = { "search", "search_entries", erase };

/* ---- finding ------------------------------------------------------------------------------------------------------ */

void search_place_print(char dst[SEARCH_PLACE_SIZE], const struct search_place *p)
{
	str_fmt(dst, SEARCH_PLACE_SIZE, "%c%" PRId64, p->beginnings ? 'b' : 'w', p->n);
}

int search_place_parse(struct search_place *p, const char *s)
{
	p->beginnings = s[0] == 'b';
	return s[0] == 'b' || s[0] == 'w' ? str_to_i64(s + 1, 0, INT64_MAX, &p->n) : -1;
}

struct finding {
	const struct driver_search *by;
	int (*fn)(const struct search_hit *hit, void *arg);
	void *arg;
};

/* One way of finding: 1 when fn wants no more. ask goes on behind the last row. */
static int find_step(struct db *db, struct search_ask *ask, const struct finding *f, unsigned step, struct err *e)
{
	struct query *rows;
	int rc;

	if (f->by->find(db, &rows, ask, step, e) != 0)
		return -1;
	while ((rc = query_next(rows, e)) == 1) {
		const struct search_hit hit = { query_text(rows, 0), query_text(rows, 1), query_text(rows, 2),
			ask->whole, { !ask->whole, query_int(rows, 3) } };

		ask->after = hit.place.n;
		ask->limit--;
		if (f->fn(&hit, f->arg) != 0)
			break;
	}
	query_end(rows);
	return rc;
}

int search_find(struct db *db, const struct search_query *q, int (*fn)(const struct search_hit *hit, void *arg),
	void *arg, struct err *e)
{
	struct search_ask ask = { .tenant_id = q->tenant_id,
		.kind = q->kind,
		.without = q->without,
		.whole = !q->after.beginnings,
		.after = q->after.n,
		.limit = q->limit };
	const struct finding f = { db->driver->search, fn, arg };
	const char *text = q->text;

	while (ask.words < SEARCH_QUERY_MAX && search_word(&text, ask.word[ask.words]) > 0)
		ask.words++;
	if (ask.words == 0)
		return 0;
	for (;; ask.whole = false, ask.after = 0) {
		for (unsigned step = 0; step < f.by->steps && ask.limit > 0; step++) {
			const int rc = find_step(db, &ask, &f, step, e);

			if (rc != 0)
				return MIN(rc, 0);
		}
		if (!ask.whole)
			return 0;
	}
}

void search_prefix(char *dst, size_t size, const char *s)
{
	size_t n = 0;

	for (; *s != '\0' && n + 3 < size; s++) {
		if (strchr("!%_", *s) != NULL)
			dst[n++] = '!';
		dst[n++] = (char)(*s >= 'A' && *s <= 'Z' ? *s - 'A' + 'a' : *s);
	}
	dst[n++] = '%';
	dst[n] = '\0';
}
