#include "client/out/print.h"

#include "common/base/str.h"

#include <string.h>
#include <unistd.h>

enum print_format print_format(const char *name)
{
	if (name == NULL || strcmp(name, "table") == 0)
		return PRINT_TABLE;
	if (strcmp(name, "yaml") == 0)
		return PRINT_YAML;
	return strcmp(name, "name") == 0 ? PRINT_NAME : PRINT_JSON;
}

static int dump(FILE *out, const json_t *value, size_t flags, const char *end)
{
	if (isatty(fileno(out)))
		flags |= JSON_ENSURE_ASCII;
	if (json_dumpf(value, out, flags | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)) != 0)
		return -1;
	return fputs(end, out) == EOF ? -1 : 0;
}

int print_json(FILE *out, const json_t *value)
{
	return dump(out, value, JSON_INDENT(2), "\n");
}

int print_json_part(FILE *out, const json_t *value)
{
	return dump(out, value, JSON_INDENT(2), "");
}

int print_json_line(FILE *out, const json_t *value)
{
	return dump(out, value, JSON_COMPACT, "\n");
}

const json_t *print_member(const json_t *object, const char *path)
{
	while (object != NULL && *path != '\0') {
		size_t n = strcspn(path, ".");
		char key[64];

		if (str_fmt(key, sizeof key, "%.*s", (int)n, path) != 0)
			return NULL;
		object = json_object_get(object, key);
		path += n + (path[n] == '.');
	}
	return object;
}
