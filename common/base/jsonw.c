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

/* Eight bytes at once: what needs an escape leaves its byte's highest bit. */
static inline bool needs_escape(uint64_t v)
{
	const uint64_t ones = UINT64_MAX / 255, high = ones << 7;
	const uint64_t quote = v ^ ones * '"', slash = v ^ ones * '\\';

	return ((((v - ones * ' ') & ~v) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash)) & high) != 0;
}

static inline uint64_t eight(const char *s)
{
	uint64_t v;

	memcpy(&v, s, sizeof v);
	return v;
}

/* How many bytes s begins with that stay as they are. */
static size_t plain_bytes(const char *s, size_t n)
{
	size_t i = 0;

	while (i + 8 <= n && !needs_escape(eight(s + i)))
		i += 8;
	while (i < n && (unsigned char)s[i] >= ' ' && s[i] != '"' && s[i] != '\\')
		i++;
	return i;
}

/* The last eight of a text may be looked at twice. */
static inline bool is_plain(const char *s, size_t n)
{
	if (n < 8)
		return plain_bytes(s, n) == n;
	for (size_t i = 0; i + 8 < n; i += 8)
		if (needs_escape(eight(s + i)))
			return false;
	return !needs_escape(eight(s + n - 8));
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

/* Names and values are short: to call memcpy() would cost more than to copy them. What overlaps is written twice. */
static inline uint8_t *copy(uint8_t *dst, const char *s, size_t n)
{
	if (n > 32) {
		memcpy(dst, s, n);
	} else if (n >= 16) {
		memcpy(dst, s, 16);
		memcpy(dst + n - 16, s + n - 16, 16);
	} else if (n >= 8) {
		memcpy(dst, s, 8);
		memcpy(dst + n - 8, s + n - 8, 8);
	} else if (n >= 4) {
		memcpy(dst, s, 4);
		memcpy(dst + n - 4, s + n - 4, 4);
	} else if (n > 0) {
		dst[0] = (uint8_t)s[0];
		dst[n / 2] = (uint8_t)s[n / 2];
		dst[n - 1] = (uint8_t)s[n - 1];
	}
	return dst + n;
}

static inline uint8_t *room(struct buf *b, size_t n)
{
	return b->len + n < b->cap && b->len + n <= b->max && !b->failed ? b->data + b->len : buf_reserve(b, n);
}

/*
 * The comma, if something precedes, and the member's name, in one piece with room for the n bytes of its value: where those
 * go, or NULL. finish() says where they end.
 */
static inline uint8_t *begin(struct buf *b, const char *key, size_t key_n, size_t n)
{
	const bool comma = b->len > 0 && b->data[b->len - 1] != '{' && b->data[b->len - 1] != '[';
	uint8_t *p = room(b, key_n + 4 + n);

	if (p == NULL)
		return NULL;
	if (comma)
		*p++ = ',';
	if (key != NULL) {
		*p++ = '"';
		p = copy(p, key, key_n);
		*p++ = '"';
		*p++ = ':';
	}
	return p;
}

static inline void finish(struct buf *b, const uint8_t *end)
{
	b->len = (size_t)(end - b->data);
}

void jsonw_put(struct buf *b, const char *key, size_t key_n, const char *text, size_t n)
{
	uint8_t *p = begin(b, key, key_n, n);

	if (p != NULL)
		finish(b, copy(p, text, n));
}

void jsonw_end_object(struct buf *b)
{
	buf_u8(b, '}');
}

void jsonw_end_array(struct buf *b)
{
	buf_u8(b, ']');
}

void jsonw_put_str(struct buf *b, const char *key, size_t key_n, const char *s)
{
	uint8_t *p;
	size_t n;

	if (s == NULL) {
		jsonw_put(b, key, key_n, "null", 4);
		return;
	}
	n = strlen(s);
	p = begin(b, key, key_n, n + 2);
	if (p == NULL)
		return;
	if (!is_plain(s, n)) {
		finish(b, p);
		put_escapes(b, s, n);
		return;
	}
	*p++ = '"';
	p = copy(p, s, n);
	*p++ = '"';
	finish(b, p);
}

/* Ends at `end`, which is exclusive; where it begins. */
static inline char *digits_of(char *end, uint64_t v)
{
	do {
		*--end = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	return end;
}

#define DIGITS 20

void jsonw_put_number(struct buf *b, const char *key, size_t key_n, uint64_t v, bool minus)
{
	char text[1 + DIGITS], *end = text + sizeof text, *p = digits_of(end, v);

	if (minus)
		*--p = '-';
	jsonw_put(b, key, key_n, p, (size_t)(end - p));
}

static inline uint8_t *put_value(uint8_t *dst, int64_t v)
{
	char text[DIGITS], *end = text + sizeof text, *p;

	if (v >= 0 && v <= 9) {
		*dst = (uint8_t)('0' + v);
		return dst + 1;
	}
	p = digits_of(end, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
	if (v < 0)
		*dst++ = '-';
	return copy(dst, p, (size_t)(end - p));
}

void jsonw_numbers(struct buf *b, const struct jsonw_number *list, size_t n, const int64_t *values)
{
	size_t skip = b->len > 0 && (b->data[b->len - 1] == '{' || b->data[b->len - 1] == '['); /* a comma */

	for (size_t i = 0; i < n; i++, skip = 0) {
		uint8_t *p = room(b, list[i].n + 1 + DIGITS);

		if (p == NULL)
			return;
		p = copy(p, list[i].text + skip, list[i].n - skip);
		finish(b, put_value(p, values[list[i].at]));
	}
}

void jsonw_put_time(struct buf *b, const char *key, size_t key_n, int64_t wall_ms)
{
	char text[CLOCK_RFC3339_SIZE + 1] = "\"";
	size_t n;

	if (wall_ms == 0) {
		jsonw_put(b, key, key_n, "null", 4);
		return;
	}
	clock_rfc3339(text + 1, wall_ms);
	n = strlen(text);
	text[n] = '"';
	jsonw_put(b, key, key_n, text, n + 1);
}
