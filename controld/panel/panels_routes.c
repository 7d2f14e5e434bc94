/* The table of routes. */
#include "controld/panel/room.h"

static const struct schema_field start_fields[] = {
	{ .name = "skip_users", .type = SCHEMA_BOOL, .help = "leave users out of a full sync" },
	{ .name = "requested_by",
		.type = SCHEMA_STRING,
		.max = SYNC_BY_MAX,
		.help = "who it is for; shown in its log" },
};
static const struct schema start_schema = { "SyncStart", start_fields, ARRAY_LEN(start_fields), false };

static const struct schema_field start_admin_fields[] = {
	{ .name = "type", .type = SCHEMA_STRING, .flags = SCHEMA_REQUIRED, .choices = sync_types },
	{ .name = "skip_users", .type = SCHEMA_BOOL },
	{ .name = "requested_by", .type = SCHEMA_STRING, .max = SYNC_BY_MAX },
};
static const struct schema start_admin_schema = { "SyncStartAdmin", start_admin_fields, ARRAY_LEN(start_admin_fields),
	false };

static const struct schema_field cancel_fields[] = {
	{ .name = "id", .type = SCHEMA_STRING, .min = 1, .max = 64, .help = "of a sync; without it the one under way" },
};
static const struct schema cancel_schema = { "SyncCancel", cancel_fields, ARRAY_LEN(cancel_fields), false };
static const struct schema nothing = { "SyncNothing", NULL, 0, false };

static const struct schema_field settings_fields[] = {
	{ .name = "autoSyncEnabled", .type = SCHEMA_BOOL },
	{ .name = "autoSyncInterval", .type = SCHEMA_INT, .min = 60, .max = 30 * 24 * 3600, .help = "seconds" },
	{ .name = "syncBatchSize", .type = SCHEMA_INT, .min = 1, .max = 1000, .help = "objects on a page" },
};
static const struct schema settings_schema = { "SyncSettings", settings_fields, ARRAY_LEN(settings_fields), false };

static const struct schema_field logs_fields[] = {
	{ .name = "limit", .type = SCHEMA_INT, .min = 1, .max = 200, .help = "default 20" },
	{ .name = "offset", .type = SCHEMA_INT, .min = 0, .max = 1000000000 },
	{ .name = "type", .type = SCHEMA_STRING, .choices = sync_types },
};
static const struct schema logs_query = { NULL, logs_fields, ARRAY_LEN(logs_fields), false };

static const struct schema_field objects_fields[] = {
	{ .name = "limit", .type = SCHEMA_INT, .min = 1, .max = 200 },
	{ .name = "cursor", .type = SCHEMA_STRING },
	{ .name = "panel", .type = SCHEMA_STRING, .help = "pterodactyl, pelican, virtfusion" },
	{ .name = "q", .type = SCHEMA_STRING, .min = 1, .max = PANEL_NAME_MAX, .help = "a part of the name" },
	{ .name = "parent_id",
		.type = SCHEMA_INT,
		.min = 1,
		.max = INT64_MAX,
		.help = "of servers and allocations: the node; of nodes: the location; of eggs: the nest; of "
			"databases: the "
			"server" },
	{ .name = "user_id", .type = SCHEMA_INT, .min = 1, .max = INT64_MAX, .help = "of servers: whose they are" },
	{ .name = "removed", .type = SCHEMA_BOOL, .help = "those that the panel has no more, instead of those it has" },
};
static const struct schema objects_query = { NULL, objects_fields, ARRAY_LEN(objects_fields), false };

#define GET   "GET"
#define POST  "POST"
#define SYS   PERM_SYSTEM
#define ADMIN "/api/admin/sync"

const struct route panels_rows[] = {
	{ POST, "/api/v1/sync/{type}", SYS, LANE_DB, NULL, &start_schema, NULL, 202, 0, sync_api_start,
		"Start a sync: full, or of one kind of object", "Panels" },
	{ GET, "/api/v1/sync/logs", SYS, LANE_DB, &logs_query, NULL, NULL, 200, 0, sync_api_logs,
		"List syncs, the newest first", "Panels" },
	{ GET, "/api/v1/sync/status/{id}", SYS, LANE_DB, NULL, NULL, NULL, 200, 0, sync_api_status,
		"Show how a sync is", "Panels" },
	{ POST, "/api/v1/sync/cancel/{id}", SYS, LANE_DB, NULL, &nothing, NULL, 200, 0, sync_api_cancel,
		"Stop a sync at its next page", "Panels" },
	{ GET, ADMIN, SYS, LANE_DB, NULL, NULL, NULL, 200, 0, sync_api_overview,
		"Show the sync under way, the last one, and the panels", "Panels" },
	{ POST, ADMIN, SYS, LANE_DB, NULL, &start_admin_schema, NULL, 202, 0, sync_api_start_admin, "Start a sync",
		"Panels" },
	{ POST, ADMIN "/cancel", SYS, LANE_DB, NULL, &cancel_schema, NULL, 200, 0, sync_api_cancel_admin,
		"Stop the sync under way, or the one that is named", "Panels" },
	{ GET, ADMIN "/logs", SYS, LANE_DB, &logs_query, NULL, NULL, 200, 0, sync_api_logs,
		"List syncs, the newest first", "Panels" },
	{ GET, ADMIN "/settings", SYS, LANE_DB, NULL, NULL, &settings_schema, 200, 0, sync_api_settings,
		"Show how syncs are done by themselves", "Panels" },
	{ POST, ADMIN "/settings", SYS, LANE_DB, NULL, &settings_schema, &settings_schema, 200, ROUTE_PARTIAL,
		sync_api_set_settings, "Change the members that are sent", "Panels" },
	{ GET, "/api/v1/panel/{kind}", SYS, LANE_DB, &objects_query, NULL, NULL, 200, 0, object_api_list,
		"List what panels have: locations, nodes, allocations, nests, eggs, servers, users, databases",
		"Panels" },
	{ GET, "/api/panel/counts", PERM_PUBLIC, LANE_DB, NULL, NULL, NULL, 200, 0, stats_api_public,
		"How much panels have", "Panels" },
	{ GET, "/api/stats", PERM_PUBLIC, LANE_DB, NULL, NULL, NULL, 200, 0, stats_api_public, "How much panels have",
		"Panels" },
	{ GET, "/api/v1/stats/overview", SYS, LANE_DB, NULL, NULL, NULL, 200, 0, stats_api_overview,
		"How much panels have, and how syncs went", "Panels" },
	{ GET, "/api/v1/stats/servers", SYS, LANE_DB, NULL, NULL, NULL, 200, 0, stats_api_servers,
		"Servers of panels, by node", "Panels" },
	{ GET, "/api/v1/stats/users", SYS, LANE_DB, NULL, NULL, NULL, 200, 0, stats_api_users,
		"Users of panels, those with most servers first", "Panels" },
	{ GET, "/api/admin/stats", SYS, LANE_DB, NULL, NULL, NULL, 200, 0, stats_api_overview,
		"How much panels have, and how syncs went", "Panels" },
};
const size_t panels_rows_n = ARRAY_LEN(panels_rows);
