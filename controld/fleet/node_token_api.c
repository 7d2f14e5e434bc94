#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/fleet/ca.h"
#include "controld/fleet/fleet_api.h"
#include "controld/fleet/group.h"
#include "controld/fleet/node.h"
#include "controld/fleet/node_token.h"

/* ---- POST -------------------------------------------------------------------------------------------------------- */

struct token_create {
	const struct request *rq;
	struct who who;
	struct node_token token;
	char secret[64];
	char ca_fingerprint[CERT_FINGERPRINT_SIZE];
};

static int find_group(struct db *tx, const char *name, struct group *g, struct err *e)
{
	if (group_get(tx, name, g, e) == 0)
		return 0;
	return err_set(e, ERR_VALIDATION, "group", "group: there is no group '%s'", name);
}

/* The node that the token is for: the one of that name, or a new one. */
static int node_for(struct db *tx, const struct token_create *c, struct node *n, struct err *e)
{
	const char *name = fleet_api_string(c->rq, "name", "");
	const char *group_name = fleet_api_string(c->rq, "group", NULL);
	struct group group;
	struct err why;

	if (find_group(tx, group_name == NULL ? GROUP_DEFAULT : group_name, &group, e) != 0)
		return -1;
	if (node_get(tx, name, n, &why) != 0) {
		if (why.code == ERR_NODE_NOT_FOUND)
			return node_create(tx, n, name, &group, &c->who, e);
		if (e != NULL)
			*e = why;
		return -1;
	}
	if (group_name != NULL && !str_eq(group.id, n->group_id))
		return err_set(e, ERR_CONFLICT, "group", "group: node '%s' is in group '%s'; move it first", n->name,
			n->group_name);
	return 0;
}

static int work_create(struct db *tx, void *arg, struct err *e)
{
	struct token_create *c = arg;
	struct node n;

	if (ca_fingerprint(tx, c->ca_fingerprint, e) != 0 || node_for(tx, c, &n, e) != 0)
		return -1;
	str_copy(c->token.node_id, sizeof c->token.node_id, n.id);
	str_copy(c->token.node_name, sizeof c->token.node_name, n.name);
	str_copy(c->token.group_name, sizeof c->token.group_name, n.group_name);
	return node_token_create(tx, &c->token, c->secret, &c->who, e);
}

/* "expires_in": seconds, or a duration as text; both were checked by the schema. */
static int read_life(const struct request *rq, int64_t *life_ms, struct err *e)
{
	const json_t *v = json_object_get(request_body(rq), "expires_in");
	uint64_t ms = NODE_TOKEN_LIFE_MS;

	if (json_is_integer(v))
		ms = (uint64_t)MAX(MIN(json_integer_value(v), NODE_TOKEN_LIFE_MAX_MS), 0) * 1000;
	else if (json_is_string(v) && str_to_duration_ms(json_string_value(v), &ms) != 0)
		ms = 0;
	if (ms < 1000 || ms > (uint64_t)NODE_TOKEN_LIFE_MAX_MS)
		return err_set(e, ERR_VALIDATION, "expires_in", "expires_in: must be between 1s and 30d");
	*life_ms = (int64_t)ms;
	return 0;
}

static int on_create(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct fleet_api *api = feature;
	struct token_create c = { .rq = rq, .who = fleet_api_who(rq) };
	char text[JOIN_TOKEN_MAX];
	struct join_token t;
	int64_t life_ms = 0;
	json_t *o;

	if (read_life(rq, &life_ms, e) != 0)
		return -1;
	c.token.expires_ms = c.who.now_ms + life_ms;
	if (store_write(api->store, STORE_LOGGED, work_create, &c, e) != 0)
		return -1;
	str_copy(t.id, sizeof t.id, c.token.id);
	str_copy(t.secret, sizeof t.secret, c.secret);
	str_copy(t.ca_fingerprint, sizeof t.ca_fingerprint, c.ca_fingerprint);
	if (join_token_print(&t, text) != 0)
		return err_set(e, ERR_INTERNAL, NULL, "join token too long");
	o = node_token_json(&c.token);
	json_object_set_new(o, "token", json_string(text));
	reply_json(rp, 201, o);
	seal_wipe(text, sizeof text);
	seal_wipe(&t, sizeof t);
	seal_wipe(c.secret, sizeof c.secret);
	return 0;
}

/* ---- GET, DELETE ------------------------------------------------------------------------------------------------- */

static int on_token(const struct node_token *t, void *arg)
{
	return fleet_api_list_add(arg, t->id, node_token_json(t));
}

static int read_list(struct db *db, struct fleet_api_list *l, struct err *e)
{
	const struct node_token_filter f = { .after = l->after,
		.node = fleet_api_query(l->rq, "node"),
		.status = fleet_api_query(l->rq, "status"),
		.now_ms = clock_wall_ms(),
		.limit = l->rows_max };

	return node_token_list(db, &f, on_token, l, e);
}

