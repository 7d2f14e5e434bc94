#include "common/base/jsonw.h"

#include "common/base/clock.h"

#include <string.h>

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

/* How many bytes s begins with that stay as they are. Eight at once: what needs an escape leaves its byte's highest bit. */
static size_t plain_bytes(const char *s, size_t n)
{
	const uint64_t ones = UINT64_MAX / 255, high = ones << 7;
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
		uint64_t v, quote, slash;

		memcpy(&v, s + i, sizeof v);
		quote = v ^ ones * '"';
		slash = v ^ ones * '\\';
		if ((((v - ones * ' ') & ~v) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash)) & high)
			break;
	}
	while (i < n && (unsigned char)s[i] >= ' ' && s[i] != '"' && s[i] != '\\')
		i++;
	return i;
}

static void put_escapes(struct buf *b, const char *s, size_t n)
{
	buf_u8(b, '"');
	while (n > 0) {
		const size_t plain = plain_bytes(s, n);

		buf_put(b, s, plain);
		s += plain;
		n -= plain;
		if (n == 0)
			break;
		put_escaped(b, (unsigned char)*s++);
		n--;
	}
	buf_u8(b, '"');
}

static uint8_t *copy(uint8_t *dst, const char *s, size_t n)
{
	memcpy(dst, s, n);
	return dst + n;
}

/*
 * The comma, if something precedes, and the member's name, in one piece with room for the n bytes of its value: where those
 * go, or NULL. finish() says where they end.
 */
static uint8_t *begin(struct buf *b, const char *key, size_t n)
{
	const bool comma = b->len > 0 && b->data[b->len - 1] != '{' && b->data[b->len - 1] != '[';
	const size_t name = key != NULL ? strlen(key) : 0;
	uint8_t *p = buf_reserve(b, name + 4 + n);

	if (p == NULL)
		return NULL;
	if (comma)
		*p++ = ',';
	if (key != NULL) {
		*p++ = '"';
		p = copy(p, key, name);
		*p++ = '"';
		*p++ = ':';
	}
	return p;
}

static void finish(struct buf *b, const uint8_t *end)
{
	b->len = (size_t)(end - b->data);
}

static void put(struct buf *b, const char *key, const char *text, size_t n)
{
	uint8_t *p = begin(b, key, n);

	if (p == NULL)
		return;
	finish(b, copy(p, text, n));
}

void jsonw_object(struct buf *b, const char *key)
{
	put(b, key, "{", 1);
}

void jsonw_end_object(struct buf *b)
{
	buf_u8(b, '}');
}

void jsonw_array(struct buf *b, const char *key)
{
	put(b, key, "[", 1);
}

void jsonw_end_array(struct buf *b)
{
	buf_u8(b, ']');
}

void jsonw_str(struct buf *b, const char *key, const char *s)
{
	uint8_t *p;
	size_t n;

	if (s == NULL) {
		jsonw_null(b, key);
		return;
	}
	n = strlen(s);
	p = begin(b, key, n + 2);
	if (p == NULL)
		return;
	if (plain_bytes(s, n) != n) {
		finish(b, p);
		put_escapes(b, s, n);
		return;
	}
	*p++ = '"';
	p = copy(p, s, n);
	*p++ = '"';
	finish(b, p);
}

void jsonw_str_or_null(struct buf *b, const char *key, const char *s)
{
	jsonw_str(b, key, s != NULL && s[0] != '\0' ? s : NULL);
}

static void put_number(struct buf *b, const char *key, uint64_t v, bool minus)
{
	char digits[21];
	size_t at = sizeof digits;

	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	if (minus)
		digits[--at] = '-';
	put(b, key, digits + at, sizeof digits - at);
}

void jsonw_uint(struct buf *b, const char *key, uint64_t v)
{
	put_number(b, key, v, false);
}

void jsonw_int(struct buf *b, const char *key, int64_t v)
{
	put_number(b, key, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0);
}

void jsonw_bool(struct buf *b, const char *key, bool v)
{
	put(b, key, v ? "true" : "false", v ? 4 : 5);
}

void jsonw_null(struct buf *b, const char *key)
{
	put(b, key, "null", 4);
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
	put(b, key, json, n);
}
