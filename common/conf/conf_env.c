/* Names of the environment that look like ours and are not. */
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/conf/conf.h"

#include <string.h>

#define NAME_SIZE 128

/* What all names of the table begin with, "CONTROLD_": up to its last underscore. "" when they have none in common. */
static void prefix_of(const struct conf_table *t, char dst[NAME_SIZE])
{
	size_t n = NAME_SIZE - 1;

	dst[0] = '\0';
	for (size_t i = 0; i < t->n; i++) {
		const char *env = t->keys[i].env;

		if (env == NULL)
			continue;
		if (dst[0] == '\0')
			(void)str_copy(dst, NAME_SIZE, env);
		for (n = 0; dst[n] != '\0' && dst[n] == env[n];)
			n++;
		dst[n] = '\0';
	}
	for (n = strlen(dst); n > 0 && dst[n - 1] != '_'; n--)
		;
	dst[n] = '\0';
}

static bool is_alias(const char *aliases, const char *name)
{
	const size_t len = strlen(name);

	for (const char *a = aliases; a != NULL && *a != '\0';) {
		const size_t n = strcspn(a, " ");

		if (n == len && memcmp(a, name, n) == 0)
			return true;
		a += n + strspn(a + n, " ");
	}
	return false;
}

static bool is_known(const struct conf_table *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if ((t->keys[i].env != NULL && str_eq(t->keys[i].env, name)) || is_alias(t->keys[i].aliases, name))
			return true;
	return false;
}

static const char *nearest_to(const struct conf_table *t, const char *name)
{
	size_t best = MAX(strlen(name) / 3, 2) + 1;
	const char *nearest = "";

	for (size_t i = 0; i < t->n; i++) {
		const char *env = t->keys[i].env;
		const size_t distance = env != NULL ? str_distance(name, env) : best;

		if (distance < best) {
			best = distance;
			nearest = env;
		}
	}
	return nearest;
}

void conf_warn_env(const struct conf_table *t, const char *const *env)
{
	char prefix[NAME_SIZE], name[NAME_SIZE];

	prefix_of(t, prefix);
	if (prefix[0] == '\0')
		return;
	for (; env != NULL && *env != NULL; env++) {
		const size_t n = strcspn(*env, "=");

		/* set to nothing counts as not set */
		if (!str_starts(*env, prefix) || (*env)[n] == '\0' || (*env)[n + 1] == '\0' ||
			str_fmt(name, sizeof name, "%.*s", (int)n, *env) != 0 || is_known(t, name))
			continue;
		log_warn("setting_unknown", log_s("name", name), log_s("nearest", nearest_to(t, name)));
	}
}
