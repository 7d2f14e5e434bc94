/* The fleet's CA: which one signs, who has not taken it yet, and its rotation. */
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/fleet/ca.h"
#include "controld/fleet/fleet_api.h"
#include "controld/fleet/fleet_json.h"
#include "controld/fleet/line/roster.h"

#define NAMED_MAX 100 /* of the relays that are behind */

/* What the answer is made of. */
struct view {
	const struct fleet_api *api;
	json_t *relays, *controlds;
	size_t behind;
};

static int on_node(const struct ca_node *n, void *arg)
{
	struct view *v = arg;
	struct roster_node now;
	const bool online = roster_get(v->api->roster, n->id, &now) && now.row.online;

	if (v->behind++ < NAMED_MAX)
		json_array_append_new(v->relays, json_pack("{s:s, s:s, s:s}", "id", n->id, "name", n->name, "status",
							 online ? "online" : "offline"));
	return 0;
}

static int on_controld(const char *name, void *arg)
{
	json_array_append_new(((struct view *)arg)->controlds, json_string(name));
	return 0;
}

static int read_behind(struct view *v, struct db *db, const struct ca_state *s, struct err *e)
{
	if (ca_nodes_behind(db, s->step, "", UINT32_MAX, on_node, v, e) != 0)
		return -1;
	return ca_rotating(s) ? ca_controlds_behind(db, s->now.seq, on_controld, v, e) : 0;
}

static json_t *before_json(const struct ca *c)
{
	if (c->id[0] == '\0')
		return json_null();
	return json_pack("{s:s, s:s, s:o, s:o}", "id", c->id, "fingerprint", c->fingerprint, "not_after",
		fleet_json_time(c->not_after_ms), "retired_at", fleet_json_time(c->retired_ms));
}

static const char *status_of(const struct ca_state *s, size_t behind)
{
	if (ca_rotating(s))
		return "rotating";
	return behind > 0 ? "settling" : "steady";
}

/* Answers with the state as this transaction sees it. */
static int answer(const struct fleet_api *api, struct db *db, const struct ca_state *s, json_t **out, struct err *e)
{
	struct view v = { .api = api, .relays = json_array(), .controlds = json_array() };

	if (read_behind(&v, db, s, e) != 0) {
		json_decref(v.relays);
		json_decref(v.controlds);
		return -1;
	}
	*out = json_pack("{s:s, s:s, s:s, s:I, s:o, s:o, s:o, s:I, s:o, s:o}", "id", s->now.id, "fingerprint",
		s->now.fingerprint, "status", status_of(s, v.behind), "step", (json_int_t)s->step, "made_at",
		fleet_json_time(s->now.made_ms), "not_after", fleet_json_time(s->now.not_after_ms), "before",
		before_json(&s->before), "relays_behind", (json_int_t)v.behind, "relays", v.relays, "controlds",
		v.controlds);
	return 0;
}

static int on_get(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct fleet_api *api = feature;
	struct ca_state s;
	json_t *o = NULL;
	struct db *db;
	int rc;

	(void)rq;
	if (store_read_begin(api->store, &db, e) != 0)
		return -1;
	rc = ca_state(db, &s, e);
	if (rc == 0)
		rc = answer(api, db, &s, &o, e);
	store_read_end(db);
	if (rc == 0)
		reply_json(rp, 200, o);
	return rc;
}

/* ---- POST -------------------------------------------------------------------------------------------------------- */

struct ca_change {
	const struct fleet_api *api;
	const struct request *rq;
	struct who who;
	struct ca_state state;
	json_t *answer;
};

static int work_rotate(struct db *tx, void *arg, struct err *e)
{
	struct ca_change *c = arg;

	json_decref(c->answer); /* of an attempt that was undone */
	c->answer = NULL;
	if (ca_rotate(tx, &c->who, &c->state, e) != 0)
		return -1;
	return answer(c->api, tx, &c->state, &c->answer, e);
}

static int work_retire(struct db *tx, void *arg, struct err *e)
{
	struct ca_change *c = arg;
	const bool force = json_is_true(json_object_get(request_body(c->rq), "force"));

	json_decref(c->answer);
	c->answer = NULL;
	if (ca_retire(tx, force, &c->who, &c->state, e) != 0)
		return -1;
	return answer(c->api, tx, &c->state, &c->answer, e);
}

