#include "controld/rest/schema.h"

#include "controld/rest/schema_format.h"

#include "common/base/err.h"
#include "common/base/str.h"

#include <inttypes.h>
#include <string.h>

#define SCHEMA_TEXT_MAX 1024 /* characters, items: when the row says nothing */
#define SCHEMA_PATH_MAX 64

/* A value on its way through the checks, with its place in the body. */
struct schema_at {
	const struct schema_field *field;
	const json_t *value;
	char path[SCHEMA_PATH_MAX];
	bool partial;
	struct err_list *errs;
};

/* ---- saying what is wrong ----------------------------------------------------------------------------------------- */

/* What was given, as text for an error; secrets never. */
static void schema_given(char *dst, size_t size, const struct schema_field *f, const json_t *v)
{
	dst[0] = '\0';
	if ((f->flags & SCHEMA_SECRET) != 0 || f->format == SCHEMA_FORMAT_PASSWORD)
		(void)str_copy(dst, size, "***");
	else if (json_is_string(v))
		(void)str_copy(dst, size, json_string_value(v));
	else if (json_is_integer(v))
		(void)str_fmt(dst, size, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	else if (json_is_real(v))
		(void)str_fmt(dst, size, "%.17g", json_real_value(v));
	else if (json_is_boolean(v) || json_is_null(v))
		(void)str_copy(dst, size, json_is_null(v) ? "null" : json_is_true(v) ? "true" : "false");
	else
		(void)str_copy(dst, size, json_is_array(v) ? "[...]" : "{...}");
}

static void schema_wrong(const struct schema_at *at, const char *constraint, const char *rule)
{
	char given[96];

	schema_given(given, sizeof given, at->field, at->value);
	(void)err_list_add(at->errs, ERR_VALIDATION, at->path, constraint, given, "%s must be %s", at->path, rule);
}

/* ---- scalars ------------------------------------------------------------------------------------------------------ */

static size_t schema_chars(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static void schema_check_choice(const struct schema_at *at, const char *s)
{
	char rule[160] = "one of ";

	for (const char *const *c = at->field->choices; *c != NULL; c++) {
		if (strcmp(*c, s) == 0)
			return;
		const size_t n = strlen(rule);

		(void)str_fmt(rule + n, sizeof rule - n, "%s%s", c == at->field->choices ? "" : ", ", *c);
	}
	schema_wrong(at, "choice", rule);
}

static void schema_check_string(const struct schema_at *at)
{
	const struct schema_field *f = at->field;
	const char *s = json_string_value(at->value);
	const int64_t max = f->max != 0 ? f->max : SCHEMA_TEXT_MAX;
	const int64_t n = (int64_t)schema_chars(s);
	char rule[160];

	if (n < f->min || n > max) {
		(void)str_fmt(rule, sizeof rule, "%" PRId64 " to %" PRId64 " characters long", f->min, max);
		schema_wrong(at, "length", rule);
	} else if (f->choices != NULL) {
		schema_check_choice(at, s);
	} else if (!schema_format_ok(f->format, s)) {
		schema_wrong(at, "format", schema_format_rule(f->format));
	}
}

static void schema_wrong_range(const struct schema_at *at)
{
	const struct schema_field *f = at->field;
	char rule[96];

	if (f->max == 0)
		(void)str_fmt(rule, sizeof rule, "at least %" PRId64, f->min);
	else
		(void)str_fmt(rule, sizeof rule, "from %" PRId64 " to %" PRId64, f->min, f->max);
	schema_wrong(at, "range", rule);
}

static void schema_check_int(const struct schema_at *at)
{
	const json_int_t v = json_integer_value(at->value);

	if (v < at->field->min || (at->field->max != 0 && v > at->field->max))
		schema_wrong_range(at);
}

static void schema_check_number(const struct schema_at *at)
{
	const double v = json_number_value(at->value);

	if (v < (double)at->field->min || (at->field->max != 0 && v > (double)at->field->max))
		schema_wrong_range(at);
}

/* ---- objects and arrays ------------------------------------------------------------------------------------------- */

static void schema_check_value(const struct schema_at *at);
static void schema_check_object(
	const struct schema *s, const json_t *value, const char *prefix, bool partial, struct err_list *errs);

static void schema_check_item(
	const struct schema_at *array, const struct schema_field *item, const json_t *value, size_t i)
{
	struct schema_at at = { .field = item, .value = value, .partial = false, .errs = array->errs };

	(void)str_fmt(at.path, sizeof at.path, "%.50s[%zu]", array->path, i);
	schema_check_value(&at);
}

static void schema_check_array(const struct schema_at *at)
{
	const struct schema_field *f = at->field;
	const size_t n = json_array_size(at->value);
	const int64_t max = f->max != 0 ? f->max : SCHEMA_TEXT_MAX;
	/* An item is checked like a field of its own: of the item type, with the array's choices and format. */
	const struct schema_field item = {
		.name = f->name,
		.type = f->sub != NULL ? SCHEMA_OBJECT : f->item_type,
		.flags = f->flags & SCHEMA_SECRET,
		.choices = f->choices,
		.format = f->format,
		.sub = f->sub,
		.min = f->sub == NULL && f->item_type == SCHEMA_STRING ? 1 : INT64_MIN,
	};
	char rule[96];

	if ((int64_t)n < f->min || (int64_t)n > max) {
		(void)str_fmt(rule, sizeof rule, "%" PRId64 " to %" PRId64 " items long", f->min, max);
		schema_wrong(at, "length", rule);
		return;
	}
	for (size_t i = 0; i < n; i++)
		schema_check_item(at, &item, json_array_get(at->value, i), i);
}

static bool schema_type_ok(const struct schema_field *f, const json_t *v)
{
	switch (f->type) {
	case SCHEMA_STRING:
		return json_is_string(v) || (f->format == SCHEMA_FORMAT_DURATION && json_is_integer(v));
	case SCHEMA_INT:
		return json_is_integer(v);
	case SCHEMA_NUMBER:
		return json_is_number(v);
	case SCHEMA_BOOL:
		return json_is_boolean(v);
	case SCHEMA_OBJECT:
		return json_is_object(v);
	case SCHEMA_ARRAY:
		return json_is_array(v);
	default:
		return true;
	}
}

static const char *schema_type_rule(const struct schema_field *f)
{
	static const char *const rules[] = {
		[SCHEMA_STRING] = "a string",
		[SCHEMA_INT] = "a whole number",
		[SCHEMA_NUMBER] = "a number",
		[SCHEMA_BOOL] = "true or false",
		[SCHEMA_OBJECT] = "an object",
		[SCHEMA_ARRAY] = "an array",
		[SCHEMA_ANY] = "any value",
	};

	return rules[f->type];
}

static void schema_check_value(const struct schema_at *at)
{
	const struct schema_field *f = at->field;

	if (json_is_null(at->value)) {
		if ((f->flags & SCHEMA_NULLABLE) == 0 && f->type != SCHEMA_ANY)
			schema_wrong(at, "type", schema_type_rule(f));
		return;
	}
	if (!schema_type_ok(f, at->value)) {
		schema_wrong(at, "type", schema_type_rule(f));
		return;
	}
	if (f->type == SCHEMA_STRING && json_is_string(at->value))
		schema_check_string(at);
	else if (f->type == SCHEMA_STRING && json_integer_value(at->value) < 0) /* a duration in seconds */
		schema_wrong(at, "format", schema_format_rule(f->format));
	else if (f->type == SCHEMA_INT)
		schema_check_int(at);
	else if (f->type == SCHEMA_NUMBER)
		schema_check_number(at);
	else if (f->type == SCHEMA_ARRAY)
		schema_check_array(at);
	else if (f->type == SCHEMA_OBJECT && f->sub != NULL)
		schema_check_object(f->sub, at->value, at->path, at->partial, at->errs);
}

static const struct schema_field *schema_find(const struct schema *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->fields[i].name, name) == 0)
			return &s->fields[i];
	return NULL;
}

