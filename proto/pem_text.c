#include "proto/pem_text.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"
#include "common/base/str.h"

#include <stdlib.h>
#include <string.h>

void pem_text_put(struct buf *b, const char *s)
{
	buf_blob32(b, s, s != NULL ? strlen(s) : 0);
}

char *pem_text_get(struct cursor *c, size_t max)
{
	size_t n;
	const uint8_t *p = cursor_blob32(c, &n);
	char *s = NULL;

	if (p != NULL && n > 0 && n <= max && str_is_utf8((const char *)p, n))
		s = malloc(n + 1);
	if (s == NULL) {
		cursor_fail(c);
		return NULL;
	}
	memcpy(s, p, n);
	s[n] = '\0';
	return s;
}

void pem_text_free(char *s)
{
	if (s == NULL)
		return;
	explicit_bzero(s, strlen(s));
	free(s);
}
