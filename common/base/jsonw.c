#include "common/base/jsonw.h"

#include "common/base/clock.h"

#include <string.h>

static void put(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}

/* U+0000..U+001F, the quote and the backslash are what RFC 8259 section 7 asks to escape. */
static void put_escaped(struct buf *b, unsigned char c)
{
	static const char short_form[0x20] = { ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't' };
	static const char hex[] = "0123456789abcdef";
	char text[7] = "\\u00";

	if (c >= 0x20 || short_form[c] != '\0') {
		text[1] = c >= 0x20 ? (char)c : short_form[c];
		buf_put(b, text, 2);
		return;
	}
	text[4] = hex[c >> 4];
	text[5] = hex[c & 15];
	buf_put(b, text, 6);
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c != '"' && c != '\\';
}

static void put_string(struct buf *b, const char *s)
{
	buf_u8(b, '"');
	while (*s != '\0') {
		size_t n = 0;

		while (s[n] != '\0' && is_plain((unsigned char)s[n]))
			n++;
		buf_put(b, s, n);
		s += n;
		if (*s != '\0')
			put_escaped(b, (unsigned char)*s++);
	}
	buf_u8(b, '"');
}

/* The comma, if something precedes, and the member's name: one piece, as there is one for every value. */
static void begin(struct buf *b, const char *key)
{
	const bool comma = b->len > 0 && b->data[b->len - 1] != '{' && b->data[b->len - 1] != '[';
	uint8_t *p = buf_reserve(b, (key != NULL ? strlen(key) : 0) + 4);

	if (p == NULL)
		return;
	if (comma)
		*p++ = ',';
	if (key != NULL) {
		*p++ = '"';
		for (; *key != '\0'; key++)
			*p++ = (uint8_t)*key;
		*p++ = '"';
		*p++ = ':';
	}
	b->len = (size_t)(p - b->data);
}

void jsonw_object(struct buf *b, const char *key)
{
	begin(b, key);
	buf_u8(b, '{');
}

void jsonw_end_object(struct buf *b)
{
	buf_u8(b, '}');
}

void jsonw_array(struct buf *b, const char *key)
{
	begin(b, key);
	buf_u8(b, '[');
}

void jsonw_end_array(struct buf *b)
{
	buf_u8(b, ']');
}

void jsonw_str(struct buf *b, const char *key, const char *s)
{
	begin(b, key);
	if (s == NULL)
		put(b, "null");
	else
		put_string(b, s);
}

void jsonw_str_or_null(struct buf *b, const char *key, const char *s)
{
	jsonw_str(b, key, s != NULL && s[0] != '\0' ? s : NULL);
}

static void put_digits(struct buf *b, uint64_t v)
{
	char digits[20];
	size_t at = sizeof digits;

	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	buf_put(b, digits + at, sizeof digits - at);
}

void jsonw_uint(struct buf *b, const char *key, uint64_t v)
{
	begin(b, key);
	put_digits(b, v);
}

void jsonw_int(struct buf *b, const char *key, int64_t v)
{
	begin(b, key);
	if (v < 0)
		buf_u8(b, '-');
	put_digits(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void jsonw_bool(struct buf *b, const char *key, bool v)
{
	begin(b, key);
	put(b, v ? "true" : "false");
}

void jsonw_null(struct buf *b, const char *key)
{
	jsonw_str(b, key, NULL);
}

void jsonw_time(struct buf *b, const char *key, int64_t wall_ms)
{
	char text[CLOCK_RFC3339_SIZE];

	if (wall_ms == 0) {
		jsonw_null(b, key);
		return;
	}
	clock_rfc3339(text, wall_ms);
	jsonw_str(b, key, text);
}

void jsonw_raw(struct buf *b, const char *key, const char *json, size_t n)
{
	begin(b, key);
	buf_put(b, json, n);
}
