#include "common/conf/conf.h"

#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/conf/conf_value.h"
#include "common/conf/conf_yaml.h"

#include <stdlib.h>
#include <string.h>

#define CONF_SOURCE_TEXT 160 /* "/etc/portway/controld.yaml:12", with NUL */

struct conf_loading {
	const struct conf_table *t;
	void *target;
	struct err_list *errs;
	const char *file;
	size_t *lines; /* for each row the line of the file that set it, 0: none yet */
	bool failed;
};

/* ---- names ---- */

/* Aliases hold environment names (capitals) and YAML paths side by side. */
static bool conf_is_env_name(const char *s, size_t n)
{
	return strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") >= n;
}

static bool conf_has_path(const struct conf_key *k, const char *path)
{
	const size_t len = strlen(path);

	if (strcmp(k->key, path) == 0)
		return true;
	if (k->aliases == NULL)
		return false;
	for (const char *a = k->aliases; *a != '\0';) {
		size_t n = strcspn(a, " ");

		if (n == len && memcmp(a, path, n) == 0 && !conf_is_env_name(a, n))
			return true;
		a += n + strspn(a + n, " ");
	}
	return false;
}

/* Row of the key or alias; the number of rows when there is none. */
static size_t conf_find(const struct conf_table *t, const char *path)
{
	size_t row = 0;

	while (row < t->n && !conf_has_path(&t->keys[row], path))
		row++;
	return row;
}

/* path is what stands before a dot of some key. */
static bool conf_is_section(const struct conf_table *t, const char *path)
{
	const size_t n = strlen(path);

	for (size_t i = 0; i < t->n; i++)
		if (strncmp(t->keys[i].key, path, n) == 0 && t->keys[i].key[n] == '.')
			return true;
	return false;
}

/* The key that was most likely meant, or NULL when none is near. */
static const char *conf_nearest(const struct conf_table *t, const char *path)
{
	size_t best = MAX(strlen(path) / 3, 2) + 1;
	const char *nearest = NULL;

	for (size_t i = 0; i < t->n; i++) {
		size_t distance = str_distance(path, t->keys[i].key);

		if (distance >= best || t->keys[i].flags & CONF_ALIAS_UNUSED)
			continue;
		best = distance;
		nearest = t->keys[i].key;
	}
	return nearest;
}

static void conf_unknown(struct conf_loading *l, const char *path, const char *source)
{
	const char *nearest = conf_nearest(l->t, path);

	l->failed = true;
	if (conf_is_section(l->t, path))
		err_list_add(l->errs, ERR_VALIDATION, path, "unknown", NULL, "%s: %s: is a section, not a setting",
			source, path);
	else if (nearest != NULL)
		err_list_add(l->errs, ERR_VALIDATION, path, "unknown", NULL,
			"%s: %s: no such setting, did you mean %s?", source, path, nearest);
	else
		err_list_add(l->errs, ERR_VALIDATION, path, "unknown", NULL, "%s: %s: no such setting", source, path);
}

/* ---- one value from one source ---- */

static void conf_apply(struct conf_loading *l, const struct conf_key *k, const char *text, const char *source)
{
	if (k->flags & CONF_ALIAS_UNUSED) {
		log_warn("setting_unused", log_s("key", k->key), log_s("source", source));
		return;
	}
	/* What --print-config shows instead of a secret: the secret itself comes from elsewhere. */
	if (k->flags & CONF_SECRET && strcmp(text, "***") == 0)
		return;
	if (conf_value_set(k, l->target, text, source, l->errs) != 0)
		l->failed = true;
}

static void conf_load_defaults(struct conf_loading *l)
{
	for (size_t i = 0; i < l->t->n; i++) {
		const struct conf_key *k = &l->t->keys[i];

		if (k->flags & CONF_ALIAS_UNUSED)
			continue;
		if (conf_value_clear(k, l->target, l->errs) != 0)
			l->failed = true;
		else if (k->def != NULL && k->def[0] != '\0')
			conf_apply(l, k, k->def, "default");
	}
}

static bool conf_has_error(const struct err_list *errs, const char *key)
{
	for (size_t i = 0; i < errs->n; i++)
		if (strcmp(errs->items[i].field, key) == 0)
			return true;
	return errs->dropped > 0;
}

/* Text that must have a length and was given by no source. What was given and refused has its error already. */
static void conf_check_required(struct conf_loading *l)
{
	char scratch[CONF_VALUE_TEXT];

	for (size_t i = 0; i < l->t->n; i++) {
		const struct conf_key *k = &l->t->keys[i];

		if (!conf_value_is_text(k) || k->flags & CONF_ALIAS_UNUSED || k->min == 0)
			continue;
		if (conf_value_text(k, l->target, scratch)[0] != '\0' || conf_has_error(l->errs, k->key))
			continue;
		l->failed = true;
		err_list_add(l->errs, ERR_VALIDATION, k->key, "required", NULL, "%s: is required%s%s", k->key,
			k->env != NULL ? ", set it in the file or as " : "", k->env != NULL ? k->env : "");
	}
}

