/*
 * Pelican: a Pterodactyl without locations and nests. Eggs are one list; users have no first and last name; nodes limit
 * processors as well and have tags.
 */
#include "common/base/str.h"
#include "controld/panel/fractal.h"

#define PICKS(t)     .picks = t, .n_picks = ARRAY_LEN(t)
#define PART(t)      .part = t, .n = ARRAY_LEN(t)
#define BASE         "/api/application/"
#define NODES_A_PAGE 25 /* with all of their allocations in it */

/* ---- nodes and their allocations --------------------------------------------------------------------------------- */

static const struct pick allocated_picks[] = { { .name = "memory", .type = PICK_INT },
	{ .name = "disk", .type = PICK_INT }, { .name = "cpu", .type = PICK_INT } };
static const struct pick node_picks[] = {
	{ .name = "id", .type = PICK_INT },
	{ .name = "uuid", .type = PICK_TEXT },
	{ .name = "name", .type = PICK_TEXT },
	{ .name = "description", .type = PICK_TEXT },
	{ .name = "public", .type = PICK_BOOL },
	{ .name = "fqdn", .type = PICK_TEXT },
	{ .name = "scheme", .type = PICK_TEXT },
	{ .name = "behind_proxy", .type = PICK_BOOL },
	{ .name = "maintenance_mode", .type = PICK_BOOL },
	{ .name = "memory", .type = PICK_INT },
	{ .name = "memory_overallocate", .type = PICK_INT },
	{ .name = "disk", .type = PICK_INT },
	{ .name = "disk_overallocate", .type = PICK_INT },
	{ .name = "cpu", .type = PICK_INT },
	{ .name = "cpu_overallocate", .type = PICK_INT },
	{ .name = "tags", .type = PICK_TEXTS },
	{ .name = "upload_size", .type = PICK_INT },
	{ .name = "daemon_listen", .type = PICK_INT },
	{ .name = "daemon_sftp", .type = PICK_INT },
	{ .name = "allocated_resources", .type = PICK_PART, PART(allocated_picks) },
	{ .name = "created_at", .type = PICK_TEXT },
	{ .name = "updated_at", .type = PICK_TEXT },
};

static void finish_node(struct panel_object *o, const json_t *a)
{
	o->active = !json_is_true(json_object_get(a, "maintenance_mode"));
}

static const struct fractal_include node_includes[] = { { "allocations", &fractal_allocation } };
static const struct fractal_shape node = { PANEL_NODE, PICKS(node_picks), .finish = finish_node,
	.includes = node_includes, .n_includes = ARRAY_LEN(node_includes) };

/* ---- eggs -------------------------------------------------------------------------------------------------------- */

static const struct pick egg_picks[] = {
	{ .name = "id", .type = PICK_INT },
	{ .name = "uuid", .type = PICK_TEXT },
	{ .name = "name", .type = PICK_TEXT },
	{ .name = "author", .type = PICK_TEXT },
	{ .name = "description", .type = PICK_TEXT },
	{ .name = "features", .type = PICK_TEXTS },
	{ .name = "tags", .type = PICK_TEXTS },
	{ .name = "docker_image", .type = PICK_TEXT },
	{ .name = "docker_images", .type = PICK_NAMED },
	{ .name = "startup", .type = PICK_TEXT },
	{ .name = "startup_commands", .type = PICK_NAMED },
	{ .name = "created_at", .type = PICK_TEXT },
	{ .name = "updated_at", .type = PICK_TEXT },
};
static const struct fractal_shape egg = { PANEL_EGG, PICKS(egg_picks) };

/* ---- servers and their databases --------------------------------------------------------------------------------- */

static const struct pick limits_picks[] = {
	{ .name = "memory", .type = PICK_INT },
	{ .name = "swap", .type = PICK_INT },
	{ .name = "disk", .type = PICK_INT },
	{ .name = "io", .type = PICK_INT },
	{ .name = "cpu", .type = PICK_INT },
	{ .name = "threads", .type = PICK_TEXT },
	{ .name = "oom_killer", .type = PICK_BOOL },
};
static const struct pick feature_picks[] = { { .name = "databases", .type = PICK_INT },
	{ .name = "allocations", .type = PICK_INT }, { .name = "backups", .type = PICK_INT } };
static const struct pick container_picks[] = { { .name = "image", .type = PICK_TEXT },
	{ .name = "installed", .type = PICK_BOOL } };
