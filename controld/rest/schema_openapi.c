#include "controld/rest/schema.h"

#include "controld/rest/schema_format.h"

#include "common/base/str.h"

static json_t *schema_openapi_ref(const char *name)
{
	return json_pack("{s:o}", "$ref", json_sprintf("#/components/schemas/%s", name));
}

static json_t *schema_openapi_type(enum schema_type type)
{
	static const char *const names[] = {
		[SCHEMA_STRING] = "string",
		[SCHEMA_INT] = "integer",
		[SCHEMA_NUMBER] = "number",
		[SCHEMA_BOOL] = "boolean",
		[SCHEMA_OBJECT] = "object",
		[SCHEMA_ARRAY] = "array",
		[SCHEMA_ANY] = NULL,
	};
	json_t *out = json_object();

	if (names[type] != NULL)
		json_object_set_new(out, "type", json_string(names[type]));
	return out;
}

static void schema_openapi_limits(json_t *out, const struct schema_field *f)
{
	static const struct {
		const char *min, *max;
	} names[] = {
		[SCHEMA_STRING] = { "minLength", "maxLength" },
		[SCHEMA_INT] = { "minimum", "maximum" },
		[SCHEMA_NUMBER] = { "minimum", "maximum" },
		[SCHEMA_ARRAY] = { "minItems", "maxItems" },
		[SCHEMA_ANY] = { NULL, NULL },
	};

	if (names[f->type].min == NULL)
		return;
	if (f->min != 0)
		json_object_set_new(out, names[f->type].min, json_integer(f->min));
	if (f->max != 0)
		json_object_set_new(out, names[f->type].max, json_integer(f->max));
}

/* What says how a scalar looks: of the field itself, or of an array's items. */
static void schema_openapi_scalar(json_t *out, const struct schema_field *f)
{
	const char *format = schema_format_openapi(f->format);

	if (format != NULL)
		json_object_set_new(out, "format", json_string(format));
	if (f->choices != NULL) {
		json_t *choices = json_array();

		for (const char *const *c = f->choices; *c != NULL; c++)
			json_array_append_new(choices, json_string(*c));
		json_object_set_new(out, "enum", choices);
	}
}

static json_t *schema_openapi_items(const struct schema_field *f, json_t *components)
{
	json_t *items;

	if (f->sub != NULL)
		return schema_openapi(f->sub, components);
	items = schema_openapi_type(f->item_type);
	schema_openapi_scalar(items, f);
	return items;
}

static json_t *schema_openapi_field(const struct schema_field *f, json_t *components)
{
	const bool read_only = (f->flags & (SCHEMA_READ_ONLY | SCHEMA_IGNORED)) != 0; /* sent back, it does nothing */
	json_t *out;

	if (f->type == SCHEMA_OBJECT && f->sub != NULL) {
		/* Beside a $ref OpenAPI 3.1 allows further keywords. */
		out = schema_openapi(f->sub, components);
	} else {
		out = schema_openapi_type(f->type);
		schema_openapi_limits(out, f);
		if (f->type == SCHEMA_ARRAY)
			json_object_set_new(out, "items", schema_openapi_items(f, components));
		else
			schema_openapi_scalar(out, f);
	}
	if ((f->flags & SCHEMA_NULLABLE) != 0 && json_object_get(out, "type") != NULL)
		json_object_set_new(out, "type", json_pack("[O, s]", json_object_get(out, "type"), "null"));
	if (f->help != NULL)
		json_object_set_new(out, "description", json_string(f->help));
	if (read_only)
		json_object_set_new(out, "readOnly", json_true());
	if ((f->flags & SCHEMA_SECRET) != 0 || f->format == SCHEMA_FORMAT_PASSWORD)
		json_object_set_new(out, "writeOnly", json_boolean(!read_only));
	return out;
}

static json_t *schema_openapi_object(const struct schema *s, json_t *components)
{
	json_t *properties = json_object();
	json_t *required = json_array();
	json_t *out = json_pack("{s:s, s:o}", "type", "object", "properties", properties);

	for (size_t i = 0; i < s->n; i++) {
		const struct schema_field *f = &s->fields[i];

		json_object_set_new(properties, f->name, schema_openapi_field(f, components));
		if ((f->flags & SCHEMA_REQUIRED) != 0)
			json_array_append_new(required, json_string(f->name));
	}
	if (json_array_size(required) > 0)
		json_object_set(out, "required", required);
	json_decref(required);
	json_object_set_new(out, "additionalProperties", json_boolean(s->open));
	return out;
}

json_t *schema_openapi(const struct schema *s, json_t *components)
{
	if (s->name == NULL)
		return schema_openapi_object(s, components);
	if (json_object_get(components, s->name) == NULL) {
		/* First a placeholder, so that an object that holds its own kind comes to an end. */
		json_object_set_new(components, s->name, json_object());
		json_object_set_new(components, s->name, schema_openapi_object(s, components));
	}
	return schema_openapi_ref(s->name);
}
