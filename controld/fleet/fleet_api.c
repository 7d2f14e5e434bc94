#include "controld/fleet/fleet_api.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/identity/identity.h"

#include <inttypes.h>
#include <string.h>

struct who fleet_api_who(const struct request *rq)
{
	const struct identity *id = request_identity(rq);

	return (struct who){ id == NULL ? "" : id->actor, request_id(rq), clock_wall_ms() };
}

int fleet_api_match(const struct request *rq, int64_t version, struct err *e)
{
	char etag[32];

	str_fmt(etag, sizeof etag, "v%" PRId64, version);
	return request_if_match(rq, etag, e);
}

const char *fleet_api_string(const struct request *rq, const char *member, const char *before)
{
	const char *s = json_string_value(json_object_get(request_body(rq), member));

	return s == NULL ? before : s;
}

const char *fleet_api_query(const struct request *rq, const char *name)
{
	const char *s = request_query(rq, name);

	return s == NULL ? "" : s;
}

int fleet_api_list_add(struct fleet_api_list *l, const char *id, json_t *item)
{
	if (json_array_size(l->items) == l->limit) {
		json_decref(item);
		l->more = true;
		return 1;
	}
	l->rows++;
	str_copy(l->last, sizeof l->last, id);
	return item == NULL ? 0 : json_array_append_new(l->items, item);
}

int fleet_api_list(struct fleet_api *api, struct request *rq, struct reply *rp, fleet_api_read_fn read, struct err *e)
{
	struct fleet_api_list l = { .api = api, .rq = rq };
	struct page page;
	struct db *db;
	int rc;

	if (request_page(rq, &page, e) != 0 || store_read_begin(api->store, &db, e) != 0)
		return -1;
	l.items = json_array();
	l.after = page.after;
	l.limit = page.limit;
	l.rows_max = page.limit + 1;
	rc = read(db, &l, e);
	store_read_end(db);
	if (rc != 0) {
		json_decref(l.items);
		return -1;
	}
	reply_list(rp, l.items, l.more || l.rows == l.rows_max ? l.last : NULL);
	return 0;
}