static const struct pick server_picks[] = {
	/* not its environment, which holds passwords */
	{ .name = "id", .type = PICK_INT },
	{ .name = "external_id", .type = PICK_TEXT },
	{ .name = "uuid", .type = PICK_TEXT },
	{ .name = "identifier", .type = PICK_TEXT },
	{ .name = "name", .type = PICK_TEXT },
	{ .name = "description", .type = PICK_TEXT },
	{ .name = "status", .type = PICK_TEXT },
	{ .name = "suspended", .type = PICK_BOOL },
	{ .name = "limits", .type = PICK_PART, PART(limits_picks) },
	{ .name = "feature_limits", .type = PICK_PART, PART(feature_picks) },
	{ .name = "user", .type = PICK_INT, .as = "user_id" },
	{ .name = "node", .type = PICK_INT, .as = "node_id" },
	{ .name = "allocation", .type = PICK_INT, .as = "allocation_id" },
	{ .name = "egg", .type = PICK_INT, .as = "egg_id" },
	{ .name = "container", .type = PICK_PART, PART(container_picks) },
	{ .name = "created_at", .type = PICK_TEXT },
	{ .name = "updated_at", .type = PICK_TEXT },
};

static void finish_server(struct panel_object *o, const json_t *a)
{
	o->parent_id = pick_id(a, "node");
	o->owner_id = pick_id(a, "user");
	o->active = !json_is_true(json_object_get(a, "suspended")) &&
	            !str_eq(json_string_value(json_object_get(a, "status")), "suspended");
}

static const struct fractal_include server_includes[] = { { "databases", &fractal_database } };
static const struct fractal_shape server = { PANEL_SERVER, PICKS(server_picks), .finish = finish_server,
	.includes = server_includes, .n_includes = ARRAY_LEN(server_includes) };

/* ---- users ------------------------------------------------------------------------------------------------------- */

static const struct pick user_picks[] = {
	{ .name = "id", .type = PICK_INT },
	{ .name = "external_id", .type = PICK_TEXT },
	{ .name = "is_managed_externally", .type = PICK_BOOL },
	{ .name = "uuid", .type = PICK_TEXT },
	{ .name = "username", .type = PICK_TEXT },
	{ .name = "email", .type = PICK_TEXT },
	{ .name = "language", .type = PICK_TEXT },
	{ .name = "root_admin", .type = PICK_BOOL },
	{ .name = "2fa_enabled", .type = PICK_BOOL, .as = "two_factor" },
	{ .name = "created_at", .type = PICK_TEXT },
	{ .name = "updated_at", .type = PICK_TEXT },
};

static void finish_user(struct panel_object *o, const json_t *a)
{
	pick_text(o->name, sizeof o->name, a, "username");
}

static const struct fractal_shape user = { PANEL_USER, PICKS(user_picks), .finish = finish_user };

/* ---- the lists --------------------------------------------------------------------------------------------------- */

#define TOP PANEL_KINDS

static const struct panel_list lists[] = {
	{ "nodes", BASE "nodes", "include=allocations&sort=id", NODES_A_PAGE, BIT(PANEL_NODE) | BIT(PANEL_ALLOCATION),
		PANEL_NODE, TOP, false, &node, fractal_read },
	{ "node allocations", BASE "nodes/%/allocations", "", 0, BIT(PANEL_ALLOCATION), PANEL_ALLOCATION, PANEL_NODE,
		false, &fractal_allocation, fractal_read },
	{ "eggs", BASE "eggs", "", 0, BIT(PANEL_EGG), PANEL_EGG, TOP, false, &egg, fractal_read },
	{ "servers", BASE "servers", "include=databases&sort=id", 0, BIT(PANEL_SERVER) | BIT(PANEL_DATABASE),
		PANEL_SERVER, TOP, false, &server, fractal_read },
	{ "server databases", BASE "servers/%/databases", "", 0, BIT(PANEL_DATABASE), PANEL_DATABASE, PANEL_SERVER,
		true, &fractal_database, fractal_read },
	{ "users", BASE "users", "sort=id", 0, BIT(PANEL_USER), PANEL_USER, TOP, false, &user, fractal_read },
};

const struct panel_driver panel_pelican = { "pelican", lists, ARRAY_LEN(lists), "per_page", 0 };
