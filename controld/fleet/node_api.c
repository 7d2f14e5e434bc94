#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/fleet/fleet_api.h"
#include "controld/fleet/fleet_json.h"
#include "controld/fleet/group.h"
#include "controld/fleet/line/roster.h"
#include "controld/fleet/node.h"
#include "controld/identity/identity.h"

#include <string.h>

/* ---- what the API prints ----------------------------------------------------------------------------------------- */

static const char *status_of(const struct node *row, const struct roster_node *now)
{
	if (row->standing != NODE_JOINED)
		return node_standing_name(row->standing);
	return now->row.online ? "online" : "offline";
}

static json_t *load_json(const struct roster_node *now)
{
	const struct node_load *l = &now->load;

	if (!now->loaded)
		return json_null();
	return json_pack("{s:I, s:i, s:i, s:i, s:i, s:i, s:f, s:I, s:i, s:s, s:i, s:i, s:s}", "uptime_s",
		(json_int_t)l->uptime_s, "workers", (int)l->workers, "fds", (int)l->fds, "fds_max", (int)l->fds_max,
		"connections", (int)l->connections, "mappings", (int)l->mappings, "cpu",
		(double)l->cpu_permille / 1000.0, "rss_bytes", (json_int_t)l->rss_bytes, "loop_lag_us",
		(int)l->loop_lag_us, "agents", l->agents, "http_port", (int)l->http_port, "tls_port", (int)l->tls_port,
		"name", l->name);
}

/* What system administrators see besides. */
static json_t *details(json_t *o, const struct node *row, const struct roster_node *now)
{
	json_t *addresses = json_array();

	if (now->row.address[0] != '\0')
		json_array_append_new(addresses, json_string(now->row.address));
	json_object_set_new(o, "refused", json_integer(now->refused));
	json_object_set_new(
		o, "version", now->row.relay_version[0] == '\0' ? json_null() : json_string(now->row.relay_version));
	json_object_set_new(o, "addresses", addresses);
	json_object_set_new(o, "load", load_json(now));
	json_object_set_new(o, "last_seen", fleet_json_time(now->row.seen_ms));
	json_object_set_new(o, "certificate", json_pack("{s:o}", "not_after", fleet_json_time(row->cert_not_after_ms)));
	json_object_set_new(o, "joined_at", fleet_json_time(row->joined_ms));
	json_object_set_new(o, "created_at", fleet_json_time(row->created_ms));
	json_object_set_new(o, "updated_at", fleet_json_time(row->updated_ms));
	return o;
}

/* The row as it is written down, and what the roster knows better. */
static json_t *print_node(const struct fleet_api *api, const struct node *row, bool all)
{
	struct roster_node now;
	json_t *o;

	if (!roster_get(api->roster, row->id, &now)) {
		now = (struct roster_node){ .row = *row };
		now.row.online = false;
	}
	o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I}", "id", row->id, "name", row->name, "group", row->group_name,
		"group_id", row->group_id, "status", status_of(row, &now), "revision", (json_int_t)now.applied.seq,
		"lag", (json_int_t)roster_lag(&now));
	return o == NULL || !all ? o : details(o, row, &now);
}

static bool sees_all(const struct request *rq)
{
	return request_identity(rq)->system_admin;
}

/* ---- GET --------------------------------------------------------------------------------------------------------- */

/* Who is online is known in memory only, so that filter sees more rows than it lets through. */
#define STATUS_ROWS 2000

static int on_node(const struct node *n, void *arg)
{
	struct fleet_api_list *l = arg;
	const char *status = request_query(l->rq, "status");
	json_t *o = print_node(l->api, n, sees_all(l->rq));

	if (status != NULL && !str_eq(json_string_value(json_object_get(o, "status")), status)) {
		json_decref(o);
		o = NULL;
	}
	return fleet_api_list_add(l, n->id, o);
}

static int read_list(struct db *db, struct fleet_api_list *l, struct err *e)
{
	if (request_query(l->rq, "status") != NULL)
		l->rows_max = STATUS_ROWS;

	const struct node_filter f = { .after = l->after,
		.group = fleet_api_query(l->rq, "group"),
		.name = fleet_api_query(l->rq, "q"),
		.limit = l->rows_max };

	return node_list(db, &f, on_node, l, e);
}

static int on_list(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return fleet_api_list(feature, rq, rp, read_list, e);
}