static int on_list(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return fleet_api_list(feature, rq, rp, read_list, e);
}

struct token_delete {
	const char *id;
	struct who who;
};

static int work_delete(struct db *tx, void *arg, struct err *e)
{
	const struct token_delete *d = arg;
	struct node_token t;

	return node_token_get(tx, d->id, &t, e) != 0 ? -1 : node_token_delete(tx, &t, &d->who, e);
}

static int on_delete(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct fleet_api *api = feature;
	struct token_delete d = { request_param(rq, "id"), fleet_api_who(rq) };

	if (store_write(api->store, STORE_LOGGED, work_delete, &d, e) != 0)
		return -1;
	reply_empty(rp, 204);
	return 0;
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

static const struct schema_field request_fields[] = {
	{ .name = "name",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_REQUIRED,
		.min = 1,
		.max = PROTO_NAME_SIZE - 1,
		.format = SCHEMA_FORMAT_NAME,
		.help = "node that it makes, or binds again when that is not online" },
	{ .name = "group",
		.type = SCHEMA_STRING,
		.min = 1,
		.max = PROTO_NAME_SIZE - 1,
		.help = "name or id of the group of a new node; default: default" },
	{ .name = "expires_in",
		.type = SCHEMA_STRING,
		.format = SCHEMA_FORMAT_DURATION,
		.help = "seconds or \"24h\"; default 24h" },
};
static const struct schema request_schema = { "JoinTokenRequest", request_fields, ARRAY_LEN(request_fields), false };

#define TOKEN_FIELDS                                                                                              \
	{ .name = "id", .type = SCHEMA_STRING, .help = "jtk_..." },                                               \
		{ .name = "name", .type = SCHEMA_STRING, .help = "of the node" },                                 \
		{ .name = "node_id", .type = SCHEMA_STRING, .help = "nod_..." },                                  \
		{ .name = "group", .type = SCHEMA_STRING, .help = "name of the node's group" },                   \
		{ .name = "created_by", .type = SCHEMA_STRING, .help = "who made it" },                           \
		{ .name = "created_at", .type = SCHEMA_STRING, .format = SCHEMA_FORMAT_TIME, .help = "when" },    \
		{ .name = "expires_at",                                                                           \
			.type = SCHEMA_STRING,                                                                    \
			.format = SCHEMA_FORMAT_TIME,                                                             \
			.help = "no use after this" },                                                            \
	{                                                                                                         \
		.name = "used_at", .type = SCHEMA_STRING, .flags = SCHEMA_NULLABLE, .format = SCHEMA_FORMAT_TIME, \
		.help = "when the relay joined"                                                                   \
	}

static const struct schema_field made_fields[] = {
	TOKEN_FIELDS,
	{ .name = "token", .type = SCHEMA_STRING, .help = "for RELAYD_JOIN_TOKEN; shown this once" },
};
static const struct schema made_schema = { "JoinToken", made_fields, ARRAY_LEN(made_fields), false };

static const struct schema_field token_fields[] = { TOKEN_FIELDS };
static const struct schema token_schema = { "JoinTokenShown", token_fields, ARRAY_LEN(token_fields), false };

static const char *const statuses[] = { "open", "used", "expired", NULL };

static const struct schema_field list_query_fields[] = {
	{ .name = "node", .type = SCHEMA_STRING, .max = PROTO_NAME_SIZE, .help = "for this node, by name or id" },
	{ .name = "status", .type = SCHEMA_STRING, .choices = statuses, .help = "that stand like this now" },
	FLEET_API_PAGE_FIELDS,
};
static const struct schema list_query = { NULL, list_query_fields, ARRAY_LEN(list_query_fields), false };

static const struct schema_field list_fields[] = {
	{ .name = "items", .type = SCHEMA_ARRAY, .sub = &token_schema },
	FLEET_API_CURSOR_FIELD,
};
static const struct schema list_schema = { "JoinTokenList", list_fields, ARRAY_LEN(list_fields), false };

const struct route node_token_routes[] = {
	{ "POST", "/api/v1/nodes/join-tokens", PERM_SYSTEM, LANE_DB, NULL, &request_schema, &made_schema, 201, 0,
		on_create, "Make a token that lets one relay join", "Nodes" },
	{ "GET", "/api/v1/nodes/join-tokens", PERM_SYSTEM, LANE_DB, &list_query, NULL, &list_schema, 200, 0, on_list,
		"List join tokens, without their secrets", "Nodes" },
	{ "DELETE", "/api/v1/nodes/join-tokens/{id}", PERM_SYSTEM, LANE_DB, NULL, NULL, NULL, 204, 0, on_delete,
		"Delete a join token", "Nodes" },
};
const size_t node_token_routes_n = ARRAY_LEN(node_token_routes);
