#include "controld/balancer/knobs.h"

#include "common/base/jsonw.h"
#include "common/base/str.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SECTION_SIZE 32

static const struct knob *find(const struct knobs *k, const char *name)
{
	for (size_t i = 0; i < k->n; i++)
		if (strcmp(k->rows[i].name, name) == 0)
			return &k->rows[i];
	return NULL;
}

/* The object that it is a member of, "" for none; answers its name there. */
static const char *split(const struct knob *row, char section[SECTION_SIZE])
{
	const char *dot = strchr(row->name, '.');

	section[0] = '\0';
	if (dot == NULL)
		return row->name;
	(void)str_fmt(section, SECTION_SIZE, "%.*s", (int)(dot - row->name), row->name);
	return dot + 1;
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

int64_t knobs_number(const struct knobs *k, const json_t *values, const char *name)
{
	const json_t *v = json_object_get(values, name);
	const struct knob *row;

	if (json_is_boolean(v))
		return json_is_true(v);
	if (v != NULL)
		return json_integer_value(v);
	row = find(k, name);
	return row != NULL ? row->number : 0;
}

const char *knobs_text(const struct knobs *k, const json_t *values, const char *name)
{
	const char *s = json_string_value(json_object_get(values, name));
	const struct knob *row = s == NULL ? find(k, name) : NULL;

	if (row != NULL)
		s = row->text;
	return s != NULL ? s : "";
}

const json_t *knobs_json(const json_t *values, const char *name)
{
	return json_object_get(values, name);
}

/* ---- taking ------------------------------------------------------------------------------------------------------- */

static bool is_default(const struct knob *row, const json_t *v)
{
	json_t *standard;
	bool same;

	switch (row->type) {
	case KNOB_INT:
	case KNOB_MS:
		return json_integer_value(v) == row->number;
	case KNOB_BOOL:
		return json_is_true(v) == (row->number != 0);
	case KNOB_TEXT:
		return str_eq(json_string_value(v), row->text);
	case KNOB_JSON:
		break;
	}
	standard = json_loads(row->text, JSON_DECODE_ANY, NULL);
	same = json_equal(v, standard);
	json_decref(standard);
	return same;
}

static void set(const struct knobs *k, const struct knob *row, json_t *values, json_t *v)
{
	if (!k->own && is_default(row, v)) {
		json_object_del(values, row->name);
		json_decref(v);
	} else {
		json_object_set_new(values, row->name, v);
	}
}

static void refuse(const struct knob *row, const char *rule, const char *value, const char *want, struct err_list *errs)
{
	err_list_add(errs, row->code != ERR_NONE ? row->code : ERR_VALIDATION, row->name, rule, value,
		"%s: '%s' is not %s", row->name, value, want);
}

static void take_duration(
	const struct knobs *k, const struct knob *row, json_t *values, const json_t *v, struct err_list *errs)
{
	const char *text = json_string_value(v);
	uint64_t ms = (uint64_t)MIN(MAX(json_integer_value(v), 0), INT32_MAX) * 1000;
	char given[KNOBS_DURATION_SIZE], least[KNOBS_DURATION_SIZE], most[KNOBS_DURATION_SIZE], want[80];

	if (text != NULL && str_to_duration_ms(text, &ms) != 0) {
		refuse(row, "format", text, "a duration such as \"30s\"", errs);
		return;
	}
	if (ms >= (uint64_t)row->least && ms <= (uint64_t)row->most) {
		set(k, row, values, json_integer((json_int_t)ms));
		return;
	}
	knobs_duration(given, (int64_t)MIN(ms, (uint64_t)INT64_MAX));
	knobs_duration(least, row->least);
	knobs_duration(most, row->most);
	(void)str_fmt(want, sizeof want, "from %s to %s", least, most);
	refuse(row, "range", text != NULL ? text : given, want, errs);
}

static void take(const struct knobs *k, const struct knob *row, json_t *values, const json_t *v, struct err_list *errs)
{
	if (json_is_null(v))
		json_object_del(values, row->name);
	else if (row->type == KNOB_MS)
		take_duration(k, row, values, v, errs);
	else
		set(k, row, values, json_deep_copy(v));
}

void knobs_apply(const struct knobs *k, json_t *values, const json_t *body, struct err_list *errs)
{
	for (size_t i = 0; i < k->n; i++) {
		const struct knob *row = &k->rows[i];
		char section[SECTION_SIZE];
		const char *name = split(row, section);
		const json_t *v = json_object_get(body, section[0] != '\0' ? section : name);

		if (section[0] != '\0' && json_is_object(v))
			v = json_object_get(v, name);
		if (v != NULL)
			take(k, row, values, v, errs);
	}
}

/* ---- printing ----------------------------------------------------------------------------------------------------- */

void knobs_duration(char dst[KNOBS_DURATION_SIZE], int64_t ms)
{
	if (ms % 1000 == 0)
		(void)str_fmt(dst, KNOBS_DURATION_SIZE, "%" PRId64 "s", ms / 1000);
	else
		(void)str_fmt(dst, KNOBS_DURATION_SIZE, "%" PRId64 "ms", ms);
}

static void print_json(struct buf *b, const char *name, const json_t *v, const char *standard)
{
	char *text = v != NULL ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

	if (text != NULL)
		jsonw_raw(b, name, text, strlen(text));
	else
		jsonw_raw(b, name, standard, strlen(standard));
	free(text);
}

static void print_one(
	const struct knobs *k, const struct knob *row, const char *name, const json_t *values, struct buf *b)
{
	char text[KNOBS_DURATION_SIZE];

	switch (row->type) {
	case KNOB_INT:
		jsonw_int(b, name, knobs_number(k, values, row->name));
		break;
	case KNOB_BOOL:
		jsonw_bool(b, name, knobs_number(k, values, row->name) != 0);
		break;
	case KNOB_TEXT:
		jsonw_str(b, name, knobs_text(k, values, row->name));
		break;
	case KNOB_MS:
		knobs_duration(text, knobs_number(k, values, row->name));
		jsonw_str(b, name, text);
		break;
	case KNOB_JSON:
		print_json(b, name, json_object_get(values, row->name), row->text);
		break;
	}
}

static void print(const struct knobs *k, const json_t *values, bool all, struct buf *b)
{
	char open[SECTION_SIZE] = "", section[SECTION_SIZE];

	for (size_t i = 0; i < k->n; i++) {
		const struct knob *row = &k->rows[i];
		const char *name = split(row, section);

		if (!all && json_object_get(values, row->name) == NULL)
			continue;
		if (open[0] != '\0' && strcmp(open, section) != 0)
			jsonw_end_object(b);
		if (section[0] != '\0' && strcmp(open, section) != 0)
			jsonw_object(b, section);
		(void)str_copy(open, sizeof open, section);
		print_one(k, row, name, values, b);
	}
	if (open[0] != '\0')
		jsonw_end_object(b);
}

void knobs_print(const struct knobs *k, const json_t *values, struct buf *b)
{
	print(k, values, true, b);
}

void knobs_print_own(const struct knobs *k, const json_t *values, struct buf *b)
{
	print(k, values, false, b);
}

void knobs_diff(const struct knobs *k, const json_t *a, const json_t *b, struct buf *fields)
{
	char named[SECTION_SIZE] = "", section[SECTION_SIZE];

	for (size_t i = 0; i < k->n; i++) {
		const json_t *v = json_object_get(a, k->rows[i].name), *w = json_object_get(b, k->rows[i].name);
		const char *name = split(&k->rows[i], section);

		if ((v == NULL && w == NULL) || (v != NULL && w != NULL && json_equal(v, w)))
			continue;
		if (section[0] != '\0' && strcmp(section, named) == 0)
			continue;
		(void)str_copy(named, sizeof named, section);
		buf_printf(fields, ",%s", section[0] != '\0' ? section : name);
	}
}

/* ---- rows --------------------------------------------------------------------------------------------------------- */

int knobs_load(json_t **values, const char *text, struct err *e)
{
	*values = json_loads(text != NULL ? text : "{}", 0, NULL);
	if (*values == NULL)
		return err_set(e, ERR_STORAGE, NULL, "settings of a stored object are not JSON");
	return 0;
}

char *knobs_store(const json_t *values)
{
	return json_dumps(values, JSON_COMPACT | JSON_SORT_KEYS);
}
