#include "controld/panel/fractal.h"

#include "common/base/err.h"
#include "common/base/str.h"

static void failed(struct panel_page *out, enum panel_kind kind)
{
	out->failed++;
	out->failed_kinds |= BIT(kind);
}

/* ---- one object -------------------------------------------------------------------------------------------------- */

static int make_body(struct panel_object *o, const struct fractal_shape *s, const json_t *attributes, int64_t parent_id)
{
	if ((o->body = pick(attributes, s->picks, s->n_picks)) == NULL)
		return -1;
	if (s->parent_as == NULL || parent_id == 0)
		return 0;
	o->parent_id = parent_id;
	return json_object_set_new(o->body, s->parent_as, json_integer(parent_id));
}

/* 0 also for one that cannot be read: it is counted. -1: no memory, or too many. */
static int take(
	const struct fractal_shape *s, const json_t *item, int64_t parent_id, struct panel_page *out, int64_t *id)
{
	const json_t *attributes = json_object_get(item, "attributes");
	struct panel_object *o;

	if ((*id = pick_id(attributes, "id")) == 0) {
		failed(out, s->kind);
		return 0;
	}
	if ((o = panel_page_add(out, s->kind)) == NULL)
		return -1;
	o->id = *id;
	pick_text(o->uuid, sizeof o->uuid, attributes, "uuid");
	pick_text(o->name, sizeof o->name, attributes, "name");
	if (make_body(o, s, attributes, parent_id) != 0)
		return -1;
	if (s->finish != NULL)
		s->finish(o, attributes);
	return 0;
}

/* ---- what is included -------------------------------------------------------------------------------------------- */

static int take_included(
	const struct fractal_include *in, const json_t *attributes, int64_t parent_id, struct panel_page *out)
{
	const json_t *rel = json_object_get(json_object_get(attributes, "relationships"), in->name);
	const json_t *data = json_object_get(rel, "data"), *item;
	const enum panel_kind kind = in->shape->kind;
	int64_t id;
	size_t i;

	if (rel == NULL) {
		out->missing |= BIT(kind);
	} else if (!json_is_array(data)) {
		if (str_eq(json_string_value(json_object_get(rel, "object")), "null_resource"))
			out->denied |= BIT(kind);
		else
			failed(out, kind);
	}
	json_array_foreach(data, i, item)
	{
		if (take(in->shape, item, parent_id, out, &id) != 0)
			return -1;
	}
	return 0;
}

static int take_item(const struct fractal_shape *s, const json_t *item, int64_t parent_id, struct panel_page *out)
{
	const json_t *attributes = json_object_get(item, "attributes");
	int64_t id;

	if (take(s, item, parent_id, out, &id) != 0)
		return -1;
	for (size_t i = 0; id != 0 && i < s->n_includes; i++)
		if (take_included(&s->includes[i], attributes, id, out) != 0)
			return -1;
	return 0;
}

/* ---- the envelope ------------------------------------------------------------------------------------------------ */

/*
 * How many there are in all. Pages are counted by these numbers: the links of an answer lose the page's size and the
 * includes, and are {} or [] where there are none.
 */
static int read_pages(const struct panel_list *l, const json_t *answer, struct panel_page *out, struct err *e)
{
	const json_t *meta = json_object_get(json_object_get(answer, "meta"), "pagination");

	out->pages = 1;
	out->total = (int64_t)out->listed;
	if (l->unpaged)
		return 0;
	if (pick_count(meta, "total_pages", &out->pages) != 0 || pick_count(meta, "total", &out->total) != 0 ||
		out->pages > PANEL_PAGES_MAX || out->total > PANEL_TOTAL_MAX)
		return err_set(e, ERR_PROTOCOL, NULL, "%s: the answer does not say how many pages there are", l->name);
	return 0;
}

int fractal_read(
	const struct panel_list *l, int64_t parent_id, const json_t *answer, struct panel_page *out, struct err *e)
{
	const json_t *data = json_object_get(answer, "data"), *item;
	size_t i;

	if (!json_is_array(data))
		return err_set(e, ERR_PROTOCOL, NULL, "%s: the answer is no list", l->name);
	out->listed = json_array_size(data);
	json_array_foreach(data, i, item)
	{
		if (take_item(l->shape, item, parent_id, out) != 0)
			return err_set(e, ERR_NOMEM, NULL, "%s: no room for what the answer holds", l->name);
	}
	return read_pages(l, answer, out, e);
}

/* ---- what is the same in both ------------------------------------------------------------------------------------ */

static const struct pick allocation_picks[] = {
	{ .name = "id", .type = PICK_INT },
	{ .name = "ip", .type = PICK_TEXT },
	{ .name = "alias", .type = PICK_TEXT },
	{ .name = "port", .type = PICK_INT },
	{ .name = "notes", .type = PICK_TEXT },
	{ .name = "assigned", .type = PICK_BOOL },
};

static void finish_allocation(struct panel_object *o, const json_t *a)
{
	char ip[64];

	pick_text(ip, sizeof ip, a, "ip");
	(void)str_fmt(o->name, sizeof o->name, "%s:%" JSON_INTEGER_FORMAT, ip,
		json_integer_value(json_object_get(o->body, "port")));
	o->active = json_is_true(json_object_get(a, "assigned"));
}

const struct fractal_shape fractal_allocation = { PANEL_ALLOCATION, allocation_picks, ARRAY_LEN(allocation_picks),
	.parent_as = "node_id", .finish = finish_allocation };

static const struct pick database_picks[] = {
	{ .name = "id", .type = PICK_INT },
	{ .name = "server", .type = PICK_INT, .as = "server_id" },
	{ .name = "host", .type = PICK_INT, .as = "host_id" },
	{ .name = "database", .type = PICK_TEXT },
	{ .name = "username", .type = PICK_TEXT },
	{ .name = "remote", .type = PICK_TEXT },
	{ .name = "max_connections", .type = PICK_INT },
	{ .name = "created_at", .type = PICK_TEXT },
	{ .name = "updated_at", .type = PICK_TEXT },
};

static void finish_database(struct panel_object *o, const json_t *a)
{
	pick_text(o->name, sizeof o->name, a, "database");
}

const struct fractal_shape fractal_database = { PANEL_DATABASE, database_picks, ARRAY_LEN(database_picks),
	.parent_as = "server_id", .finish = finish_database };