static int on_get(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct fleet_api *api = feature;
	struct node n;
	struct db *db;
	int rc;

	if (store_read_begin(api->store, &db, e) != 0)
		return -1;
	rc = node_get(db, request_param(rq, "id"), &n, e);
	store_read_end(db);
	if (rc != 0)
		return -1;
	reply_etag(rp, n.version);
	reply_json(rp, 200, print_node(api, &n, sees_all(rq)));
	return 0;
}

/* ---- PUT, DELETE ------------------------------------------------------------------------------------------------- */

struct node_change {
	const struct request *rq;
	struct who who;
	struct node node;
};

static int find(struct db *tx, struct node_change *c, struct err *e)
{
	if (node_get(tx, request_param(c->rq, "id"), &c->node, e) != 0)
		return -1;
	return fleet_api_match(c->rq, c->node.version, e);
}

static int work_update(struct db *tx, void *arg, struct err *e)
{
	struct node_change *c = arg;
	const char *group_name = fleet_api_string(c->rq, "group", NULL);
	struct group group;

	if (find(tx, c, e) != 0)
		return -1;
	if (group_name != NULL && group_get(tx, group_name, &group, e) != 0)
		return err_set(e, ERR_VALIDATION, "group", "group: there is no group '%s'", group_name);
	str_copy(c->node.name, sizeof c->node.name, fleet_api_string(c->rq, "name", c->node.name));
	return node_update(tx, &c->node, group_name == NULL ? NULL : &group, &c->who, e);
}

static int on_update(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct fleet_api *api = feature;
	struct node_change c = { .rq = rq, .who = fleet_api_who(rq) };

	if (store_write(api->store, STORE_LOGGED, work_update, &c, e) != 0)
		return -1;
	reply_etag(rp, c.node.version);
	reply_json(rp, 200, print_node(api, &c.node, true));
	return 0;
}

static int work_delete(struct db *tx, void *arg, struct err *e)
{
	struct node_change *c = arg;

	return find(tx, c, e) != 0 ? -1 : node_delete(tx, &c->node, &c->who, e);
}

