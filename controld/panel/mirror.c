#include "controld/panel/mirror.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define KEY "tenant_id = '' AND panel = ?1 AND kind = ?2"

/* Servers by what one of their columns names: its number, its name, how many, how many of these are active. */
#define SERVERS_BY(kind, column)                                                                            \
	"SELECT s.panel, s." column ", coalesce(o.name, ''), count(*), CAST(sum(s.active) AS BIGINT) FROM " \
	"panel_objects s LEFT JOIN panel_objects o ON o.tenant_id = s.tenant_id AND o.panel = s.panel AND " \
	"o.kind = '" kind "' AND o.id = s." column " WHERE s.kind = 'server' AND s.removed_ms = 0 AND "     \
	"s." column " <> 0 GROUP BY s.panel, s." column ", o.name ORDER BY 4 DESC, 1, 2 LIMIT ?1"

enum {
	SQL_PUT,
	SQL_LIVE,
	SQL_REMOVE,
	SQL_RETIRE,
	SQL_PRUNE,
	SQL_LIST,
	SQL_COUNT,
	SQL_OWNERS,
	SQL_BY_NODE,
	SQL_BY_USER
};
static const char *const sql[] = {
	[SQL_PUT] =
		"INSERT INTO panel_objects (tenant_id, panel, kind, id, uuid, name, parent_id, owner_id, active, body, "
		"made_ms, changed_ms, removed_ms, sync_seq) VALUES ('', ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10, "
		"0, "
		"?11) "
		"ON CONFLICT (tenant_id, panel, kind, id) DO UPDATE SET uuid = excluded.uuid, name = excluded.name, "
		"parent_id = excluded.parent_id, owner_id = excluded.owner_id, active = excluded.active, "
		"body = excluded.body, changed_ms = excluded.changed_ms, removed_ms = 0, sync_seq = excluded.sync_seq "
		"WHERE panel_objects.body <> excluded.body OR panel_objects.parent_id <> excluded.parent_id OR "
		"panel_objects.removed_ms <> 0 RETURNING id",
	[SQL_LIVE] = "SELECT id FROM panel_objects WHERE " KEY " AND removed_ms = 0 AND sync_seq <= ?3 ORDER BY id",
	[SQL_REMOVE] = "UPDATE panel_objects SET removed_ms = ?4, changed_ms = ?4 WHERE " KEY
		       " AND id = ?3 AND removed_ms = 0 AND sync_seq <= ?5 RETURNING id",
	[SQL_RETIRE] = "UPDATE panel_objects SET removed_ms = ?1, changed_ms = ?1 WHERE removed_ms = 0 AND panel <> ?2 "
		       "AND panel <> ?3",
	[SQL_PRUNE] =
		"DELETE FROM panel_objects WHERE (tenant_id, panel, kind, id) IN (SELECT tenant_id, panel, kind, id "
		"FROM panel_objects WHERE removed_ms > 0 AND removed_ms < ?1 LIMIT ?2)",
	[SQL_LIST] =
		"SELECT panel, id, body, made_ms, changed_ms, removed_ms FROM panel_objects WHERE tenant_id = '' AND "
		"kind = ?1 AND (?2 = '' OR panel = ?2) AND (?3 = '' OR lower(name) LIKE ?3 ESCAPE '\\') AND "
		"(parent_id = ?4 OR ?4 = 0) AND (owner_id = ?5 OR ?5 = 0) AND (removed_ms <> 0) = (?6 <> 0) AND "
		"(panel > ?7 OR (panel = ?7 AND id > ?8)) ORDER BY panel, id LIMIT ?9",
	[SQL_COUNT] =
		"SELECT kind, count(*), CAST(sum(active) AS BIGINT) FROM panel_objects WHERE removed_ms = 0 GROUP BY "
		"kind",
	[SQL_OWNERS] =
		"SELECT count(DISTINCT owner_id) FROM panel_objects WHERE removed_ms = 0 AND kind = 'server' AND "
		"owner_id <> 0",
	[SQL_BY_NODE] = SERVERS_BY("node", "parent_id"),
	[SQL_BY_USER] = SERVERS_BY("user", "owner_id"),
};
const struct sql_table mirror_sql = { "mirror", sql, ARRAY_LEN(sql) };

/* ---- writing ------------------------------------------------------------------------------------------------------ */

#define PUT_WIDTH 11

