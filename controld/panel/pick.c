#include "controld/panel/pick.h"

#include "common/base/str.h"

#include <inttypes.h>
#include <string.h>

/* Where a text of n bytes may be cut: not inside of a character. */
static size_t whole(const char *s, size_t n, size_t max)
{
	if (n <= max)
		return n;
	n = max;
	while (n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80)
		n--;
	return n;
}

static json_t *text_of(const json_t *v)
{
	char number[32];

	if (json_is_string(v)) {
		const char *s = json_string_value(v);

		return json_stringn(s, whole(s, json_string_length(v), PICK_TEXT_MAX));
	}
	if (!json_is_integer(v))
		return json_null();
	(void)str_fmt(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	return json_string(number);
}

static json_t *int_of(const json_t *v)
{
	int64_t n;

	if (json_is_integer(v))
		return json_integer(json_integer_value(v));
	if (json_is_string(v) && str_to_i64(json_string_value(v), INT64_MIN, INT64_MAX, &n) == 0)
		return json_integer(n);
	return json_null();
}

static json_t *bool_of(const json_t *v)
{
	if (json_is_boolean(v))
		return json_boolean(json_is_true(v));
	if (json_is_integer(v) && (json_integer_value(v) == 0 || json_integer_value(v) == 1))
		return json_boolean(json_integer_value(v) == 1);
	return json_null();
}

static json_t *texts_of(const json_t *v)
{
	json_t *all = json_array();
	const json_t *item;
	size_t i;

	json_array_foreach(v, i, item)
	{
		if (i < PICK_ITEMS_MAX && json_is_string(item) && json_array_append_new(all, text_of(item)) != 0) {
			json_decref(all);
			return NULL;
		}
	}
	return all;
}

/* Old panels write an empty object as []: that is one as well. */
static json_t *named_of(const json_t *v)
{
	json_t *all = json_object();
	const char *name;
	json_t *item;

	json_object_foreach((json_t *)v, name, item)
	{
		if (json_object_size(all) < PICK_ITEMS_MAX && json_is_string(item) && strlen(name) <= PICK_TEXT_MAX &&
			json_object_set_new(all, name, text_of(item)) != 0) {
			json_decref(all);
			return NULL;
		}
	}
	return all;
}

static json_t *value_of(const json_t *v, const struct pick *row)
{
	switch (row->type) {
	case PICK_INT:
		return int_of(v);
	case PICK_BOOL:
		return bool_of(v);
	case PICK_TEXT:
		return text_of(v);
	case PICK_TEXTS:
		return texts_of(v);
	case PICK_NAMED:
		return named_of(v);
	case PICK_PART:
		return json_is_object(v) ? pick(v, row->part, row->n) : json_null();
	}
	return json_null();
}

json_t *pick(const json_t *from, const struct pick *table, size_t n)
{
	json_t *all = json_object();

	for (size_t i = 0; all != NULL && i < n; i++) {
		const struct pick *row = &table[i];
		json_t *v = value_of(json_object_get(from, row->name), row);

		if (v == NULL || json_object_set_new(all, row->as != NULL ? row->as : row->name, v) != 0) {
			json_decref(all);
			all = NULL;
		}
	}
	return all;
}

static int number(const json_t *from, const char *name, int64_t least, int64_t *out)
{
	const json_t *v = json_object_get(from, name);

	*out = 0;
	if (json_is_integer(v) && json_integer_value(v) >= least)
		*out = json_integer_value(v);
	else if (!json_is_string(v) || str_to_i64(json_string_value(v), least, INT64_MAX, out) != 0)
		return -1;
	return 0;
}

int64_t pick_id(const json_t *from, const char *name)
{
	int64_t id;

	return number(from, name, 1, &id) == 0 ? id : 0;
}

int pick_count(const json_t *from, const char *name, int64_t *out)
{
	return number(from, name, 0, out);
}

void pick_text(char *dst, size_t size, const json_t *from, const char *name)
{
	const json_t *v = json_object_get(from, name);
	const char *s = json_string_value(v);

	dst[0] = '\0';
	if (s != NULL)
		(void)str_fmt(dst, size, "%.*s", (int)whole(s, json_string_length(v), size - 1), s);
}