static void conf_on_yaml(const char *path, const char *value, size_t line, void *arg)
{
	struct conf_loading *l = arg;
	const size_t row = conf_find(l->t, path);
	const struct conf_key *k = &l->t->keys[row];
	char source[CONF_SOURCE_TEXT];

	str_fmt(source, sizeof source, "%s:%zu", l->file, line);
	if (row == l->t->n) {
		if (value != NULL || !conf_is_section(l->t, path))
			conf_unknown(l, path, source);
		return;
	}
	if (l->lines[row] != 0) {
		l->failed = true;
		err_list_add(l->errs, ERR_VALIDATION, k->key, "unique", NULL, "%s: %s: was set in line %zu already",
			source, path, l->lines[row]);
		return;
	}
	l->lines[row] = line;
	if (value != NULL)
		conf_apply(l, k, value, source);
}

static void conf_load_file(struct conf_loading *l, const char *path, bool must_exist)
{
	struct err e;
	uint8_t *text;
	size_t n;

	if (file_read(path, CONF_YAML_FILE_MAX, &text, &n, &e) != 0) {
		if (e.code == ERR_NOT_FOUND && !must_exist)
			return;
		l->failed = true;
		err_list_add(l->errs, e.code, NULL, NULL, NULL, "settings file: %s", e.msg);
		return;
	}
	l->file = path;
	if (conf_yaml_read(path, text, n, conf_on_yaml, l, l->errs) != 0)
		l->failed = true;
	free(text);
}

/* The value of an environment variable; set but empty counts as not set. */
static const char *conf_getenv(const char *const *env, const char *name, size_t n)
{
	for (; env != NULL && *env != NULL; env++)
		if (strncmp(*env, name, n) == 0 && (*env)[n] == '=' && (*env)[n + 1] != '\0')
			return *env + n + 1;
	return NULL;
}

static bool conf_load_env_name(
	struct conf_loading *l, const struct conf_key *k, const char *const *env, const char *name, size_t n)
{
	const char *value = conf_getenv(env, name, n);
	char source[CONF_SOURCE_TEXT];

	if (value == NULL)
		return false;
	str_fmt(source, sizeof source, "environment %.*s", (int)n, name);
	conf_apply(l, k, value, source);
	return true;
}

/* Our own name wins over the aliases, and these over each other in the order of the row. */
static void conf_load_env_key(struct conf_loading *l, const struct conf_key *k, const char *const *env)
{
	if (k->env != NULL && conf_load_env_name(l, k, env, k->env, strlen(k->env)))
		return;
	for (const char *a = k->aliases; a != NULL && *a != '\0';) {
		size_t n = strcspn(a, " ");

		if (conf_is_env_name(a, n) && conf_load_env_name(l, k, env, a, n))
			return;
		a += n + strspn(a + n, " ");
	}
}

static void conf_load_set(struct conf_loading *l, const char *pair)
{
	const char *equals = strchr(pair, '=');
	char path[CONF_YAML_KEY_MAX];
	size_t row;

	if (equals == NULL || str_fmt(path, sizeof path, "%.*s", (int)(equals - pair), pair) != 0) {
		l->failed = true;
		err_list_add(l->errs, ERR_VALIDATION, NULL, "format", NULL, "--set: '%s' is not key=value", pair);
		return;
	}
	row = conf_find(l->t, path);
	if (row == l->t->n)
		conf_unknown(l, path, "--set");
	else
		conf_apply(l, &l->t->keys[row], equals + 1, "--set");
}

int conf_load(const struct conf_table *t, void *target, const struct conf_source *src, struct err_list *errs)
{
	struct conf_loading l = { .t = t, .target = target, .errs = errs };

	l.lines = calloc(t->n > 0 ? t->n : 1, sizeof *l.lines);
	if (l.lines == NULL)
		return err_list_add(errs, ERR_NOMEM, NULL, NULL, NULL, "settings: out of memory");
	conf_load_defaults(&l);
	if (src->file != NULL)
		conf_load_file(&l, src->file, src->file_must_exist);
	for (size_t i = 0; i < t->n; i++)
		conf_load_env_key(&l, &t->keys[i], src->env);
	conf_warn_env(t, src->env);
	for (const char *const *set = src->set; set != NULL && *set != NULL; set++)
		conf_load_set(&l, *set);
	conf_check_required(&l);
	free(l.lines);
	return l.failed ? -1 : 0;
}

bool conf_is_partial(const struct err_list *errs)
{
	for (size_t i = 0; i < errs->n; i++) {
		const struct err *e = &errs->items[i];

		if (e->code == ERR_NOMEM || str_eq(e->constraint, "syntax") ||
			(e->field[0] == '\0' && !str_eq(e->constraint, "format")))
			return true;
	}
	return errs->dropped > 0;
}

void conf_free(const struct conf_table *t, void *target)
{
	for (size_t i = 0; i < t->n; i++)
		if (!(t->keys[i].flags & CONF_ALIAS_UNUSED))
			conf_value_free(&t->keys[i], target);
}

void conf_diff(const struct conf_table *t, const void *old, const void *new_,
	void (*fn)(const struct conf_key *k, bool reloadable, void *arg), void *arg)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct conf_key *k = &t->keys[i];

		if (!(k->flags & CONF_ALIAS_UNUSED) && !conf_value_equal(k, old, new_))
			fn(k, (k->flags & CONF_RELOAD) != 0, arg);
	}
}
