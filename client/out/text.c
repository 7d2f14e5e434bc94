#define _GNU_SOURCE /* vasprintf, wcwidth */
#include "client/out/text.h"

#include "common/base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <wchar.h>

#define TEXT_MAX (16u << 20)

/* Length of the character at p (RFC 3629), 0 when the bytes are none. */
static size_t decode(const unsigned char *p, size_t n, uint32_t *out)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len = p[0] < 0x80             ? 1
	             : (p[0] & 0xe0) == 0xc0 ? 2
	             : (p[0] & 0xf0) == 0xe0 ? 3
	             : (p[0] & 0xf8) == 0xf0 ? 4
	                                     : 0;
	uint32_t c = p[0];

	if (len == 0 || len > n)
		return 0;
	if (len > 1)
		c &= 0x7fu >> len;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3fu);
	}
	if (len > 1 && (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)))
		return 0;
	*out = c;
	return len;
}

/* Marks that have no width of their own but change how what follows is shown. */
static bool is_mark(uint32_t c)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {
		{ 0x80, 0x9f },       /* C1: CSI and its like in one character */
		{ 0xad, 0xad },       /* soft hyphen */
		{ 0x61c, 0x61c },     /* Arabic letter mark */
		{ 0x200b, 0x200f },   /* zero width, direction marks */
		{ 0x2028, 0x202e },   /* line ends, direction overrides */
		{ 0x2060, 0x206f },   /* invisible operators, isolates */
		{ 0xfe00, 0xfe0f },   /* variation selectors */
		{ 0xfeff, 0xfeff },   /* zero width no-break space */
		{ 0xfff9, 0xfffb },   /* interlinear annotation */
		{ 0xe0000, 0xe0fff }, /* tags */
	};

	for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	return false;
}

static size_t columns(uint32_t c)
{
	int w = c < 0x80 ? 1 : wcwidth((wchar_t)c); /* -1: the locale does not know it */

	return w < 0 ? 1 : (size_t)w;
}

static void put_escape(struct buf *out, uint32_t c)
{
	if (c == '\n' || c == '\t' || c == '\r')
		buf_printf(out, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
	else if (c < 0x80)
		buf_printf(out, "\\x%02x", c);
	else
		buf_printf(out, c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
}

size_t text_clean(struct buf *out, const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t wide = 0;

	while (n > 0) {
		uint32_t c = 0;
		size_t len = decode(p, n, &c), before = out->len;

		if (len == 0) {
			buf_printf(out, "\\x%02x", *p);
			len = 1;
		} else if (c < 0x20 || c == 0x7f || is_mark(c)) {
			put_escape(out, c);
		} else {
			buf_put(out, p, len);
			before = out->len;
			wide += columns(c);
		}
		wide += out->len - before;
		p += len;
		n -= len;
	}
	return wide;
}

size_t text_fit(const char *s, size_t n, size_t most)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t used = 0, wide = 0;

	while (used < n) {
		uint32_t c = 0;
		size_t len = decode(p + used, n - used, &c);

		wide += len == 0 ? 1 : columns(c);
		if (wide > most)
			break;
		used += MAX(len, 1);
	}
	return used;
}

void text_put(FILE *out, const char *s)
{
	struct buf b;
	size_t n = 0;

	while (s[n] != '\0')
		n++;
	buf_init(&b, TEXT_MAX);
	text_clean(&b, s, n);
	(void)fwrite(b.data, 1, b.len, out);
	buf_free(&b);
}

void text_printf(FILE *out, const char *fmt, ...)
{
	char *line = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&line, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	text_put(out, line);
	free(line);
}