static int count_row(void *arg, size_t i, struct query *q, struct err *e)
{
	(void)i, (void)q, (void)e;
	++*(size_t *)arg;
	return 0;
}

static void bind_object(struct bind *b, const struct mirror_writer *w, const struct panel_object *o, const char *body)
{
	const struct bind all[PUT_WIDTH] = { bind_s(w->panel), bind_s(panel_kind_name(o->kind)), bind_i(o->id),
		bind_s(o->uuid), bind_s(o->name), bind_i(o->parent_id), bind_i(o->owner_id), bind_i(o->active),
		bind_s(body), bind_i(w->now_ms), bind_i(w->sync_seq) };

	memcpy(b, all, sizeof all);
}

int mirror_put(
	struct db *tx, const struct mirror_writer *w, const struct panel_page *page, size_t *written, struct err *e)
{
	struct bind *values = calloc(page->n + 1, PUT_WIDTH * sizeof *values);
	char **bodies = calloc(page->n + 1, sizeof *bodies);
	struct db_each put = { .sql = sql[SQL_PUT],
		.values = values,
		.width = PUT_WIDTH,
		.n = page->n,
		.row = count_row,
		.arg = written };
	int rc = values != NULL && bodies != NULL ? 0 : err_set(e, ERR_NOMEM, NULL, "panel: out of memory");

	*written = 0;
	for (size_t i = 0; rc == 0 && i < page->n; i++) {
		if ((bodies[i] = json_dumps(page->all[i].body, JSON_COMPACT)) == NULL)
			rc = err_set(e, ERR_NOMEM, NULL, "panel: out of memory");
		else
			bind_object(values + i * PUT_WIDTH, w, &page->all[i], bodies[i]);
	}
	if (rc == 0 && page->n > 0)
		rc = db_each(tx, &put, e);
	for (size_t i = 0; bodies != NULL && i < page->n; i++)
		free(bodies[i]);
	free(bodies);
	free(values);
	return rc;
}

/* ---- what is gone --------------------------------------------------------------------------------------------------- */

void mirror_ids_fini(struct mirror_ids *ids)
{
	free(ids->all);
	*ids = (struct mirror_ids){ .n = 0 };
}

int mirror_ids_add(struct mirror_ids *ids, int64_t id, struct err *e)
{
	if (ids->n == ids->room) {
		const size_t room = ids->room > 0 ? 2 * ids->room : 256;
		int64_t *all = reallocarray(ids->all, room, sizeof *all);

		if (all == NULL)
			return err_set(e, ERR_NOMEM, NULL, "panel: out of memory");
		ids->all = all;
		ids->room = room;
	}
	ids->all[ids->n++] = id;
	return 0;
}

static int compare(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

void mirror_ids_sort(struct mirror_ids *ids)
{
	size_t n = 0;

	if (ids->n == 0)
		return;
	qsort(ids->all, ids->n, sizeof ids->all[0], compare);
	for (size_t i = 1; i < ids->n; i++)
		if (ids->all[i] != ids->all[n])
			ids->all[++n] = ids->all[i];
	ids->n = n + 1;
}

int mirror_live(
	struct db *db, const char *panel, enum panel_kind kind, int64_t sync_seq, struct mirror_ids *out, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_LIVE], e, bind_s(panel), bind_s(panel_kind_name(kind)), bind_i(sync_seq)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1)
		if ((rc = mirror_ids_add(out, query_int(q, 0), e)) != 0)
			break;
	query_end(q);
	return rc;
}

#define REMOVE_WIDTH 5

int mirror_remove(struct db *tx, const struct mirror_removal *r, size_t *removed, struct err *e)
{
	struct bind *values = calloc(r->n + 1, REMOVE_WIDTH * sizeof *values);
	const struct db_each each = { .sql = sql[SQL_REMOVE],
		.values = values,
		.width = REMOVE_WIDTH,
		.n = r->n,
		.row = count_row,
		.arg = removed };
	int rc;

	*removed = 0;
	if (values == NULL)
		return err_set(e, ERR_NOMEM, NULL, "panel: out of memory");
	for (size_t i = 0; i < r->n; i++) {
		const struct bind all[REMOVE_WIDTH] = { bind_s(r->panel), bind_s(panel_kind_name(r->kind)),
			bind_i(r->ids[i]), bind_i(r->now_ms), bind_i(r->sync_seq) };

		memcpy(values + i * REMOVE_WIDTH, all, sizeof all);
	}
	rc = r->n > 0 ? db_each(tx, &each, e) : 0;
	free(values);
	return rc;
}