static void schema_path(char dst[SCHEMA_PATH_MAX], const char *prefix, const char *name)
{
	(void)str_fmt(dst, SCHEMA_PATH_MAX, "%.40s%s%s", prefix, *prefix != '\0' ? "." : "", name);
}

static void schema_check_unknown(const struct schema *s, const json_t *value, const char *prefix, struct err_list *errs)
{
	const char *name;
	json_t *member;

	if (s->open)
		return;
	json_object_foreach((json_t *)(uintptr_t)value, name, member) /* jansson has no const iterator */
	{
		const struct schema_field *f = schema_find(s, name);
		char path[SCHEMA_PATH_MAX];

		if (f != NULL && (f->flags & SCHEMA_READ_ONLY) == 0)
			continue;
		schema_path(path, prefix, name);
		(void)err_list_add(errs, ERR_VALIDATION, path, "unknown", NULL, "%s is not a field of this object%s",
			path, f != NULL ? " that can be written" : "");
	}
}

static void schema_check_object(
	const struct schema *s, const json_t *value, const char *prefix, bool partial, struct err_list *errs)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct schema_field *f = &s->fields[i];
		struct schema_at at = {
			.field = f, .value = json_object_get(value, f->name), .partial = partial, .errs = errs
		};

		if ((f->flags & (SCHEMA_READ_ONLY | SCHEMA_IGNORED)) != 0 ||
			(at.value == NULL && ((f->flags & SCHEMA_REQUIRED) == 0 || partial)))
			continue;
		schema_path(at.path, prefix, f->name);
		if (at.value != NULL)
			schema_check_value(&at);
		else
			(void)err_list_add(
				errs, ERR_MISSING_FIELD, at.path, "required", NULL, "%s is required", at.path);
	}
	schema_check_unknown(s, value, prefix, errs);
}

void schema_check(const struct schema *s, const json_t *value, bool partial, struct err_list *errs)
{
	schema_check_object(s, value, "", partial, errs);
}
