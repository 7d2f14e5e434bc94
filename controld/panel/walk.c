#include "controld/panel/walk.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"
#include "common/base/err.h"
#include "common/base/str.h"

#include <stdlib.h>

#define ID_SIZE  9 /* kind, id */
#define IDS_MAX  (ID_SIZE * PANEL_OBJECTS_MAX)
#define OF_PANEL "job_id = ?1 AND panel = ?2"

enum { SQL_ALL, SQL_IDS, SQL_PUT, SQL_FORGET_LIST, SQL_FORGET };
static const char *const sql[] = {
	[SQL_ALL] =
		"SELECT list, parent_id, page, pages, total, listed, failed, failed_kinds, missing, denied, ids FROM "
		"panel_pages WHERE " OF_PANEL " ORDER BY list, parent_id, page",
	[SQL_IDS] = "SELECT ids FROM panel_pages WHERE " OF_PANEL,
	[SQL_PUT] = "INSERT INTO panel_pages (job_id, tenant_id, panel, list, parent_id, page, pages, total, listed, "
		    "failed, "
		    "failed_kinds, missing, denied, ids) VALUES (?1, '', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, "
		    "?12, ?13) "
		    "ON CONFLICT DO NOTHING",
	[SQL_FORGET_LIST] = "DELETE FROM panel_pages WHERE " OF_PANEL " AND list = ?3",
	[SQL_FORGET] = "DELETE FROM panel_pages WHERE job_id = ?1",
};
const struct sql_table walk_sql = { "walk", sql, ARRAY_LEN(sql) };

void walk_fini(struct walk *w)
{
	for (size_t i = 0; i < w->n; i++)
		mirror_ids_fini(&w->all[i].own);
	free(w->all);
	*w = (struct walk){ .n = 0 };
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

static const struct panel_list *list_of(const struct panel_driver *d, const char *name)
{
	for (size_t i = 0; i < d->n; i++)
		if (str_eq(d->lists[i].name, name))
			return &d->lists[i];
	return NULL;
}

/* The ids of one kind that a row has; *objects: how many of all. */
static int take_ids(
	struct query *q, int col, enum panel_kind kind, struct mirror_ids *out, size_t *objects, struct err *e)
{
	struct cursor c;
	size_t n;
	const void *p = query_blob(q, col, &n);

	*objects = n / ID_SIZE;
	cursor_init(&c, p, n);
	while (c.left >= ID_SIZE) {
		const uint8_t of = cursor_u8(&c);
		const int64_t id = (int64_t)cursor_u64(&c);

		if (of == kind && mirror_ids_add(out, id, e) != 0)
			return -1;
	}
	return 0;
}

static struct walk_page *add(struct walk *w)
{
	if (w->n == w->room) {
		const size_t room = w->room > 0 ? 2 * w->room : 256;
		struct walk_page *all = reallocarray(w->all, room, sizeof *all);

		if (all == NULL)
			return NULL;
		w->all = all;
		w->room = room;
	}
	w->all[w->n] = (struct walk_page){ .list = NULL };
	return &w->all[w->n++];
}

static int load(struct walk *w, const struct panel_list *l, struct query *q, struct err *e)
{
	struct walk_page *p = add(w);

	if (p == NULL)
		return err_set(e, ERR_NOMEM, NULL, "panel: out of memory");
	p->list = l;
	p->parent_id = query_int(q, 1);
	p->number = query_int(q, 2);
	p->pages = query_int(q, 3);
	p->total = query_int(q, 4);
	p->listed = query_int(q, 5);
	p->failed = query_int(q, 6);
	p->failed_kinds = (unsigned)query_int(q, 7);
	p->missing = (unsigned)query_int(q, 8);
	p->denied = (unsigned)query_int(q, 9);
	return take_ids(q, 10, l->kind, &p->own, &p->objects, e);
}

static int compare_key(const struct walk_page *p, const struct panel_list *l, int64_t parent_id, int64_t number)
{
	if (p->list != l)
		return p->list < l ? -1 : 1;
	if (p->parent_id != parent_id)
		return p->parent_id < parent_id ? -1 : 1;
	return p->number < number ? -1 : p->number > number;
}

static int compare(const void *a, const void *b)
{
	const struct walk_page *x = a, *y = b;

	return compare_key(x, y->list, y->parent_id, y->number);
}

int walk_load(struct db *db, const struct walk_key *k, const struct panel_driver *d, struct walk *out, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_ALL], e, bind_s(k->job_id), bind_s(k->panel)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		const struct panel_list *l = list_of(d, query_text(q, 0));

		if (l != NULL && load(out, l, q, e) != 0) {
			rc = -1;
			break;
		}
	}
	query_end(q);
	if (out->n > 0)
		qsort(out->all, out->n, sizeof out->all[0], compare);
	return rc;
}

const struct walk_page *walk_find(const struct walk *w, const struct panel_list *l, int64_t parent_id, int64_t number)
{
	size_t from = 0, to = w->n;

	while (from < to) {
		const size_t mid = from + (to - from) / 2;
		const int c = compare_key(&w->all[mid], l, parent_id, number);

		if (c == 0)
			return &w->all[mid];
		if (c < 0)
			from = mid + 1;
		else
			to = mid;
	}
	return NULL;
}

int walk_seen(struct db *db, const struct walk_key *k, enum panel_kind kind, struct mirror_ids *out, struct err *e)
{
	struct query *q;
	size_t objects;
	int rc;

	if (db_query(db, &q, sql[SQL_IDS], e, bind_s(k->job_id), bind_s(k->panel)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1)
		if ((rc = take_ids(q, 0, kind, out, &objects, e)) != 0)
			break;
	query_end(q);
	mirror_ids_sort(out);
	return rc;
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

void walk_page_of(struct walk_page *out, const struct panel_list *l, int64_t parent_id, int64_t number,
	const struct panel_page *page)
{
	*out = (struct walk_page){
		.list = l,
		.parent_id = parent_id,
		.number = number,
		.pages = page->pages,
		.total = page->total,
		.listed = (int64_t)page->listed,
		.failed = (int64_t)page->failed,
		.failed_kinds = page->failed_kinds,
		.missing = page->missing,
		.denied = page->denied,
		.objects = page->n,
	};
}

int walk_put(struct db *tx, const struct walk_key *k, const struct walk_page *p, const struct panel_page *page,
	struct err *e)
{
	struct buf ids;
	int rc;

	buf_init(&ids, IDS_MAX);
	for (size_t i = 0; i < page->n; i++) {
		buf_u8(&ids, (uint8_t)page->all[i].kind);
		buf_u64(&ids, (uint64_t)page->all[i].id);
	}
	if (ids.failed)
		rc = err_set(e, ERR_NOMEM, NULL, "panel: out of memory");
	else
		rc = db_exec(tx, sql[SQL_PUT], e, bind_s(k->job_id), bind_s(k->panel), bind_s(p->list->name),
			bind_i(p->parent_id), bind_i(p->number), bind_i(p->pages), bind_i(p->total), bind_i(p->listed),
			bind_i(p->failed), bind_i(p->failed_kinds), bind_i(p->missing), bind_i(p->denied),
			bind_b(ids.data != NULL ? ids.data : (const uint8_t *)"", ids.len));
	buf_free(&ids);
	return MIN(rc, 0);
}

int walk_forget_list(struct db *tx, const struct walk_key *k, const char *list, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_FORGET_LIST], e, bind_s(k->job_id), bind_s(k->panel), bind_s(list)), 0);
}

int walk_forget(struct db *tx, const char *job_id, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_FORGET], e, bind_s(job_id)), 0);
}
