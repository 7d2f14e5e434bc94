#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "controld/identity/identity.h"
#include "controld/store/search.h"
#include "controld/tunnels/api.h"

struct page_of_hits {
	struct buf *items;
	unsigned room;
	bool more;
	struct search_place last;
};

static int on_hit(const struct search_hit *hit, void *arg)
{
	struct page_of_hits *p = arg;

	if (p->room == 0) {
		p->more = true;
		return 1;
	}
	p->room--;
	p->last = hit->place;
	jsonw_object(p->items, NULL);
	jsonw_str(p->items, "type", hit->kind);
	jsonw_str(p->items, "id", hit->id);
	jsonw_str(p->items, "name", hit->title);
	jsonw_bool(p->items, "exact", hit->exact);
	jsonw_end_object(p->items);
	return 0;
}

/* Accounts are for administrators to look for. */
static const char *hidden(const struct identity *who)
{
	return who->system_admin || who->role >= ROLE_ADMIN ? "" : "user";
}

int search_api(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct tunnels *t = feature;
	const struct identity *who = request_identity(rq);
	const char *type = request_query(rq, "type"), *text = request_query(rq, "q");
	struct search_query q = {
		.tenant_id = who->tenant_id, .kind = type != NULL ? type : "", .without = hidden(who)
	};
	struct page_of_hits p = { .more = false };
	char cursor[SEARCH_PLACE_SIZE] = "";
	struct page page;
	struct db *db;
	int rc;

	if (request_page(rq, &page, e) != 0)
		return -1;
	if (page.after[0] != '\0' && search_place_parse(&q.after, page.after) != 0)
		return err_set(e, ERR_VALIDATION, "cursor", "cursor: '%s' is not one of ours", page.after);
	q.text = text != NULL ? text : "";
	q.limit = page.limit + 1;
	p.room = page.limit;
	if (store_read_begin(t->store, &db, e) != 0)
		return -1;
	p.items = reply_open(rp, 200, "application/json; charset=utf-8");
	jsonw_object(p.items, NULL);
	jsonw_array(p.items, "items");
	rc = search_find(db, &q, on_hit, &p, e);
	store_read_end(db);
	jsonw_end_array(p.items);
	if (p.more)
		search_place_print(cursor, &p.last);
	jsonw_str_or_null(p.items, "next_cursor", cursor);
	jsonw_end_object(p.items);
	return rc;
}

static const char *const types[] = { "user", "client", "mapping", "pool", "backend", "route", NULL };
static const struct schema_field query_fields[] = {
	{ .name = "q",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_REQUIRED,
		.min = 1,
		.max = 200,
		.help = "beginnings of words; an object has all of them" },
	{ .name = "type", .type = SCHEMA_STRING, .choices = types, .help = "objects of this type only" },
	{ .name = "limit", .type = SCHEMA_INT, .min = 1, .max = 200, .help = "items in one answer; default 50" },
	{ .name = "cursor",
		.type = SCHEMA_STRING,
		.max = SEARCH_PLACE_SIZE - 1,
		.help = "next_cursor of the answer before" },
};
const struct schema search_query_schema = { NULL, query_fields, ARRAY_LEN(query_fields), false };
