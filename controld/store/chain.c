#include "controld/store/chain.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/store/changes_row.h"
#include "controld/store/store.h"

#include <inttypes.h>
#include <string.h>

#define AT_ONCE 500
#define ROW_MAX 16384
#define ANCHOR  "chain_anchor"

enum { SQL_READ, SQL_ANCHOR, SQL_SET_ANCHOR };
static const char *const sql[] = {
	[SQL_READ] = "SELECT " CHANGES_COLUMNS ", digest, chain "
		     "FROM changes WHERE seq > ?1 ORDER BY seq LIMIT ?2",
	[SQL_ANCHOR] = "SELECT value FROM meta WHERE key = '" ANCHOR "'",
	[SQL_SET_ANCHOR] =
		"INSERT INTO meta (key, value) VALUES ('" ANCHOR "', ?1) ON CONFLICT (key) DO UPDATE SET value = "
		"excluded.value",
};
const struct sql_table chain_sql = { "change chain", sql, ARRAY_LEN(sql) };

static void hash(char dst[CHAIN_SIZE], const void *p, size_t n)
{
	uint8_t digest[SHA256_SIZE];

	seal_sha256(p, n, digest);
	str_hex(dst, digest, sizeof digest);
}

void chain_digest(char dst[CHAIN_SIZE], const char *object)
{
	if (object == NULL)
		dst[0] = '\0';
	else
		hash(dst, object, strlen(object));
}

/* With its length in front, so that no two rows are the same text. */
static void put(struct buf *b, const char *s)
{
	s = s != NULL ? s : "";
	buf_printf(b, "%zu:%s\n", strlen(s), s);
}

void chain_next(char dst[CHAIN_SIZE], const char *before, const struct change *c, const char *digest)
{
	struct buf b;

	buf_init(&b, ROW_MAX);
	put(&b, before);
	buf_printf(&b, "%" PRId64 " %" PRId64 " %" PRId64 "\n", c->seq, c->tx, c->time_ms);
	put(&b, c->tenant);
	put(&b, c->actor);
	put(&b, c->request_id);
	put(&b, c->kind);
	put(&b, c->op);
	put(&b, c->subject);
	put(&b, c->fields);
	put(&b, digest);
	hash(dst, b.data, b.len);
	buf_free(&b);
}

int chain_anchor(struct db *tx, const char *chain, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_SET_ANCHOR], e, bind_s(chain)), 0);
}

/* ---- verifying --------------------------------------------------------------------------------------------------- */

struct walk {
	struct chain_report *report;
	char before[CHAIN_SIZE]; /* of the row before; "" at the beginning, and behind rows that have none */
	bool begun;              /* a row with a hash was seen */
	int64_t expected;        /* number of the next row; 0: any */
};

static void broken(struct walk *w, int64_t seq, const char *why)
{
	w->report->broken_at = seq;
	(void)str_copy(w->report->why, sizeof w->report->why, why);
}

static void look(struct walk *w, const struct change *c, const char *digest, const char *chain)
{
	struct chain_report *r = w->report;
	char own[CHAIN_SIZE];

	r->rows++;
	r->first = r->first != 0 ? r->first : c->seq;
	r->last = c->seq;
	if (w->expected != 0 && c->seq != w->expected)
		broken(w, c->seq, "rows before it are missing");
	w->expected = c->seq + 1;
	if (*chain == '\0' && !w->begun) {
		r->unchained++;
		w->before[0] = '\0'; /* what was deleted before had none either */
		return;
	}
	w->begun = true;
	r->erased += c->object == NULL && *digest != '\0';
	chain_digest(own, c->object);
	if (c->object != NULL && !str_eq(own, digest))
		broken(w, c->seq, "its object is not what was written");
	chain_next(own, w->before, c, digest);
	if (r->broken_at == 0 && !str_eq(own, chain))
		broken(w, c->seq, "it was changed, or follows another row");
	(void)str_copy(w->before, sizeof w->before, chain);
	(void)str_copy(r->head, sizeof r->head, chain);
}

static int look_at_some(struct db *db, struct walk *w, unsigned *n, struct err *e)
{
	struct query *q;
	int rc;

	*n = 0;
	if (db_query(db, &q, sql[SQL_READ], e, bind_i(w->report->last), bind_i(AT_ONCE)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1 && w->report->broken_at == 0) {
		const struct change c = changes_row(q);

		++*n;
		look(w, &c, query_text(q, CHANGES_COLUMNS_N), query_text(q, CHANGES_COLUMNS_N + 1));
	}
	query_end(q);
	return MIN(rc, 0);
}

static int read_anchor(struct db *db, char dst[CHAIN_SIZE], struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_ANCHOR], e) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1)
		(void)str_copy(dst, CHAIN_SIZE, query_text(q, 0));
	query_end(q);
	return MIN(rc, 0);
}

int chain_verify(struct db *db, struct chain_report *out, struct err *e)
{
	struct walk w = { .report = out };
	unsigned n;

	memset(out, 0, sizeof *out);
	if (read_anchor(db, w.before, e) != 0)
		return -1;
	do {
		if (look_at_some(db, &w, &n, e) != 0)
			return -1;
	} while (n == AT_ONCE && out->broken_at == 0);
	return 0;
}
