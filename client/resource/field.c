#include "client/resource/field.h"

#include "common/base/err.h"
#include "common/base/str.h"

#include <string.h>

static const char name_bytes[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

static int refuse(const char *word, struct err *e)
{
	return err_set(e, ERR_VALIDATION, NULL, "'%s': write FIELD=VALUE, FIELD:=JSON or FIELD=@FILE", word);
}

int field_parse(struct field *out, const char *word, struct err *e)
{
	const char *p = word;

	out->depth = 0;
	for (;;) {
		const size_t n = strspn(p, name_bytes);

		if (n == 0 || n > FIELD_NAME_MAX || out->depth == FIELD_DEPTH_MAX)
			return refuse(word, e);
		memcpy(out->path[out->depth], p, n);
		out->path[out->depth++][n] = '\0';
		p += n;
		if (*p != '.')
			break;
		p++;
	}
	out->form = FIELD_TEXT;
	if (*p == ':') {
		out->form = FIELD_JSON;
		p++;
	}
	if (*p++ != '=')
		return refuse(word, e);
	if (out->form == FIELD_TEXT && *p == '@') {
		out->form = FIELD_FILE;
		p++;
	}
	out->value = p;
	return 0;
}

void field_path(char *dst, size_t size, const struct field *f)
{
	size_t n = 0;

	dst[0] = '\0';
	for (size_t i = 0; i < f->depth && n < size; i++) {
		(void)str_fmt(dst + n, size - n, "%s%s", i > 0 ? "." : "", f->path[i]);
		n += strlen(dst + n);
	}
}

/* Lists that are set again grow: allow=10.0.0.0/8 allow=192.168.0.0/16 */
static int put(json_t *object, const char *name, json_t *value)
{
	json_t *before = json_object_get(object, name);
	int rc;

	if (!json_is_array(before) || !json_is_array(value))
		return json_object_set_new(object, name, value);
	rc = json_array_extend(before, value);
	json_decref(value);
	return rc;
}

int field_set(json_t *object, const struct field *f, json_t *value, struct err *e)
{
	char path[FIELD_DEPTH_MAX * (FIELD_NAME_MAX + 1)];

	field_path(path, sizeof path, f);
	for (size_t i = 0; i + 1 < f->depth; i++) {
		json_t *inner = json_object_get(object, f->path[i]);

		if (inner == NULL) {
			inner = json_object();
			(void)json_object_set_new(object, f->path[i], inner);
		}
		if (!json_is_object(inner)) {
			json_decref(value);
			return err_set(
				e, ERR_VALIDATION, path, "%s: %s was set to something else before", path, f->path[i]);
		}
		object = inner;
	}
	if (put(object, f->path[f->depth - 1], value) != 0)
		return err_set(e, ERR_VALIDATION, path, "%s: the value is no text", path);
	return 0;
}