static int change(struct fleet_api *api, struct request *rq, struct reply *rp, store_fn fn, struct err *e)
{
	struct ca_change c = { .api = api, .rq = rq, .who = fleet_api_who(rq) };

	if (store_write(api->store, STORE_LOGGED, fn, &c, e) != 0) {
		json_decref(c.answer);
		return -1;
	}
	reply_json(rp, 200, c.answer);
	return 0;
}

static int on_rotate(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return change(feature, rq, rp, work_rotate, e);
}

static int on_retire(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return change(feature, rq, rp, work_retire, e);
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

#define TEXT(n, h)                                              \
	{                                                       \
		.name = (n), .type = SCHEMA_STRING, .help = (h) \
	}
#define TIME(n, f, h)                                                                                       \
	{                                                                                                   \
		.name = (n), .type = SCHEMA_STRING, .flags = (f), .format = SCHEMA_FORMAT_TIME, .help = (h) \
	}

static const char *const statuses[] = { "steady", "rotating", "settling", NULL };
static const char *const relay_statuses[] = { "online", "offline", NULL };

static const struct schema_field before_fields[] = {
	TEXT("id", "fca_..."),
	TEXT("fingerprint", "SHA-256 of its certificate, hex"),
	TIME("not_after", 0, "when it ends; tokens with its fingerprint are good until then"),
	TIME("retired_at", SCHEMA_NULLABLE, "null: it is trusted"),
};
static const struct schema before_schema = { "FleetCaBefore", before_fields, ARRAY_LEN(before_fields), false };

static const struct schema_field relay_fields[] = {
	TEXT("id", "nod_..."),
	TEXT("name", "of the node"),
	{ .name = "status", .type = SCHEMA_STRING, .choices = relay_statuses, .help = "now" },
};
static const struct schema relay_schema = { "FleetCaRelay", relay_fields, ARRAY_LEN(relay_fields), false };

static const struct schema_field ca_fields[] = {
	TEXT("id", "fca_..., of the one that signs"),
	TEXT("fingerprint", "SHA-256 of its certificate, hex; what join tokens and agents name"),
	{ .name = "status",
		.type = SCHEMA_STRING,
		.choices = statuses,
		.help = "rotating: the one before is trusted, too; settling: relays are being told that it is not" },
	{ .name = "step", .type = SCHEMA_INT, .help = "rotations and retirements so far" },
	TIME("made_at", 0, "when it began to sign"),
	TIME("not_after", 0, "when it ends"),
	{ .name = "before",
		.type = SCHEMA_OBJECT,
		.flags = SCHEMA_NULLABLE,
		.sub = &before_schema,
		.help = "the one that it followed" },
	{ .name = "relays_behind", .type = SCHEMA_INT, .help = "relays that have no certificate of this step in use" },
	{ .name = "relays", .type = SCHEMA_ARRAY, .sub = &relay_schema, .help = "some of these" },
	{ .name = "controlds",
		.type = SCHEMA_ARRAY,
		.item_type = SCHEMA_STRING,
		.help = "names of those that do not show it yet" },
};
static const struct schema ca_schema = { "FleetCa", ca_fields, ARRAY_LEN(ca_fields), false };

static const struct schema_field retire_fields[] = {
	{ .name = "force",
		.type = SCHEMA_BOOL,
		.help = "though some have not taken the new one; relays without its certificate must join again" },
};
static const struct schema retire_schema = { "FleetCaRetire", retire_fields, ARRAY_LEN(retire_fields), false };

const struct route ca_routes[] = {
	{ "GET", "/api/v1/fleet/ca", PERM_SYSTEM, LANE_DB, NULL, NULL, &ca_schema, 200, 0, on_get,
		"Show the fleet's CA and who has not taken it yet", "Nodes" },
	{ "POST", "/api/v1/fleet/ca/rotate", PERM_SYSTEM, LANE_DB, NULL, NULL, &ca_schema, 200, 0, on_rotate,
		"Make a new CA that signs from now on; the one before is retired when all have taken it", "Nodes" },
	{ "POST", "/api/v1/fleet/ca/retire", PERM_SYSTEM, LANE_DB, NULL, &retire_schema, &ca_schema, 200, 0, on_retire,
		"Trust the CA before no more", "Nodes" },
};
const size_t ca_routes_n = ARRAY_LEN(ca_routes);
