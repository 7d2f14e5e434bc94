#include "common/conf/conf_value.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "common/net/addr.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct conf_unit {
	const char *suffix;
	uint64_t factor;
};

static char **conf_str_at(const struct conf_key *k, const void *target)
{
	return (char **)(void *)((char *)(uintptr_t)target + k->offset);
}

static uint64_t *conf_u64_at(const struct conf_key *k, const void *target)
{
	return (uint64_t *)(void *)((char *)(uintptr_t)target + k->offset);
}

static int *conf_int_at(const struct conf_key *k, const void *target)
{
	return (int *)(void *)((char *)(uintptr_t)target + k->offset);
}

static bool *conf_bool_at(const struct conf_key *k, const void *target)
{
	return (bool *)(void *)((char *)(uintptr_t)target + k->offset);
}

static uint64_t conf_max(const struct conf_key *k)
{
	return k->max != 0 ? k->max : UINT64_MAX;
}

bool conf_value_is_text(const struct conf_key *k)
{
	return k->type == CONF_STR || k->type == CONF_LISTEN;
}

/* ---- numbers as text: with the largest unit that leaves no fraction ---- */

static void conf_print_scaled(char dst[CONF_VALUE_TEXT], uint64_t v, const struct conf_unit *units, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (v < units[i].factor || v % units[i].factor != 0)
			continue;
		str_fmt(dst, CONF_VALUE_TEXT, "%" PRIu64 "%s", v / units[i].factor, units[i].suffix);
		return;
	}
	str_fmt(dst, CONF_VALUE_TEXT, "%" PRIu64 "%s", v, units[n - 1].suffix);
}

static void conf_print_number(const struct conf_key *k, char dst[CONF_VALUE_TEXT], uint64_t v)
{
	static const struct conf_unit sizes[] = { { "GiB", 1 << 30 }, { "MiB", 1 << 20 }, { "KiB", 1 << 10 },
		{ "", 1 } };
	static const struct conf_unit times[] = { { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 },
		{ "ms", 1 } };

	if (k->type == CONF_SIZE)
		conf_print_scaled(dst, v, sizes, ARRAY_LEN(sizes));
	else if (k->type == CONF_DURATION)
		conf_print_scaled(dst, v, times, ARRAY_LEN(times));
	else
		str_fmt(dst, CONF_VALUE_TEXT, "%" PRIu64, v);
}

const char *conf_value_text(const struct conf_key *k, const void *target, char scratch[CONF_VALUE_TEXT])
{
	switch (k->type) {
	case CONF_STR:
	case CONF_LISTEN:
		return *conf_str_at(k, target) != NULL ? *conf_str_at(k, target) : "";
	case CONF_BOOL:
		return *conf_bool_at(k, target) ? "true" : "false";
	case CONF_ENUM:
		return k->choices[*conf_int_at(k, target)];
	case CONF_U64:
	case CONF_SIZE:
	case CONF_DURATION:
		break;
	}
	conf_print_number(k, scratch, *conf_u64_at(k, target));
	return scratch;
}

/* ---- the rule in words ---- */

static void conf_rule_range(const struct conf_key *k, const char *what, char dst[CONF_VALUE_RULE])
{
	char min[CONF_VALUE_TEXT], max[CONF_VALUE_TEXT];

	conf_print_number(k, min, k->min);
	conf_print_number(k, max, conf_max(k));
	if (k->max != 0)
		str_fmt(dst, CONF_VALUE_RULE, "%s between %s and %s", what, min, max);
	else if (k->min != 0)
		str_fmt(dst, CONF_VALUE_RULE, "%s of at least %s", what, min);
	else
		str_copy(dst, CONF_VALUE_RULE, what);
}

static void conf_rule_choices(const struct conf_key *k, char dst[CONF_VALUE_RULE])
{
	str_copy(dst, CONF_VALUE_RULE, "one of");
	for (size_t i = 0; k->choices[i] != NULL; i++) {
		size_t n = strlen(dst);

		str_fmt(dst + n, CONF_VALUE_RULE - n, "%s %s", i > 0 ? "," : "", k->choices[i]);
	}
}

static void conf_rule_length(const struct conf_key *k, char dst[CONF_VALUE_RULE])
{
	if (k->max != 0 && k->min == 0)
		str_fmt(dst, CONF_VALUE_RULE, "text of at most %" PRIu64 " bytes", k->max);
	else if (k->max != 0)
		str_fmt(dst, CONF_VALUE_RULE, "text of %" PRIu64 " to %" PRIu64 " bytes", k->min, k->max);
	else if (k->min != 0)
		str_fmt(dst, CONF_VALUE_RULE, "text of at least %" PRIu64 " bytes", k->min);
	else
		str_copy(dst, CONF_VALUE_RULE, "text");
}

