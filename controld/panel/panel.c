#include "controld/panel/panel.h"

#include "common/base/err.h"
#include "common/base/str.h"

#include <stdlib.h>

static const struct {
	const char *name, *plural;
} kinds[PANEL_KINDS] = {
	[PANEL_LOCATION] = { "location", "locations" },
	[PANEL_NODE] = { "node", "nodes" },
	[PANEL_ALLOCATION] = { "allocation", "allocations" },
	[PANEL_NEST] = { "nest", "nests" },
	[PANEL_EGG] = { "egg", "eggs" },
	[PANEL_SERVER] = { "server", "servers" },
	[PANEL_USER] = { "user", "users" },
	[PANEL_DATABASE] = { "database", "databases" },
};

const struct panel_driver *const panel_drivers[] = { &panel_pterodactyl, &panel_pelican, &panel_virtfusion };
const size_t panel_drivers_n = ARRAY_LEN(panel_drivers);

const char *panel_kind_name(enum panel_kind k)
{
	return kinds[k].name;
}

const char *panel_kind_plural(enum panel_kind k)
{
	return kinds[k].plural;
}

int panel_kind_parse(const char *plural, enum panel_kind *out)
{
	for (size_t i = 0; i < PANEL_KINDS; i++)
		if (str_eq(plural, kinds[i].plural)) {
			*out = (enum panel_kind)i;
			return 0;
		}
	return -1;
}

void panel_page_fini(struct panel_page *p)
{
	for (size_t i = 0; i < p->n; i++)
		json_decref(p->all[i].body);
	free(p->all);
	*p = (struct panel_page){ .n = 0 };
}

struct panel_object *panel_page_add(struct panel_page *p, enum panel_kind kind)
{
	struct panel_object *o;

	if (p->n == p->room) {
		const size_t room = p->room > 0 ? 2 * p->room : 64;

		if (p->n >= PANEL_OBJECTS_MAX || (o = reallocarray(p->all, room, sizeof *o)) == NULL)
			return NULL;
		p->all = o;
		p->room = room;
	}
	o = &p->all[p->n++];
	*o = (struct panel_object){ .kind = kind, .active = true };
	return o;
}

/* Whether there may be more values than an answer of that many objects has; commas inside of texts count as well. */
static bool has_too_many(const char *p, size_t n)
{
	size_t values = 0;

	for (size_t i = 0; i < n; i++)
		values += p[i] == ',' || p[i] == '[' || p[i] == '{';
	return values > PANEL_VALUES_MAX;
}

int panel_read(
	const struct panel_list *l, int64_t parent_id, const void *p, size_t n, struct panel_page *out, struct err *e)
{
	json_error_t where;
	json_t *answer;
	int rc;

	if (has_too_many(p, n))
		return err_set(
			e, ERR_TOO_LARGE, NULL, "%s: the answer holds more than %d values", l->name, PANEL_VALUES_MAX);
	if ((answer = json_loadb(p, n, 0, &where)) == NULL)
		return err_set(e, ERR_PROTOCOL, NULL, "%s: the answer is no JSON, or is cut off (byte %d of %zu)",
			l->name, where.position, n);
	rc = l->read(l, parent_id, answer, out, e);
	json_decref(answer);
	if (rc != 0)
		panel_page_fini(out);
	return rc;
}
