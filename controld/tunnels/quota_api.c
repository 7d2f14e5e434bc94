#include "common/base/clock.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "controld/identity/identity.h"
#include "controld/identity/user.h"
#include "controld/tunnels/api.h"
#include "controld/tunnels/mapping_change.h"
#include "controld/tunnels/quota.h"

#include <inttypes.h>

static int print(struct reply *rp, const struct quota *q, struct err *e)
{
	struct buf *b = reply_open(rp, 200, "application/json; charset=utf-8");

	jsonw_object(b, NULL);
	jsonw_str(b, "user_id", q->user_id);
	if (q->monthly_bytes != 0)
		jsonw_int(b, "monthly_bytes", q->monthly_bytes);
	else
		jsonw_null(b, "monthly_bytes");
	jsonw_int(b, "reset_day", q->reset_day);
	jsonw_str(b, "time_zone", q->time_zone);
	jsonw_int(b, "used_bytes", quota_used(q));
	if (q->monthly_bytes != 0)
		jsonw_int(b, "remaining_bytes", MAX(q->monthly_bytes - quota_used(q), 0));
	else
		jsonw_null(b, "remaining_bytes");
	jsonw_time(b, "period_start", q->start_ms);
	jsonw_time(b, "resets_at", q->end_ms);
	jsonw_bool(b, "exceeded", q->exceeded);
	jsonw_end_object(b);
	reply_etag(rp, q->version);
	return b->failed ? err_set(e, ERR_NOMEM, NULL, "quota: out of memory") : 0;
}

/* A user sees his own; administrators those of their tenant. */
static int find(struct db *db, const struct request *rq, struct quota *q, struct err *e)
{
	const struct identity *who = request_identity(rq);
	const char *user_id = request_param(rq, "id");
	struct user u;

	if (!who->system_admin && who->role < ROLE_ADMIN && !str_eq(who->user_id, user_id))
		return err_set(e, ERR_USER_NOT_FOUND, NULL, "there is no user %s", user_id);
	if (user_get(db, who->tenant_id, user_id, &u, e) != 0)
		return -1;
	return MIN(quota_get(db, who->tenant_id, user_id, q, e), 0);
}

int quota_api_get(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct tunnels *t = feature;
	struct quota q;
	struct db *db;
	int rc;

	if (store_read_begin(t->store, &db, e) != 0)
		return -1;
	rc = find(db, rq, &q, e);
	store_read_end(db);
	if (rc == 0 && q.end_ms == 0)
		quota_month(&q, clock_wall_ms());
	return rc == 0 ? print(rp, &q, e) : -1;
}

struct setting_quota {
	struct request *rq;
	int64_t now_ms;
	struct quota q;
};

static int take_zone(struct quota *q, const char *name, struct err *e)
{
	struct zone *z;

	if (zone_open(&z, name, e) != 0) {
		str_copy(e->field, sizeof e->field, "time_zone");
		return -1;
	}
	zone_free(z);
	return str_copy(q->time_zone, sizeof q->time_zone, name);
}

static int take(struct quota *q, const json_t *body, struct err *e)
{
	const json_t *bytes = json_object_get(body, "monthly_bytes"), *day = json_object_get(body, "reset_day");
	const json_t *zone = json_object_get(body, "time_zone");

	if (bytes != NULL)
		q->monthly_bytes = json_integer_value(bytes);
	if (day != NULL)
		q->reset_day = json_is_null(day) ? 1 : json_integer_value(day);
	return zone == NULL ? 0 : take_zone(q, json_is_null(zone) ? "UTC" : json_string_value(zone), e);
}

/* Another limit holds from now on; another reset day begins another month, with what was used so far in this one. */
static int work_set(struct db *tx, void *arg, struct err *e)
{
	struct setting_quota *s = arg;
	const struct mapping_actor by = { request_identity(s->rq)->actor, request_id(s->rq), s->now_ms };
	struct quota *q = &s->q;
	char etag[32];

	if (find(tx, s->rq, q, e) != 0)
		return -1;
	str_fmt(etag, sizeof etag, "v%" PRId64, q->version);
	if (request_if_match(s->rq, etag, e) != 0 || take(q, request_body(s->rq), e) != 0)
		return -1;
	if (q->version == 0)
		q->base_bytes = q->total_bytes;
	quota_month(q, s->now_ms);
	q->exceeded = q->monthly_bytes > 0 && quota_used(q) >= q->monthly_bytes;
	q->version++;
	q->updated_ms = s->now_ms;
	if (quota_log(tx, q, "update", &by, e) != 0)
		return -1;
	return quota_put(tx, q, e);
}

int quota_api_put(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct tunnels *t = feature;
	struct setting_quota s = { .rq = rq, .now_ms = clock_wall_ms() };

	if (store_write(t->store, STORE_LOGGED, work_set, &s, e) != 0)
		return -1;
	return print(rp, &s.q, e);
}

#define ANSWER SCHEMA_IGNORED
static const struct schema_field fields[] = {
	{ .name = "user_id", .type = SCHEMA_STRING, .flags = ANSWER },
	{ .name = "monthly_bytes",
		.type = SCHEMA_INT,
		.flags = SCHEMA_NULLABLE,
		.max = INT64_C(1) << 60,
		.help = "that the user's mappings may pass in a month, both ways; null: no limit" },
	{ .name = "reset_day",
		.type = SCHEMA_INT,
		.flags = SCHEMA_NULLABLE,
		.min = 1,
		.max = QUOTA_RESET_DAY_MAX,
		.help = "of the month, its last one where it is shorter; default 1" },
	{ .name = "time_zone",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_NULLABLE,
		.max = ZONE_NAME_SIZE - 1,
		.format = SCHEMA_FORMAT_ZONE,
		.help = "whose midnight counts: UTC, an offset such as +02:00 or a name such as Europe/Berlin" },
	{ .name = "used_bytes",
		.type = SCHEMA_INT,
		.flags = ANSWER,
		.help = "since the month began, or since a quota was first set" },
	{ .name = "remaining_bytes", .type = SCHEMA_INT, .flags = ANSWER | SCHEMA_NULLABLE },
	{ .name = "period_start", .type = SCHEMA_STRING, .flags = ANSWER },
	{ .name = "resets_at", .type = SCHEMA_STRING, .flags = ANSWER },
	{ .name = "exceeded", .type = SCHEMA_BOOL, .flags = ANSWER, .help = "the user's mappings are off until then" },
};
const struct schema quota_schema = { "Quota", fields, ARRAY_LEN(fields), false };
