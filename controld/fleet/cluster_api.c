#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/cluster/cluster.h"
#include "controld/cluster/member.h"
#include "controld/fleet/fleet_api.h"
#include "controld/fleet/fleet_json.h"
#include "controld/fleet/line/roster.h"
#include "controld/fleet/node.h"
#include "controld/store/changes.h"

/* The whole at a glance: which controlds there are, which relays, and how far each is behind the change log. */
struct glance {
	const struct fleet_api *api;
	int64_t now_ms, head; /* end of the log */
	json_t *controlds, *relays;
	unsigned room;
	char last[PROTO_ID_SIZE];
	bool more;
};

static json_int_t lag(int64_t head, int64_t seq)
{
	return head > seq ? head - seq : 0;
}

static int on_member(const struct member *m, void *arg)
{
	struct glance *g = arg;
	bool self = str_eq(m->id, g->api->self);
	bool up = self || m->seen_ms > g->now_ms - CLUSTER_ALIVE_MS;

	return json_array_append_new(g->controlds,
		json_pack("{s:s, s:s, s:b, s:s, s:s, s:s, s:s, s:I, s:o, s:o, s:I, s:I}", "id", m->id, "name", m->name,
			"self", self, "status", up ? "up" : "lost", "version", m->version, "address", m->address,
			"line_address", m->line_address, "schema", (json_int_t)m->schema, "started_at",
			fleet_json_time(m->started_ms), "last_seen", fleet_json_time(self ? g->now_ms : m->seen_ms),
			"revision", (json_int_t)m->seq, "lag", lag(g->head, m->seq)));
}

static const char *status_of(const struct node *row, const struct roster_node *now)
{
	if (row->standing != NODE_JOINED)
		return node_standing_name(row->standing);
	return now->row.online ? "online" : "offline";
}

static int on_node(const struct node *row, void *arg)
{
	struct glance *g = arg;
	struct roster_node now = { .row = *row };
	const char *at;

	if (g->room == 0) {
		g->more = true;
		return 1;
	}
	g->room--;
	str_copy(g->last, sizeof g->last, row->id);
	now.row.online = false;
	(void)roster_get(g->api->roster, row->id, &now);
	at = now.here ? g->api->self : now.peer;
	return json_array_append_new(
		g->relays, json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:o}", "id", row->id, "name", row->name, "group",
				   row->group_name, "status", status_of(row, &now), "revision",
				   (json_int_t)now.applied.seq, "lag", (json_int_t)roster_lag(&now), "controld",
				   now.row.online && at[0] != '\0' ? json_string(at) : json_null()));
}

static int read_glance(struct glance *g, struct db *db, const struct page *page, struct err *e)
{
	const struct node_filter all = { .after = page->after, .group = "", .name = "", .limit = page->limit + 1 };
	uint8_t log_id[CHANGES_LOG_ID_SIZE];

	if (changes_last(db, &g->head, log_id, e) != 0 || member_list(db, on_member, g, e) != 0)
		return -1;
	g->room = page->limit;
	return node_list(db, &all, on_node, g, e);
}

static int on_cluster(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct glance g = { .api = feature, .now_ms = clock_wall_ms() };
	struct page page;
	struct db *db;
	int rc;

	if (request_page(rq, &page, e) != 0 || store_read_begin(g.api->store, &db, e) != 0)
		return -1;
	g.controlds = json_array();
	g.relays = json_array();
	rc = read_glance(&g, db, &page, e);
	store_read_end(db);
	if (rc != 0) {
		json_decref(g.controlds);
		json_decref(g.relays);
		return -1;
	}
	reply_json(rp, 200,
		json_pack("{s:I, s:o, s:o, s:o}", "revision", (json_int_t)g.head, "controlds", g.controlds, "relays",
			g.relays, "next_cursor", g.more ? json_string(g.last) : json_null()));
	return 0;
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

#define TEXT(n, h)                                              \
	{                                                       \
		.name = (n), .type = SCHEMA_STRING, .help = (h) \
	}
#define NUMBER(n, h)                                         \
	{                                                    \
		.name = (n), .type = SCHEMA_INT, .help = (h) \
	}
#define TIME(n, h)                                                                            \
	{                                                                                     \
		.name = (n), .type = SCHEMA_STRING, .format = SCHEMA_FORMAT_TIME, .help = (h) \
	}

static const char *const controld_statuses[] = { "up", "lost", NULL };
static const char *const relay_statuses[] = { "pending", "online", "offline", "revoked", NULL };

static const struct schema_field controld_fields[] = {
	TEXT("id", "ctl_..., of one run of one process"),
	TEXT("name", "as its settings say"),
	{ .name = "self", .type = SCHEMA_BOOL, .help = "the one that answers" },
	{ .name = "status",
		.type = SCHEMA_STRING,
		.choices = controld_statuses,
		.help = "lost: it was killed or hangs" },
	TEXT("version", "of its program"),
	TEXT("address", "of its API"),
	TEXT("line_address", "where relays come in"),
	NUMBER("schema", "newest migration that it knows"),
	TIME("started_at", "when it was started"),
	TIME("last_seen", "by its own clock"),
	NUMBER("revision", "up to where it has read the change log"),
	NUMBER("lag", "how far that is behind its end"),
};
static const struct schema controld_schema = { "ClusterControld", controld_fields, ARRAY_LEN(controld_fields), false };

static const struct schema_field relay_fields[] = {
	TEXT("id", "nod_..."),
	TEXT("name", "unique"),
	TEXT("group", "name of its group"),
	{ .name = "status", .type = SCHEMA_STRING, .choices = relay_statuses, .help = "as all controlds see it" },
	NUMBER("revision", "sequence that it runs; 0: none"),
	NUMBER("lag", "how far that is behind what it should run"),
	{ .name = "controld", .type = SCHEMA_STRING, .flags = SCHEMA_NULLABLE, .help = "id of the one that it polls" },
};
static const struct schema relay_schema = { "ClusterRelay", relay_fields, ARRAY_LEN(relay_fields), false };

static const struct schema_field query_fields[] = { FLEET_API_PAGE_FIELDS };
static const struct schema query_schema = { NULL, query_fields, ARRAY_LEN(query_fields), false };

static const struct schema_field cluster_fields[] = {
	NUMBER("revision", "end of the change log"),
	{ .name = "controlds", .type = SCHEMA_ARRAY, .sub = &controld_schema, .help = "that share the database" },
	{ .name = "relays", .type = SCHEMA_ARRAY, .sub = &relay_schema, .help = "a page of them" },
	FLEET_API_CURSOR_FIELD,
};
static const struct schema cluster_schema = { "Cluster", cluster_fields, ARRAY_LEN(cluster_fields), false };

const struct route cluster_routes[] = {
	{ "GET", "/api/cluster", PERM_SYSTEM, LANE_DB, &query_schema, NULL, &cluster_schema, 200, 0, on_cluster,
		"Show all controlds and relays, with revisions and lag", "Cluster" },
};
const size_t cluster_routes_n = ARRAY_LEN(cluster_routes);
