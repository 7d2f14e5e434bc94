#include "common/base/clock.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "controld/clients/anonymous.h"
#include "controld/clients/client.h"
#include "controld/identity/identity.h"
#include "controld/tunnels/api.h"
#include "controld/tunnels/mapping.h"
#include "controld/tunnels/mapping_reply.h"

/* Lists of mappings: of the tenant, of a client, of a client about itself, of all that are anonymous. */

#define JSON_TYPE      "application/json; charset=utf-8"
#define LIST_BYTES_MAX (32u << 20)
#define ITEM_BYTES     1800         /* of most mappings: room is made for a page of them at once, */
#define ROOM_MAX       (256u << 10) /* up to here */
#define STATUS_ROWS    2000         /* looked at for one page when the list is filtered by what relays say */

struct page_of_mappings {
	struct tunnels *t;
	const char *tenant_id;
	const char *status; /* wanted; NULL: any */
	int64_t client_id;  /* that serves them; 0: any */
	int64_t end_id;     /* that is at one of their ends; 0: any */
	int64_t now_ms;
	unsigned room; /* items that still fit */
	unsigned rows; /* looked at */
	char last[PROTO_ID_SIZE];
	bool more;
	struct buf *items; /* the answer's body */
};

static int add_to_page(const struct mapping *m, const struct traffic *traffic, void *arg)
{
	struct page_of_mappings *p = arg;
	struct mapping_live live;

	if (p->room == 0) {
		p->more = true;
		return 1;
	}
	p->rows++;
	str_copy(p->last, sizeof p->last, m->id);
	mapping_find_status(p->t, m, p->now_ms, &live);
	if (p->status == NULL || str_eq(p->status, live.status)) {
		live.traffic = *traffic;
		mapping_print(p->items, NULL, m, &live);
		p->room--;
	}
	json_decref(live.error);
	return 0;
}

static const char *query_or_none(const struct request *rq, const char *name)
{
	const char *s = request_query(rq, name);

	return s != NULL ? s : "";
}

static int read_page(struct page_of_mappings *p, struct request *rq, const struct page *page, struct err *e)
{
	const struct mapping_filter f = { .tenant_id = p->tenant_id,
		.user_id = query_or_none(rq, "user_id"),
		.protocol = query_or_none(rq, "protocol"),
		.group = query_or_none(rq, "group"),
		.node = query_or_none(rq, "node"),
		.client_id = p->client_id,
		.end_id = p->end_id,
		.search = query_or_none(rq, "q"),
		.after = page->after,
		.limit = p->status != NULL ? STATUS_ROWS : page->limit + 1 };
	struct db *db;
	int rc;

	if (store_read_begin(p->t->store, &db, e) != 0)
		return -1;
	rc = mapping_list(db, &f, add_to_page, p, e);
	store_read_end(db);
	p->more |= p->rows == f.limit;
	return rc;
}

static int list(struct page_of_mappings *p, struct request *rq, struct reply *rp, struct err *e)
{
	struct page page;
	int rc;

	if (request_page(rq, &page, e) != 0)
		return -1;
	p->room = page.limit;
	p->items = reply_open(rp, 200, JSON_TYPE);
	(void)buf_reserve(p->items, MIN(page.limit * ITEM_BYTES, ROOM_MAX));
	jsonw_object(p->items, NULL);
	jsonw_array(p->items, "items");
	rc = read_page(p, rq, &page, e);
	jsonw_end_array(p->items);
	jsonw_str(p->items, "next_cursor", p->more ? p->last : NULL);
	jsonw_end_object(p->items);
	if (rc == 0 && p->items->len > LIST_BYTES_MAX)
		rc = err_set(
			e, ERR_VALIDATION, "limit", "the page is larger than %u bytes; ask for fewer", LIST_BYTES_MAX);
	return rc;
}

static struct page_of_mappings page_begin(void *feature, const struct request *rq)
{
	return (struct page_of_mappings){ .t = feature,
		.tenant_id = request_identity(rq)->tenant_id,
		.status = request_query(rq, "status"),
		.now_ms = clock_wall_ms() };
}

int mapping_api_list(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct page_of_mappings p = page_begin(feature, rq);
	const char *client = request_query(rq, "target_client_id");

	if (client != NULL && client_id_parse(client, &p.client_id) != 0)
		return err_set(e, ERR_VALIDATION, "target_client_id", "target_client_id: '%s' is no client's", client);
	return list(&p, rq, rp, e);
}

int mapping_api_of_client(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct page_of_mappings p = page_begin(feature, rq);

	return tunnels_client_of(feature, rq, &p.end_id, e) != 0 ? -1 : list(&p, rq, rp, e);
}

int mapping_api_own(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct page_of_mappings p = page_begin(feature, rq);

	p.end_id = identity_client(request_identity(rq));
	return list(&p, rq, rp, e);
}

int mapping_api_anonymous(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct page_of_mappings p = page_begin(feature, rq);

	p.tenant_id = ANONYMOUS_TENANT;
	return list(&p, rq, rp, e);
}
