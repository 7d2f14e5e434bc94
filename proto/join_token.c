#include "common/base/str.h"
#include "proto/join.h"

#include <string.h>

#define JOIN_TOKEN_ID_CHARS     "abcdefghijklmnopqrstuvwxyz0123456789_"
#define JOIN_TOKEN_SECRET_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
#define JOIN_TOKEN_HEX_CHARS    "0123456789abcdef"

/* Copies the leading bytes of s that are among chars and answers what follows; NULL when there are none or too many. */
static const char *join_token_part(const char *s, const char *chars, char *dst, size_t size)
{
	const size_t n = strspn(s, chars);

	if (n == 0 || n >= size)
		return NULL;
	memcpy(dst, s, n);
	dst[n] = '\0';
	return s + n;
}

static bool join_token_read(struct join_token *t, const char *s)
{
	s = join_token_part(s, JOIN_TOKEN_ID_CHARS, t->id, sizeof t->id);
	if (s == NULL || *s++ != '.')
		return false;
	s = join_token_part(s, JOIN_TOKEN_SECRET_CHARS, t->secret, sizeof t->secret);
	if (s == NULL || *s++ != '.')
		return false;
	s = join_token_part(s, JOIN_TOKEN_HEX_CHARS, t->ca_fingerprint, sizeof t->ca_fingerprint);
	return s != NULL && *s == '\0' && strlen(t->ca_fingerprint) == sizeof t->ca_fingerprint - 1;
}

int join_token_parse(struct join_token *t, const char *s)
{
	memset(t, 0, sizeof *t);
	if (join_token_read(t, s))
		return 0;
	memset(t, 0, sizeof *t);
	return -1;
}

int join_token_print(const struct join_token *t, char *dst)
{
	return str_fmt(dst, JOIN_TOKEN_MAX, "%s.%s.%s", t->id, t->secret, t->ca_fingerprint);
}
