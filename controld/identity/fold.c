#include "controld/identity/fold.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"

#include <string.h>

void fold_key(char *dst, size_t size, const char *s)
{
	(void)str_copy(dst, size, s);
	for (; *dst != '\0'; dst++)
		if (*dst >= 'A' && *dst <= 'Z')
			*dst = (char)(*dst - 'A' + 'a');
}

int fold_taken(struct err *e, const char *field, const char *value)
{
	if (e == NULL || e->code != ERR_ALREADY_EXISTS)
		return -1;
	err_set(e, ERR_ALREADY_EXISTS, field, "%s '%s' is already in use", field, value);
	return err_detail(e, "unique", value);
}

void fold_take(const json_t *body, const char *member, char *dst, size_t size)
{
	const json_t *value = json_object_get(body, member);

	if (value != NULL)
		(void)str_copy(dst, size, json_is_string(value) ? json_string_value(value) : "");
}

void fold_note(struct fold_names *n, const char *name, bool changed)
{
	size_t used = strlen(n->text);

	if (changed)
		(void)str_fmt(n->text + used, n->size - used, "%s%s", used > 0 ? "," : "", name);
}

json_t *fold_time(int64_t wall_ms)
{
	char text[CLOCK_RFC3339_SIZE];

	if (wall_ms == 0)
		return json_null();
	clock_rfc3339(text, wall_ms);
	return json_string(text);
}