void conf_value_rule(const struct conf_key *k, char dst[CONF_VALUE_RULE])
{
	switch (k->type) {
	case CONF_STR:
		conf_rule_length(k, dst);
		break;
	case CONF_BOOL:
		str_copy(dst, CONF_VALUE_RULE, "true or false");
		break;
	case CONF_U64:
		conf_rule_range(k, "a number", dst);
		break;
	case CONF_SIZE:
		conf_rule_range(k, "a size in bytes, KiB, MiB or GiB", dst);
		break;
	case CONF_DURATION:
		conf_rule_range(k, "a duration in ms, s, m, h or d", dst);
		break;
	case CONF_ENUM:
		conf_rule_choices(k, dst);
		break;
	case CONF_LISTEN:
		str_copy(dst, CONF_VALUE_RULE, "an IP address and port such as 127.0.0.1:8080 or [::1]:8080");
		break;
	}
}

/* ---- from text: each answers the name of the rule that was broken, or NULL ---- */

static const char *conf_set_str(const struct conf_key *k, void *target, const char *text)
{
	const size_t n = strlen(text);
	struct addr a;
	char *copy;

	if (n < k->min || n > conf_max(k))
		return "length";
	if (!str_is_utf8(text, n))
		return "format";
	if (k->type == CONF_LISTEN && n > 0 && addr_parse(&a, text) != 0)
		return "format";
	copy = strdup(text);
	if (copy == NULL)
		return "memory";
	free(*conf_str_at(k, target));
	*conf_str_at(k, target) = copy;
	return NULL;
}

static const char *conf_set_number(const struct conf_key *k, void *target, const char *text)
{
	uint64_t v;
	int rc;

	if (k->type == CONF_SIZE)
		rc = str_to_size(text, &v);
	else if (k->type == CONF_DURATION)
		rc = str_to_duration_ms(text, &v);
	else
		rc = str_to_u64(text, 0, UINT64_MAX, &v);
	if (rc != 0)
		return "format";
	if (v < k->min || v > conf_max(k))
		return "range";
	*conf_u64_at(k, target) = v;
	return NULL;
}

static const char *conf_set_choice(const struct conf_key *k, void *target, const char *text)
{
	for (int i = 0; k->choices[i] != NULL; i++) {
		if (strcmp(k->choices[i], text) != 0)
			continue;
		*conf_int_at(k, target) = i;
		return NULL;
	}
	return "enum";
}

static const char *conf_set(const struct conf_key *k, void *target, const char *text)
{
	switch (k->type) {
	case CONF_STR:
	case CONF_LISTEN:
		return conf_set_str(k, target, text);
	case CONF_BOOL:
		return str_to_bool(text, conf_bool_at(k, target)) == 0 ? NULL : "format";
	case CONF_ENUM:
		return conf_set_choice(k, target, text);
	case CONF_U64:
	case CONF_SIZE:
	case CONF_DURATION:
		break;
	}
	return conf_set_number(k, target, text);
}

int conf_value_set(const struct conf_key *k, void *target, const char *text, const char *source, struct err_list *errs)
{
	const char *broken = conf_set(k, target, text);
	char rule[CONF_VALUE_RULE], shown[CONF_VALUE_TEXT];

	if (broken == NULL)
		return 0;
	if (strcmp(broken, "memory") == 0)
		return err_list_add(errs, ERR_NOMEM, k->key, broken, NULL, "%s: %s: out of memory", source, k->key);
	str_copy(shown, sizeof shown, k->flags & CONF_SECRET ? "***" : text);
	conf_value_rule(k, rule);
	return err_list_add(
		errs, ERR_VALIDATION, k->key, broken, shown, "%s: %s: '%s' is not %s", source, k->key, shown, rule);
}

int conf_value_clear(const struct conf_key *k, void *target, struct err_list *errs)
{
	if (k->type == CONF_BOOL) {
		*conf_bool_at(k, target) = false;
	} else if (k->type == CONF_ENUM) {
		*conf_int_at(k, target) = 0;
	} else if (!conf_value_is_text(k)) {
		*conf_u64_at(k, target) = 0;
	} else {
		conf_value_free(k, target);
		*conf_str_at(k, target) = strdup("");
		if (*conf_str_at(k, target) == NULL)
			return err_list_add(errs, ERR_NOMEM, k->key, NULL, NULL, "%s: out of memory", k->key);
	}
	return 0;
}

void conf_value_free(const struct conf_key *k, void *target)
{
	if (!conf_value_is_text(k))
		return;
	free(*conf_str_at(k, target));
	*conf_str_at(k, target) = NULL;
}

bool conf_value_equal(const struct conf_key *k, const void *a, const void *b)
{
	switch (k->type) {
	case CONF_STR:
	case CONF_LISTEN:
		return str_eq(*conf_str_at(k, a), *conf_str_at(k, b));
	case CONF_BOOL:
		return *conf_bool_at(k, a) == *conf_bool_at(k, b);
	case CONF_ENUM:
		return *conf_int_at(k, a) == *conf_int_at(k, b);
	case CONF_U64:
	case CONF_SIZE:
	case CONF_DURATION:
		break;
	}
	return *conf_u64_at(k, a) == *conf_u64_at(k, b);
}
