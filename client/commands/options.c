#include "client/commands/options.h"

#include "common/base/err.h"
#include "common/base/str.h"

#include <inttypes.h>
#include <string.h>

static const struct option_row *find(const struct option_row *const *lists, const char *name, size_t n, char letter)
{
	for (; *lists != NULL; lists++)
		for (const struct option_row *r = *lists; r->name != NULL; r++)
			if (letter != 0 ? r->letter == letter : strlen(r->name) == n && strncmp(r->name, name, n) == 0)
				return r;
	return NULL;
}

static int check_choice(const struct option_row *r, const char *text, struct err *e)
{
	char all[160] = "";

	for (const char *const *c = r->choices; *c != NULL; c++) {
		size_t used = strlen(all);

		if (strcmp(*c, text) == 0)
			return 0;
		(void)str_fmt(all + used, sizeof all - used, "%s%s", used > 0 ? ", " : "", *c);
	}
	return err_set(e, ERR_VALIDATION, r->name, "--%s must be one of %s, not '%s'", r->name, all, text);
}

static int check_number(const struct option_row *r, const char *text, int64_t *number, struct err *e)
{
	uint64_t ms = 0;

	if (r->type == OPTION_NUMBER) {
		if (str_to_i64(text, r->min, r->max, number) == 0)
			return 0;
		return err_set(e, ERR_VALIDATION, r->name,
			"--%s must be a number from %" PRId64 " to %" PRId64 ", not '%s'", r->name, r->min, r->max,
			text);
	}
	if (str_to_duration_ms(text, &ms) == 0 && ms >= (uint64_t)r->min && ms <= (uint64_t)r->max) {
		*number = (int64_t)ms;
		return 0;
	}
	return err_set(e, ERR_VALIDATION, r->name,
		"--%s must be a time like 30s, from %" PRId64 "ms to %" PRId64 "s, not '%s'", r->name, r->min,
		r->max / 1000, text);
}

static int take(struct options *o, const struct option_row *r, const char *text, struct err *e)
{
	int64_t number = 0;

	if (r->type == OPTION_FLAG && text != NULL)
		return err_set(e, ERR_VALIDATION, r->name, "--%s takes no value", r->name);
	if (r->type == OPTION_CHOICE && text != NULL && check_choice(r, text, e) != 0)
		return -1;
	if ((r->type == OPTION_NUMBER || r->type == OPTION_DURATION) && text != NULL &&
		check_number(r, text, &number, e) != 0)
		return -1;
	if (o->n == OPTIONS_MAX)
		return err_set(e, ERR_VALIDATION, NULL, "more than %d options", OPTIONS_MAX);
	o->given[o->n].row = r;
	o->given[o->n].text = text != NULL ? text : "";
	o->given[o->n].number = number;
	o->n++;
	return 0;
}

/* One that begins with '-'. *used: how many of argv it took. */
static int parse_one(struct options *o, const struct option_row *const *lists, char **argv, int *used, struct err *e)
{
	const char *arg = argv[0], *value = NULL;
	const bool is_long = arg[1] == '-';
	const char *name = arg + (is_long ? 2 : 1);
	const size_t n = is_long ? strcspn(name, "=") : 1;
	const struct option_row *r = find(lists, name, n, is_long ? 0 : *name);

	*used = 1;
	if (r == NULL)
		return err_set(
			e, ERR_VALIDATION, NULL, "there is no option '%.*s' here", (int)(n + (is_long ? 2 : 1)), arg);
	if (is_long && name[n] == '=')
		value = name + n + 1;
	else if (!is_long && name[1] != '\0')
		value = name + 1;
	if (value == NULL && r->type != OPTION_FLAG && !r->optional) {
		if (argv[1] == NULL)
			return err_set(e, ERR_VALIDATION, r->name, "--%s needs its %s", r->name, r->value);
		value = argv[1];
		*used = 2;
	}
	return take(o, r, value, e);
}

int options_parse(struct options *out, const struct option_row *const *lists, int argc, char **argv, struct err *e)
{
	int left = 0, used;
	bool ended = false;

	out->n = 0;
	for (int i = 0; i < argc; i += used) {
		used = 1;
		if (ended || argv[i][0] != '-' || argv[i][1] == '\0') {
			argv[left++] = argv[i];
		} else if (strcmp(argv[i], "--") == 0) {
			ended = true;
		} else if (parse_one(out, lists, &argv[i], &used, e) != 0) {
			return -1;
		}
	}
	argv[left] = NULL;
	return left;
}

static size_t last(const struct options *o, const char *name)
{
	for (size_t i = o->n; i > 0; i--)
		if (strcmp(o->given[i - 1].row->name, name) == 0)
			return i;
	return 0;
}

bool options_has(const struct options *o, const char *name)
{
	return last(o, name) > 0;
}

const char *options_text(const struct options *o, const char *name, const char *otherwise)
{
	size_t i = last(o, name);

	return i > 0 && o->given[i - 1].text[0] != '\0' ? o->given[i - 1].text : otherwise;
}

int64_t options_number(const struct options *o, const char *name, int64_t otherwise)
{
	size_t i = last(o, name);

	return i > 0 && o->given[i - 1].text[0] != '\0' ? o->given[i - 1].number : otherwise;
}