static int on_delete(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct fleet_api *api = feature;
	struct node_change c = { .rq = rq, .who = fleet_api_who(rq) };

	if (store_write(api->store, STORE_LOGGED, work_delete, &c, e) != 0)
		return -1;
	reply_empty(rp, 204);
	return 0;
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

static const struct schema_field request_fields[] = {
	{ .name = "name",
		.type = SCHEMA_STRING,
		.min = 1,
		.max = PROTO_NAME_SIZE - 1,
		.format = SCHEMA_FORMAT_NAME,
		.help = "unique" },
	{ .name = "group",
		.type = SCHEMA_STRING,
		.min = 1,
		.max = PROTO_NAME_SIZE - 1,
		.help = "name or id of a group" },
};
static const struct schema request_schema = { "NodeRequest", request_fields, ARRAY_LEN(request_fields), false };

static const char *const statuses[] = { "pending", "online", "offline", "revoked", NULL };

static const struct schema_field load_fields[] = {
	{ .name = "uptime_s", .type = SCHEMA_INT, .help = "seconds" },
	{ .name = "workers", .type = SCHEMA_INT, .help = "threads" },
	{ .name = "fds", .type = SCHEMA_INT, .help = "descriptors in use" },
	{ .name = "fds_max", .type = SCHEMA_INT, .help = "its hard limit" },
	{ .name = "connections", .type = SCHEMA_INT, .help = "TCP connections and UDP sessions now" },
	{ .name = "mappings", .type = SCHEMA_INT, .help = "objects that serve" },
	{ .name = "cpu", .type = SCHEMA_NUMBER, .help = "cores, since the report before" },
	{ .name = "rss_bytes", .type = SCHEMA_INT, .help = "bytes" },
	{ .name = "loop_lag_us", .type = SCHEMA_INT, .help = "microseconds, worst worker since the report before" },
	{ .name = "agents", .type = SCHEMA_STRING, .help = "host:port where agents connect; \"\": it takes none" },
	{ .name = "http_port", .type = SCHEMA_INT, .help = "of its mappings with protocol http; 0: it has none" },
	{ .name = "tls_port", .type = SCHEMA_INT, .help = "of its mappings with protocol tls; 0: it has none" },
	{ .name = "name",
		.type = SCHEMA_STRING,
		.help = "what the relay calls itself; the node's name is its token's" },
};
static const struct schema load_schema = { "NodeLoad", load_fields, ARRAY_LEN(load_fields), false };

static const struct schema_field certificate_fields[] = {
	{ .name = "not_after",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_NULLABLE,
		.format = SCHEMA_FORMAT_TIME,
		.help = "end of the newest one" },
};
static const struct schema certificate_schema = { "NodeCertificate", certificate_fields, ARRAY_LEN(certificate_fields),
	false };

#define TIME_FIELD(n, h)                                                                                    \
	{                                                                                                   \
		.name = (n), .type = SCHEMA_STRING, .flags = SCHEMA_NULLABLE, .format = SCHEMA_FORMAT_TIME, \
		.help = (h)                                                                                 \
	}

static const struct schema_field node_fields[] = {
	{ .name = "id", .type = SCHEMA_STRING, .help = "nod_..." },
	{ .name = "name", .type = SCHEMA_STRING, .help = "unique" },
	{ .name = "group", .type = SCHEMA_STRING, .help = "name of its group" },
	{ .name = "group_id", .type = SCHEMA_STRING, .help = "grp_..." },
	{ .name = "status", .type = SCHEMA_STRING, .choices = statuses, .help = "pending: has not joined yet" },
	{ .name = "revision", .type = SCHEMA_INT, .help = "sequence that it runs; 0: none" },
	{ .name = "lag", .type = SCHEMA_INT, .help = "how far the revision is behind what it should run" },
	{ .name = "refused", .type = SCHEMA_INT, .help = "objects that cannot work there" },
	{ .name = "version", .type = SCHEMA_STRING, .flags = SCHEMA_NULLABLE, .help = "of its relayd" },
	{ .name = "addresses", .type = SCHEMA_ARRAY, .item_type = SCHEMA_STRING, .help = "that it connects from" },
	{ .name = "load", .type = SCHEMA_OBJECT, .flags = SCHEMA_NULLABLE, .sub = &load_schema, .help = "last report" },
	TIME_FIELD("last_seen", "last word of it"),
	{ .name = "certificate", .type = SCHEMA_OBJECT, .sub = &certificate_schema, .help = "of the node" },
	TIME_FIELD("joined_at", "when it joined last"),
	TIME_FIELD("created_at", "when it was made"),
	TIME_FIELD("updated_at", "last change"),
};
static const struct schema node_schema = { "Node", node_fields, ARRAY_LEN(node_fields), false };

static const struct schema_field list_query_fields[] = {
	{ .name = "status", .type = SCHEMA_STRING, .choices = statuses, .help = "that stand like this now" },
	{ .name = "group", .type = SCHEMA_STRING, .max = PROTO_NAME_SIZE, .help = "in this group, by name or id" },
	{ .name = "q", .type = SCHEMA_STRING, .max = PROTO_NAME_SIZE, .help = "beginning of the name" },
	FLEET_API_PAGE_FIELDS,
};
static const struct schema list_query = { NULL, list_query_fields, ARRAY_LEN(list_query_fields), false };

static const struct schema_field list_fields[] = {
	{ .name = "items", .type = SCHEMA_ARRAY, .sub = &node_schema },
	FLEET_API_CURSOR_FIELD,
};
static const struct schema list_schema = { "NodeList", list_fields, ARRAY_LEN(list_fields), false };

const struct route node_routes[] = {
	{ "GET", "/api/v1/nodes", PERM_READ, LANE_DB, &list_query, NULL, &list_schema, 200, 0, on_list, "List relays",
		"Nodes" },
	{ "GET", "/api/v1/nodes/{id}", PERM_READ, LANE_DB, NULL, NULL, &node_schema, 200, 0, on_get,
		"Show a relay (by id or name); details for system administrators", "Nodes" },
	{ "PUT", "/api/v1/nodes/{id}", PERM_SYSTEM, LANE_DB, NULL, &request_schema, &node_schema, 200, ROUTE_PARTIAL,
		on_update, "Rename a relay or move it to another group", "Nodes" },
	{ "DELETE", "/api/v1/nodes/{id}", PERM_SYSTEM, LANE_DB, NULL, NULL, NULL, 204, 0, on_delete,
		"Revoke a relay; one that is pending or revoked is removed", "Nodes" },
};
const size_t node_routes_n = ARRAY_LEN(node_routes);
