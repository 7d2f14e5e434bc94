#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/fleet/fleet_api.h"
#include "controld/fleet/group.h"

#include <string.h>

/* One request that makes, changes or deletes a group. */
struct group_change {
	const struct request *rq;
	struct who who;
	struct group group;
};

static int take_domain(struct group_change *c, struct err *e)
{
	const char *text = fleet_api_string(c->rq, "domain", c->group.domain);

	if (text[0] == '\0') {
		c->group.domain[0] = '\0';
		return 0;
	}
	if (host_name_take(c->group.domain, text, strlen(text)) == 0)
		return 0;
	err_set(e, ERR_VALIDATION, "domain", "domain: '%s' is no host name", text);
	return err_detail(e, "format", text);
}

static int group_apply(struct group_change *c, struct err *e)
{
	str_copy(c->group.name, sizeof c->group.name, fleet_api_string(c->rq, "name", c->group.name));
	str_copy(c->group.description, sizeof c->group.description,
		fleet_api_string(c->rq, "description", c->group.description));
	return take_domain(c, e);
}

static int work_create(struct db *tx, void *arg, struct err *e)
{
	struct group_change *c = arg;

	return group_create(tx, &c->group, &c->who, e);
}

static int on_create(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct fleet_api *api = feature;
	struct group_change c = { .rq = rq, .who = fleet_api_who(rq) };

	if (group_apply(&c, e) != 0)
		return -1;
	if (store_write(api->store, STORE_LOGGED, work_create, &c, e) != 0)
		return -1;
	reply_etag(rp, c.group.version);
	reply_json(rp, 201, group_json(&c.group));
	return 0;
}

static int on_group(const struct group *g, void *arg)
{
	return fleet_api_list_add(arg, g->id, group_json(g));
}

static int read_list(struct db *db, struct fleet_api_list *l, struct err *e)
{
	const struct group_query f = { .after = l->after, .name = fleet_api_query(l->rq, "q"), .limit = l->rows_max };

	return group_list(db, &f, on_group, l, e);
}

static int on_list(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return fleet_api_list(feature, rq, rp, read_list, e);
}

static int on_get(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct fleet_api *api = feature;
	struct group g;
	struct db *db;
	int rc;

	if (store_read_begin(api->store, &db, e) != 0)
		return -1;
	rc = group_get(db, request_param(rq, "id"), &g, e);
	store_read_end(db);
	if (rc != 0)
		return -1;
	reply_etag(rp, g.version);
	reply_json(rp, 200, group_json(&g));
	return 0;
}

static int work_update(struct db *tx, void *arg, struct err *e)
{
	struct group_change *c = arg;

	if (group_get(tx, request_param(c->rq, "id"), &c->group, e) != 0 ||
		fleet_api_match(c->rq, c->group.version, e) != 0)
		return -1;
	if (str_eq(c->group.name, GROUP_DEFAULT) &&
		!str_eq(fleet_api_string(c->rq, "name", GROUP_DEFAULT), GROUP_DEFAULT))
		return err_set(e, ERR_CONFLICT, "name", "name: the group '%s' keeps its name", GROUP_DEFAULT);
	if (group_apply(c, e) != 0)
		return -1;
	return group_update(tx, &c->group, &c->who, e);
}

static int on_update(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct fleet_api *api = feature;
	struct group_change c = { .rq = rq, .who = fleet_api_who(rq) };

	if (store_write(api->store, STORE_LOGGED, work_update, &c, e) != 0)
		return -1;
	reply_etag(rp, c.group.version);
	reply_json(rp, 200, group_json(&c.group));
	return 0;
}

static int work_delete(struct db *tx, void *arg, struct err *e)
{
	struct group_change *c = arg;

	if (group_get(tx, request_param(c->rq, "id"), &c->group, e) != 0 ||
		fleet_api_match(c->rq, c->group.version, e) != 0)
		return -1;
	return group_delete(tx, &c->group, &c->who, e);
}

static int on_delete(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct fleet_api *api = feature;
	struct group_change c = { .rq = rq, .who = fleet_api_who(rq) };

	if (store_write(api->store, STORE_LOGGED, work_delete, &c, e) != 0)
		return -1;
	reply_empty(rp, 204);
	return 0;
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

#define GROUP_FIELDS(required)                                                                                        \
	{ .name = "name",                                                                                             \
		.type = SCHEMA_STRING,                                                                                \
		.flags = (required),                                                                                  \
		.min = 1,                                                                                             \
		.max = PROTO_NAME_SIZE - 1,                                                                           \
		.format = SCHEMA_FORMAT_NAME,                                                                         \
		.help = "unique" },                                                                                   \
		{ .name = "description", .type = SCHEMA_STRING, .max = GROUP_DESCRIPTION_MAX, .help = "for people" }, \
	{                                                                                                             \
		.name = "domain", .type = SCHEMA_STRING, .max = HOST_NAME_SIZE,                                       \
		.help = "host names of mappings are made up below it, and everybody may choose one there; \"\": "     \
			"neither. Its wildcard "                                                                      \
			"in the DNS leads to the relays"                                                              \
	}

static const struct schema_field request_fields[] = { GROUP_FIELDS(SCHEMA_REQUIRED) };
static const struct schema request_schema = { "GroupRequest", request_fields, ARRAY_LEN(request_fields), false };

static const struct schema_field group_fields[] = {
	{ .name = "id", .type = SCHEMA_STRING, .help = "grp_..." },
	GROUP_FIELDS(0),
	{ .name = "created_at", .type = SCHEMA_STRING, .format = SCHEMA_FORMAT_TIME, .help = "when it was made" },
	{ .name = "updated_at", .type = SCHEMA_STRING, .format = SCHEMA_FORMAT_TIME, .help = "last change" },
};
static const struct schema group_schema = { "Group", group_fields, ARRAY_LEN(group_fields), false };

static const struct schema_field list_query_fields[] = {
	{ .name = "q", .type = SCHEMA_STRING, .max = PROTO_NAME_SIZE, .help = "beginning of the name" },
	FLEET_API_PAGE_FIELDS,
};
static const struct schema list_query = { NULL, list_query_fields, ARRAY_LEN(list_query_fields), false };

static const struct schema_field list_fields[] = {
	{ .name = "items", .type = SCHEMA_ARRAY, .sub = &group_schema },
	FLEET_API_CURSOR_FIELD,
};
static const struct schema list_schema = { "GroupList", list_fields, ARRAY_LEN(list_fields), false };

const struct route group_routes[] = {
	{ "POST", "/api/v1/groups", PERM_SYSTEM, LANE_DB, NULL, &request_schema, &group_schema, 201, 0, on_create,
		"Make a group of relays", "Nodes" },
	{ "GET", "/api/v1/groups", PERM_READ, LANE_DB, &list_query, NULL, &list_schema, 200, 0, on_list,
		"List groups of relays", "Nodes" },
	{ "GET", "/api/v1/groups/{id}", PERM_READ, LANE_DB, NULL, NULL, &group_schema, 200, 0, on_get,
		"Show a group (by id or name)", "Nodes" },
	{ "PUT", "/api/v1/groups/{id}", PERM_SYSTEM, LANE_DB, NULL, &request_schema, &group_schema, 200, ROUTE_PARTIAL,
		on_update, "Change a group", "Nodes" },
	{ "DELETE", "/api/v1/groups/{id}", PERM_SYSTEM, LANE_DB, NULL, NULL, NULL, 204, 0, on_delete,
		"Delete a group that nothing is placed on", "Nodes" },
};
const size_t group_routes_n = ARRAY_LEN(group_routes);
