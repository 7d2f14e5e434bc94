/*
 * VirtFusion: one list, of servers, in the flat envelope of Laravel's paginator. Numbers and names are camelCase.
 */
#include "common/base/err.h"
#include "controld/panel/panel.h"
#include "controld/panel/pick.h"

static const struct pick server_picks[] = {
	{ .name = "id", .type = PICK_INT },
	{ .name = "uuid", .type = PICK_TEXT },
	{ .name = "name", .type = PICK_TEXT },
	{ .name = "commissioned", .type = PICK_INT },
	{ .name = "owner", .type = PICK_INT, .as = "user_id" },
	{ .name = "hypervisorId", .type = PICK_INT, .as = "hypervisor_id" },
	{ .name = "suspended", .type = PICK_BOOL },
	{ .name = "protected", .type = PICK_BOOL },
	{ .name = "created", .type = PICK_TEXT, .as = "created_at" },
	{ .name = "updated", .type = PICK_TEXT, .as = "updated_at" },
};

static int take(const json_t *item, struct panel_page *out)
{
	struct panel_object *o;
	const int64_t id = pick_id(item, "id");

	if (id == 0) {
		out->failed++;
		out->failed_kinds |= BIT(PANEL_SERVER);
		return 0;
	}
	if ((o = panel_page_add(out, PANEL_SERVER)) == NULL)
		return -1;
	o->id = id;
	pick_text(o->uuid, sizeof o->uuid, item, "uuid");
	pick_text(o->name, sizeof o->name, item, "name");
	o->owner_id = pick_id(item, "owner");
	o->parent_id = pick_id(item, "hypervisorId");
	o->active = !json_is_true(json_object_get(item, "suspended"));
	return (o->body = pick(item, server_picks, ARRAY_LEN(server_picks))) != NULL ? 0 : -1;
}

static int read_servers(
	const struct panel_list *l, int64_t parent_id, const json_t *answer, struct panel_page *out, struct err *e)
{
	const json_t *data = json_object_get(answer, "data"), *item;
	size_t i;

	(void)parent_id;
	if (!json_is_array(data) || pick_count(answer, "last_page", &out->pages) != 0 ||
		pick_count(answer, "total", &out->total) != 0 || out->pages > PANEL_PAGES_MAX ||
		out->total > PANEL_TOTAL_MAX)
		return err_set(e, ERR_PROTOCOL, NULL, "%s: the answer is no list with pages", l->name);
	out->listed = json_array_size(data);
	json_array_foreach(data, i, item)
	{
		if (take(item, out) != 0)
			return err_set(e, ERR_NOMEM, NULL, "%s: no room for what the answer holds", l->name);
	}
	return 0;
}

static const struct panel_list lists[] = {
	{ "servers", "/api/v1/servers", "type=simple", 0, BIT(PANEL_SERVER), PANEL_SERVER, PANEL_KINDS, false, NULL,
		read_servers },
};

const struct panel_driver panel_virtfusion = { "virtfusion", lists, ARRAY_LEN(lists), "results", 200 };
