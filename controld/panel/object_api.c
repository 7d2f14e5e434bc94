/* What panels have, as the API shows it. */
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "controld/panel/room.h"

#include <string.h>

#define JSON_TYPE "application/json; charset=utf-8"

static int64_t id_of(const struct request *rq, const char *name)
{
	const char *text = request_query(rq, name);
	int64_t id;

	return text != NULL && str_to_i64(text, 1, INT64_MAX, &id) == 0 ? id : 0;
}

static const char *text_of(const struct request *rq, const char *name)
{
	const char *text = request_query(rq, name);

	return text != NULL ? text : "";
}

/* "pterodactyl.17" */
static int read_cursor(const char *cursor, char panel[MIRROR_CURSOR_SIZE], struct mirror_filter *f, struct err *e)
{
	const char *dot = strrchr(cursor, '.');

	panel[0] = '\0';
	if (*cursor == '\0')
		return 0;
	if (dot == NULL || str_fmt(panel, MIRROR_CURSOR_SIZE, "%.*s", (int)(dot - cursor), cursor) != 0 ||
		str_to_i64(dot + 1, 0, INT64_MAX, &f->after_id) != 0)
		return err_set(e, ERR_VALIDATION, "cursor", "cursor: is not one that a list has given");
	return 0;
}

int object_api_list(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct panels *p = feature;
	const char *kind = request_param(rq, "kind"), *removed = request_query(rq, "removed");
	char panel[MIRROR_CURSOR_SIZE], last[MIRROR_CURSOR_SIZE];
	struct mirror_filter f = { .panel = text_of(rq, "panel"),
		.text = text_of(rq, "q"),
		.parent_id = id_of(rq, "parent_id"),
		.owner_id = id_of(rq, "user_id"),
		.after_panel = panel };
	struct page page;
	struct buf *b;
	struct db *db;
	bool more;
	int rc;

	if (panel_kind_parse(kind, &f.kind) != 0)
		return err_set(e, ERR_NOT_FOUND, NULL,
			"there are no '%.40s'; there are locations, nodes, allocations, nests, eggs, servers, users, "
			"databases",
			kind);
	if (request_page(rq, &page, e) != 0 || read_cursor(page.after, panel, &f, e) != 0 ||
		store_read_begin(p->conf.store, &db, e) != 0)
		return -1;
	f.limit = page.limit;
	if (removed != NULL && str_to_bool(removed, &f.removed) != 0)
		f.removed = false;
	b = reply_open(rp, 200, JSON_TYPE);
	jsonw_object(b, NULL);
	jsonw_array(b, "items");
	rc = mirror_print(db, &f, b, last, &more, e);
	store_read_end(db);
	jsonw_end_array(b);
	jsonw_str(b, "next_cursor", more ? last : NULL);
	jsonw_end_object(b);
	return rc;
}
