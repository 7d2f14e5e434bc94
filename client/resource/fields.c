#include "client/resource/fields.h"

#include "common/base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define REFERENCES_MAX 8

/* ---- the document ------------------------------------------------------------------------------------------------- */

const json_t *fields_resolve(const json_t *doc, const json_t *schema)
{
	static const char prefix[] = "#/components/schemas/";
	const json_t *schemas = json_object_get(json_object_get(doc, "components"), "schemas");

	for (int i = 0; i < REFERENCES_MAX; i++) {
		const char *ref = json_string_value(json_object_get(schema, "$ref"));

		if (ref == NULL || !str_starts(ref, prefix))
			return schema;
		schema = json_object_get(schemas, ref + sizeof prefix - 1);
	}
	return NULL;
}

/* Whether "/api/v1/groups/edge" is one of "/api/v1/groups/{id}". */
static bool is_one_of(const char *path, const char *pattern)
{
	while (*path != '\0' && *pattern != '\0') {
		const size_t n = strcspn(path, "/"), m = strcspn(pattern, "/");

		if (n == 0 ? m != 0 : pattern[0] != '{' && (n != m || strncmp(path, pattern, n) != 0))
			return false;
		path += n + (path[n] == '/');
		pattern += m + (pattern[m] == '/');
	}
	return *path == *pattern;
}

static const json_t *find_path(const json_t *paths, const char *path)
{
	const json_t *exact = json_object_get(paths, path);
	const char *pattern;
	json_t *value;

	if (exact != NULL)
		return exact;
	json_object_foreach((json_t *)paths, pattern, value) if (is_one_of(path, pattern)) return value;
	return NULL;
}

const json_t *fields_body(const json_t *doc, const char *path, const char *method)
{
	const json_t *operation = json_object_get(find_path(json_object_get(doc, "paths"), path), method);
	const json_t *content = json_object_get(json_object_get(operation, "requestBody"), "content");

	return fields_resolve(doc, json_object_get(json_object_get(content, "application/json"), "schema"));
}

const json_t *fields_member(const json_t *doc, const json_t *schema, const struct field *f)
{
	for (size_t i = 0; i < f->depth && schema != NULL; i++)
		schema = json_object_get(json_object_get(fields_resolve(doc, schema), "properties"), f->path[i]);
	return schema;
}

bool fields_is_secret(const json_t *schema)
{
	return json_is_true(json_object_get(schema, "writeOnly"));
}

bool fields_is_required(const json_t *object_schema, const char *name)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(object_schema, "required"), i,
		one) if (strcmp(json_string_value(one), name) == 0) return true;
	return false;
}

/* "type": "integer", or ["integer", "null"]. */
const char *fields_type(const json_t *schema)
{
	const json_t *type = json_object_get(schema, "type");
	const char *name = json_string_value(json_is_array(type) ? json_array_get(type, 0) : type);

	return name != NULL ? name : "";
}

bool fields_is_nullable(const json_t *schema)
{
	const json_t *type = json_object_get(schema, "type"), *one;
	size_t i;

	json_array_foreach(type, i, one) if (str_eq(json_string_value(one), "null")) return true;
	return false;
}

/* ---- values ------------------------------------------------------------------------------------------------------- */

static json_t *text_value(const char *text)
{
	json_t *v = json_string(text);

	return v != NULL ? v : json_string("(not UTF-8)"); /* controld will say that it does not fit */
}

/* "10" and, because sizes are asked for everywhere, "10MiB". */
static json_t *integer_value(const char *text)
{
	uint64_t bytes;
	int64_t n;

	if (str_to_i64(text, INT64_MIN, INT64_MAX, &n) == 0)
		return json_integer(n);
	if (str_to_size(text, &bytes) == 0 && bytes <= INT64_MAX)
		return json_integer((json_int_t)bytes);
	return text_value(text);
}

static json_t *number_value(const char *text)
{
	char *end;
	double v = strtod(text, &end);

	return *text != '\0' && *end == '\0' && isfinite(v) ? json_real(v) : text_value(text);
}

static json_t *json_or_text(const char *text)
{
	json_t *v = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);

	return v != NULL ? v : text_value(text);
}

/* "a,b,c"; "" is the empty list. */
static json_t *list_value(const json_t *doc, const json_t *items, const char *text)
{
	json_t *out = json_array();

	while (*text != '\0') {
		const size_t n = strcspn(text, ",");
		char *one = strndup(text, n);

		if (one == NULL)
			break;
		json_array_append_new(out, fields_value(doc, items, one));
		free(one);
		text += n + (text[n] == ',');
	}
	return out;
}

json_t *fields_value(const json_t *doc, const json_t *schema, const char *text)
{
	const json_t *resolved = fields_resolve(doc, schema);
	const char *type = fields_type(resolved);
	bool on;

	if (fields_is_nullable(schema) && (strcmp(text, "null") == 0 || (*text == '\0' && strcmp(type, "string") != 0)))
		return json_null();
	if (strcmp(type, "string") == 0)
		return text_value(text);
	if (strcmp(type, "integer") == 0)
		return integer_value(text);
	if (strcmp(type, "number") == 0)
		return number_value(text);
	if (strcmp(type, "boolean") == 0)
		return str_to_bool(text, &on) == 0 ? json_boolean(on) : text_value(text);
	if (strcmp(type, "array") == 0 && *text != '[')
		return list_value(doc, json_object_get(resolved, "items"), text);
	return json_or_text(text);
}
