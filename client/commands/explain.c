/*
 * explain - what may be written into a resource, and what a list of it may be asked for, as controld describes it.
 */
#include "client/commands/verb.h"
#include "client/out/table.h"
#include "client/out/text.h"
#include "client/resource/fields.h"
#include "common/base/buf.h"
#include "common/base/str.h"

#include <string.h>

static void put(struct table *t, const char *text)
{
	struct buf *b = table_cell(t);

	table_cell_end(t, text_clean(b, text, strlen(text)));
}

/* "integer 0..65535", "tcp|udp", "list of string" */
static void describe(char *dst, size_t size, const json_t *doc, const json_t *member)
{
	const json_t *resolved = fields_resolve(doc, member), *choices = json_object_get(resolved, "enum"), *one;
	const json_t *min = json_object_get(resolved, "minimum"), *max = json_object_get(resolved, "maximum");
	const char *format = json_string_value(json_object_get(resolved, "format")), *type = fields_type(resolved);
	size_t i, n = 0;

	dst[0] = '\0';
	json_array_foreach(choices, i, one)
	{
		(void)str_fmt(dst + n, size - n, "%s%s", i > 0 ? "|" : "", json_string_value(one));
		n = strlen(dst);
	}
	if (n > 0)
		return;
	if (strcmp(type, "array") == 0)
		(void)str_fmt(
			dst, size, "list of %s", fields_type(fields_resolve(doc, json_object_get(resolved, "items"))));
	else if (max != NULL)
		(void)str_fmt(dst, size, "%s %" JSON_INTEGER_FORMAT "..%" JSON_INTEGER_FORMAT, type,
			json_integer_value(min), json_integer_value(max));
	else
		(void)str_fmt(dst, size, "%s", format != NULL ? format : type);
}

static void add_member(struct table *t, const json_t *doc, const char *path, const json_t *member, bool required)
{
	const char *help = json_string_value(json_object_get(member, "description"));
	char type[160];

	describe(type, sizeof type, doc, member);
	put(t, path);
	put(t, type);
	put(t, required ? "yes" : "");
	put(t, help != NULL ? help : "");
}

static void add_object(struct table *t, const json_t *doc, const char *prefix, const json_t *schema, int depth)
{
	const char *name;
	json_t *member;

	json_object_foreach(json_object_get(schema, "properties"), name, member)
	{
		const json_t *resolved = fields_resolve(doc, member);
		const json_t *item = fields_resolve(doc, json_object_get(resolved, "items"));
		char path[160];

		if (json_is_true(json_object_get(member, "readOnly")))
			continue;
		(void)str_fmt(path, sizeof path, "%s%s", prefix, name);
		if (json_object_get(resolved, "properties") != NULL && depth < FIELD_DEPTH_MAX) {
			(void)str_fmt(path, sizeof path, "%s%s.", prefix, name);
			add_object(t, doc, path, resolved, depth + 1);
		} else {
			add_member(t, doc, path, member, fields_is_required(schema, name));
			(void)str_fmt(path, sizeof path, "%s%s[].", prefix, name);
			if (item != NULL && depth < FIELD_DEPTH_MAX)
				add_object(t, doc, path, item, depth + 1);
		}
	}
}

static struct table *new_table(const char *first)
{
	struct table *t;

	if (table_new(&t, 4) != 0)
		return NULL;
	table_title(t, 0, first, false);
	table_title(t, 1, "TYPE", false);
	table_title(t, 2, "NEEDED", false);
	table_title(t, 3, "WHAT", false);
	return t;
}

static int print_fields(const struct verb *v, const char *title, const char *method)
{
	struct table *t = new_table("FIELD");
	char path[160];
	int rc = 0;

	verb_template(path, sizeof path, v, strcmp(method, "put") == 0);
	if (t == NULL)
		return -1;
	add_object(t, v->doc, "", fields_body(v->doc, path, method), 0);
	(void)fprintf(v->in->out, "\n%s\n", title);
	rc = table_flush(t, v->in->out);
	table_free(t);
	return rc;
}

static int print_filters(const struct verb *v)
{
	const json_t *operation =
		json_object_get(json_object_get(json_object_get(v->doc, "paths"), v->resource->path), "get");
	struct table *t = new_table("FILTER");
	const json_t *one;
	size_t i, n = 0;
	int rc = 0;

	if (t == NULL)
		return -1;
	json_array_foreach(json_object_get(operation, "parameters"), i, one)
	{
		const char *name = json_string_value(json_object_get(one, "name"));

		if (name == NULL || strcmp(name, "limit") == 0 || strcmp(name, "cursor") == 0)
			continue;
		add_member(t, v->doc, name, json_object_get(one, "schema"),
			json_is_true(json_object_get(one, "required")));
		n++;
	}
	if (n > 0) {
		(void)fprintf(v->in->out, "\nportway list %s FILTER=VALUE ...\n", v->resource->name);
		rc = table_flush(t, v->in->out);
	}
	table_free(t);
	return rc;
}

static int explain(struct verb *v)
{
	const struct resource *r = v->resource;
	char title[100];
	int rc = 0;

	text_printf(v->in->out, "%s: %s", r->plural, r->summary);
	(void)fputc('\n', v->in->out);
	if ((r->verbs & RESOURCE_LIST) != 0)
		rc |= print_filters(v);
	(void)str_fmt(title, sizeof title, "portway create %s FIELD=VALUE ...", r->name);
	if ((r->verbs & RESOURCE_CREATE) != 0)
		rc |= print_fields(v, title, "post");
	(void)str_fmt(title, sizeof title, "portway update %s ID FIELD=VALUE ...", r->name);
	if ((r->verbs & RESOURCE_UPDATE) != 0)
		rc |= print_fields(v, title, "put");
	return rc == 0 ? EXIT_DONE : EXIT_BAD_NEWS;
}

int command_explain(struct invocation *in)
{
	struct verb v;
	int rc = verb_begin(&v, in, in->argv[0], 0);

	if (rc == 0)
		rc = verb_doc(&v) != NULL ? explain(&v) : verb_fail(&v);
	verb_end(&v);
	return rc;
}
