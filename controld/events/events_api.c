/* GET /api/v1/events: who listens to what, and from where on. */
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/events/event.h"
#include "controld/events/hub.h"
#include "controld/store/store.h"

#include <string.h>

static const char *given(const struct request *rq, const char *name)
{
	const char *v = request_query(rq, name);

	return v != NULL ? v : "";
}

/* An administrator of the system hears of every tenant, unless he names one. */
static int take_filter(struct event_filter *f, const struct request *rq, struct err *e)
{
	f->who = *request_identity(rq);
	(void)str_copy(
		f->tenant_id, sizeof f->tenant_id, f->who.system_admin ? given(rq, "tenant_id") : f->who.tenant_id);
	if (str_copy(f->kinds, sizeof f->kinds, given(rq, "kinds")) == 0)
		return 0;
	return err_set(e, ERR_VALIDATION, "kinds", "kinds: too many");
}

/* Where he was, and whether everything since is still kept. */
static int find_start(struct hub_start *s, struct db *db, const char *last_id, struct err *e)
{
	int64_t last, first, asked = 0;
	int rc;

	if (changes_last(db, &last, s->log_id, e) != 0 || changes_first(db, &first, e) != 0)
		return -1;
	s->seq = last;
	if (last_id == NULL || *last_id == '\0')
		return 0;
	rc = event_id_parse(last_id, s->log_id, &asked);
	if (rc < 0) {
		err_set(e, ERR_VALIDATION, "last_event_id", "last_event_id: '%s' is no id of an event", last_id);
		return err_detail(e, "format", last_id);
	}
	if (rc > 0 || asked > last) {
		s->gap = "another_log";
		return 0;
	}
	s->gap = first > asked + 1 ? "too_old" : NULL;
	s->seq = s->gap != NULL ? first - 1 : asked;
	return 0;
}

static int on_events(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	const char *last_id = request_header(rq, "Last-Event-ID");
	struct hub_start start = { .authorization = request_header(rq, "Authorization"),
		.api_key = request_header(rq, "X-API-Key") };
	struct hub *h = feature;
	struct db *db;
	int rc;

	if (last_id == NULL)
		last_id = request_query(rq, "last_event_id");
	if (start.api_key == NULL)
		start.api_key = request_query(rq, "api_key");
	if (take_filter(&start.filter, rq, e) != 0 || store_read_begin(hub_store(h), &db, e) != 0)
		return -1;
	rc = find_start(&start, db, last_id, e);
	store_read_end(db);
	return rc == 0 ? hub_subscribe(h, &start, rp, e) : -1;
}

static const struct schema_field query_fields[] = {
	{ .name = "kinds",
		.type = SCHEMA_STRING,
		.max = EVENTS_KINDS_SIZE - 1,
		.help = "of objects, by comma: mapping,client; without it all that you may see" },
	{ .name = "last_event_id",
		.type = SCHEMA_STRING,
		.max = EVENTS_ID_SIZE - 1,
		.help = "as the header Last-Event-ID: go on behind this event; without it from now on" },
	{ .name = "tenant_id", .type = SCHEMA_STRING, .max = 39, .help = "system administrators only" },
};
static const struct schema query_schema = { NULL, query_fields, ARRAY_LEN(query_fields), false };

static const struct route rows[] = {
	{ "GET", "/api/v1/events", PERM_READ, LANE_DB, &query_schema, NULL, NULL, 200, ROUTE_STREAM, on_events,
		"Changes as they happen (text/event-stream): events change, log_gap, ready, closed", "events" },
};

struct route_table hub_routes(struct hub *h)
{
	return (struct route_table){ rows, ARRAY_LEN(rows), h };
}
