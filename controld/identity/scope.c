#include "controld/identity/scope.h"

#include "common/base/err.h"
#include "common/base/str.h"

#include <ctype.h>
#include <string.h>

static const char *verb_of(const struct route *r)
{
	return str_eq(r->method, "GET") ? "read" : "write";
}

/* Tags are words for people: "System" is "system". */
static void resource_of(char dst[SCOPE_SIZE], const struct route *r)
{
	size_t n = 0;

	for (const char *p = r->tag != NULL ? r->tag : "other"; *p != '\0' && n + sizeof ":write" < SCOPE_SIZE; p++)
		dst[n++] = isalnum((unsigned char)*p) ? (char)tolower((unsigned char)*p) : '-';
	dst[n] = '\0';
}

void identity_scope_of(char dst[IDENTITY_SCOPE_SIZE], const struct route *r)
{
	char resource[SCOPE_SIZE];

	resource_of(resource, r);
	(void)str_fmt(dst, SCOPE_SIZE, "%s:%s", resource, verb_of(r));
}

static bool is_word(const char *s, size_t n, const char *word)
{
	return n == strlen(word) && memcmp(s, word, n) == 0;
}

/* One of n bytes. */
static bool one_allows(const char *scope, size_t n, const char *resource, const char *verb)
{
	const char *colon = memchr(scope, ':', n);
	size_t left;

	if (is_word(scope, n, SCOPE_ALL))
		return true;
	if (colon == NULL)
		return false;
	left = (size_t)(colon - scope);
	return (is_word(scope, left, "*") || is_word(scope, left, resource)) &&
	       (is_word(colon + 1, n - left - 1, "*") || is_word(colon + 1, n - left - 1, verb));
}

bool scope_allows(const char *scopes, const struct route *r)
{
	char resource[SCOPE_SIZE];

	resource_of(resource, r);
	while (*scopes != '\0') {
		const size_t n = strcspn(scopes, " ");

		if (n > 0 && one_allows(scopes, n, resource, verb_of(r)))
			return true;
		scopes += n + (scopes[n] == ' ');
	}
	return false;
}

bool scope_is_all(const char *scopes)
{
	while (*scopes != '\0') {
		const size_t n = strcspn(scopes, " ");

		if (is_word(scopes, n, SCOPE_ALL) || is_word(scopes, n, "*:*"))
			return true;
		scopes += n + (scopes[n] == ' ');
	}
	return false;
}

bool identity_in_scope(const struct identity *id, const struct route *r)
{
	return !id->api_key || scope_allows(id->scopes, r);
}

int scope_check(const char *scope, char resource[SCOPE_SIZE], struct err *e)
{
	const size_t n = strcspn(scope, ":");
	const char *verb = scope + n + 1;

	(void)str_copy(resource, SCOPE_SIZE, "*");
	if (str_eq(scope, SCOPE_ALL))
		return 0;
	if (n > 0 && n < SCOPE_SIZE - sizeof ":write" && scope[n] == ':' &&
		(str_eq(verb, "read") || str_eq(verb, "write") || str_eq(verb, "*")) &&
		(str_starts(scope, "*:") || strspn(scope, "abcdefghijklmnopqrstuvwxyz0123456789-") == n)) {
		(void)str_fmt(resource, SCOPE_SIZE, "%.*s", (int)n, scope);
		return 0;
	}
	err_set(e, ERR_VALIDATION, "scopes",
		"scopes: '%.64s' must be '*' or <resource>:read, <resource>:write, <resource>:*, as in mappings:read",
		scope);
	return err_detail(e, "format", scope);
}

json_t *scope_list(const char *scopes)
{
	json_t *out = json_array();

	while (*scopes != '\0') {
		const size_t n = strcspn(scopes, " ");

		if (n > 0)
			json_array_append_new(out, json_stringn(scopes, n));
		scopes += n + (scopes[n] == ' ');
	}
	return out;
}
