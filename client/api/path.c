#include "client/api/path.h"

#include "common/base/buf.h"

#include <string.h>

static void encode(struct buf *b, const char *s)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";

	for (; *s != '\0'; s++) {
		if (strchr(plain, *s) != NULL)
			buf_put(b, s, 1);
		else
			buf_printf(b, "%%%02X", (unsigned char)*s);
	}
}

void path_segment(struct buf *b, const char *s)
{
	buf_put(b, "/", 1);
	/* "." and ".." are steps, however they are written. */
	if (strcmp(s, ".") == 0 || strcmp(s, "..") == 0)
		buf_printf(b, "%%2E%s", s[1] == '.' ? "%2E" : "");
	else
		encode(b, s);
}

void path_query(struct buf *b, const char *name, const char *value)
{
	buf_printf(b, "%c", b->len == 0 || memchr(b->data, '?', b->len) == NULL ? '?' : '&');
	encode(b, name);
	buf_put(b, "=", 1);
	encode(b, value);
}