int mirror_retire(struct db *tx, const char *panel, const char *other, int64_t now_ms, size_t *removed, struct err *e)
{
	const int rc = db_exec(tx, sql[SQL_RETIRE], e, bind_i(now_ms), bind_s(panel), bind_s(other));

	*removed = rc > 0 ? (size_t)rc : 0;
	return MIN(rc, 0);
}

int mirror_prune(struct db *tx, int64_t before_ms, unsigned limit, unsigned *n, struct err *e)
{
	const int rc = db_exec(tx, sql[SQL_PRUNE], e, bind_i(before_ms), bind_i(limit));

	*n = rc > 0 ? (unsigned)rc : 0;
	return MIN(rc, 0);
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

/* %text%, with what LIKE would take for more than itself escaped. */
static void pattern_of(char *dst, size_t size, const char *text)
{
	size_t n = 0;

	dst[n++] = '%';
	for (; *text != '\0' && n + 4 < size; text++) {
		if (strchr("%_\\", *text) != NULL)
			dst[n++] = '\\';
		dst[n++] = (char)tolower((unsigned char)*text);
	}
	dst[n++] = '%';
	dst[n] = '\0';
}

/* The body is an object that has at least its id: what is ours comes before it. */
static void print_row(struct buf *b, struct query *q)
{
	const char *body = query_text(q, 2);

	jsonw_object(b, NULL);
	jsonw_str(b, "panel", query_text(q, 0));
	jsonw_time(b, "first_seen_at", query_int(q, 3));
	jsonw_time(b, "changed_at", query_int(q, 4));
	jsonw_time(b, "removed_at", query_int(q, 5));
	buf_printf(b, ",%s", body + 1);
}

int mirror_print(struct db *db, const struct mirror_filter *f, struct buf *out, char last[MIRROR_CURSOR_SIZE],
	bool *more, struct err *e)
{
	char pattern[2 * PANEL_NAME_MAX + 8] = "";
	unsigned n = 0;
	struct query *q;
	int rc;

	last[0] = '\0';
	*more = false;
	if (*f->text != '\0')
		pattern_of(pattern, sizeof pattern, f->text);
	if (db_query(db, &q, sql[SQL_LIST], e, bind_s(panel_kind_name(f->kind)), bind_s(f->panel), bind_s(pattern),
		    bind_i(f->parent_id), bind_i(f->owner_id), bind_i(f->removed), bind_s(f->after_panel),
		    bind_i(f->after_id), bind_i((int64_t)f->limit + 1)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		if (n++ == f->limit) {
			*more = true;
			rc = 0;
			break;
		}
		(void)str_fmt(last, MIRROR_CURSOR_SIZE, "%s.%" PRId64, query_text(q, 0), query_int(q, 1));
		print_row(out, q);
	}
	query_end(q);
	return rc;
}

static int kind_of(const char *name)
{
	for (int k = 0; k < PANEL_KINDS; k++)
		if (str_eq(panel_kind_name((enum panel_kind)k), name))
			return k;
	return -1;
}

int mirror_count(struct db *db, struct mirror_counts *out, struct err *e)
{
	struct query *q;
	int rc;

	*out = (struct mirror_counts){ .owners = 0 };
	if (db_query(db, &q, sql[SQL_COUNT], e) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		const int k = kind_of(query_text(q, 0));

		if (k < 0)
			continue;
		out->total[k] = query_int(q, 1);
		out->active[k] = query_int(q, 2);
	}
	query_end(q);
	if (rc != 0 || db_query(db, &q, sql[SQL_OWNERS], e) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1)
		out->owners = query_int(q, 0);
	query_end(q);
	return MIN(rc, 0);
}

int mirror_print_servers_by(struct db *db, enum mirror_by by, unsigned limit, struct buf *out, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[by == MIRROR_BY_NODE ? SQL_BY_NODE : SQL_BY_USER], e, bind_i(limit)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		jsonw_object(out, NULL);
		jsonw_str(out, "panel", query_text(q, 0));
		jsonw_int(out, "id", query_int(q, 1));
		jsonw_str_or_null(out, "name", query_text(q, 2));
		jsonw_int(out, "servers", query_int(q, 3));
		jsonw_int(out, "activeServers", query_int(q, 4));
		jsonw_end_object(out);
	}
	query_end(q);
	return rc;
}
