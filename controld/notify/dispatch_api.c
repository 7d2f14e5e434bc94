/* An event that somebody sends by hand: a row of the change log, and what follows from it. */
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "controld/events/event.h"
#include "controld/identity/identity.h"
#include "controld/notify/room.h"
#include "controld/notify/topic.h"
#include "controld/store/changes.h"

#include <stdlib.h>
#include <string.h>

#define JSON_TYPE "application/json; charset=utf-8"

struct sending {
	const struct request *rq;
	const char *event;
	char *data;
	int64_t seq;
	uint8_t log_id[CHANGES_LOG_ID_SIZE];
};

static int work_send(struct db *tx, void *arg, struct err *e)
{
	struct sending *s = arg;
	const struct identity *who = request_identity(s->rq);
	const struct change c = { .time_ms = clock_wall_ms(),
		.tenant = who->tenant_id,
		.actor = who->actor,
		.request_id = request_id(s->rq),
		.kind = TOPIC_EVENT_KIND,
		.op = TOPIC_EVENT_OP,
		.subject = s->event,
		.object = s->data };
	int64_t last;

	return changes_append(tx, &c, &s->seq, e) != 0 ? -1 : changes_last(tx, &last, s->log_id, e);
}

static void reply_sent(struct reply *rp, const struct sending *s)
{
	struct buf *b = reply_open(rp, 202, JSON_TYPE);
	char id[EVENTS_ID_SIZE];

	event_id_print(id, s->log_id, s->seq);
	jsonw_object(b, NULL);
	jsonw_bool(b, "success", true);
	jsonw_object(b, "data");
	jsonw_str(b, "event_id", id);
	jsonw_str(b, "event", s->event);
	jsonw_str(b, "status", "QUEUED");
	jsonw_end_object(b);
	jsonw_str(b, "message", "Webhook dispatch has been queued");
	jsonw_end_object(b);
}

/* The platform's own webhooks hear of it as well: what only the platform tells of, a tenant cannot say in its place. */
static int check_event(const struct request *rq, const char *event, struct err *e)
{
	char kind[TOPIC_SIZE];

	if (!topic_is_name(event)) {
		err_set(e, ERR_VALIDATION, "event", "event: must be kind.verb, such as sync.completed");
		return err_detail(e, "format", event);
	}
	(void)str_fmt(kind, sizeof kind, "%.*s", (int)strcspn(event, "."), event);
	if (event_needs(kind) == PERM_SYSTEM && !identity_allows(request_identity(rq), PERM_SYSTEM))
		return err_set(e, ERR_FORBIDDEN, "event", "event: those of %s are the platform's", kind);
	return 0;
}

static int api_dispatch(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct notify *n = feature;
	const json_t *data = json_object_get(request_body(rq), "data");
	struct sending s = { .rq = rq, .event = json_string_value(json_object_get(request_body(rq), "event")) };
	int rc = -1;

	if (check_event(rq, s.event, e) != 0)
		return -1;
	if (data != NULL && !json_is_object(data))
		return err_set(e, ERR_VALIDATION, "data", "data: must be an object");
	if ((s.data = data != NULL ? json_dumps(data, JSON_COMPACT) : strdup("{}")) == NULL)
		return err_set(e, ERR_NOMEM, NULL, "event: out of memory");
	if (strlen(s.data) > CHANGES_OBJECT_MAX)
		err_set(e, ERR_TOO_LARGE, "data", "data: longer than %d bytes", CHANGES_OBJECT_MAX);
	else if ((rc = store_write(n->conf.store, STORE_LOGGED, work_send, &s, e)) == 0)
		reply_sent(rp, &s);
	free(s.data);
	return rc;
}

static const struct schema_field fields[] = {
	{ .name = "event",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_REQUIRED,
		.min = 3,
		.max = TOPIC_SIZE - 1,
		.help = "kind.verb, such as sync.completed" },
	{ .name = "data", .type = SCHEMA_ANY, .help = "an object, sent as it is" },
};
static const struct schema schema = { "WebhookDispatch", fields, ARRAY_LEN(fields), false };

const struct route dispatch_rows[] = {
	{ "POST", "/api/v1/webhook/dispatch", PERM_TENANT_ADMIN, LANE_DB, NULL, &schema, NULL, 202, 0, api_dispatch,
		"Send an event to the tenant's webhooks that want it, and to the platform's", "Webhooks" },
};
const size_t dispatch_rows_n = ARRAY_LEN(dispatch_rows);
