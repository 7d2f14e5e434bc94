#include "common/base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Shortens a cut of s at n bytes so that it does not end inside a UTF-8 character. */
static size_t str_cut(const char *s, size_t n)
{
	size_t back = 0;

	while (back < 3 && back < n && ((uint8_t)s[n - back] & 0xc0) == 0x80)
		back++;
	/* Bytes that are no UTF-8 are cut where asked: there is no character to keep whole. */
	return ((uint8_t)s[n - back] & 0xc0) == 0x80 ? n : n - back;
}

int str_copy(char *dst, size_t size, const char *src)
{
	size_t n = strnlen(src, size);
	int fits = n < size;

	if (size == 0)
		return -1;
	if (!fits)
		n = str_cut(src, size - 1);
	memcpy(dst, src, n);
	dst[n] = '\0';
	return fits ? 0 : -1;
}

/* Drops a UTF-8 character at the end of s that vsnprintf() cut in two. */
static void str_drop_partial(char *s)
{
	size_t n = strlen(s), start = n;

	while (start > 0 && n - start < 4 && ((uint8_t)s[start - 1] & 0xc0) == 0x80)
		start--;
	if (start > 0 && ((uint8_t)s[start - 1] & 0xc0) == 0xc0 && !str_is_utf8(s + start - 1, n - start + 1))
		s[start - 1] = '\0';
}

int str_fmt(char *dst, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(dst, size, fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < size)
		return 0;
	if (size > 0)
		str_drop_partial(dst);
	return -1;
}

bool str_eq(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return strcmp(a, b) == 0;
}

bool str_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* Reads decimal digits at s; answers the first byte after them, or NULL when there are none or the number is
 * too big. */
static const char *str_digits(const char *s, uint64_t *out)
{
	uint64_t v = 0;

	if (*s < '0' || *s > '9')
		return NULL;
	for (; *s >= '0' && *s <= '9'; s++) {
		uint64_t digit = (uint64_t)(*s - '0');

		if (v > (UINT64_MAX - digit) / 10)
			return NULL;
		v = v * 10 + digit;
	}
	*out = v;
	return s;
}

int str_to_u64(const char *s, uint64_t min, uint64_t max, uint64_t *out)
{
	const char *end;
	uint64_t v;

	end = str_digits(s, &v);
	if (end == NULL || *end != '\0' || v < min || v > max)
		return -1;
	*out = v;
	return 0;
}

int str_to_i64(const char *s, int64_t min, int64_t max, int64_t *out)
{
	const bool negative = *s == '-';
	const uint64_t limit = (uint64_t)INT64_MAX + (negative ? 1 : 0);
	uint64_t magnitude;
	int64_t v;

	if (str_to_u64(s + negative, 0, limit, &magnitude) != 0)
		return -1;
	v = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
	if (v < min || v > max)
		return -1;
	*out = v;
	return 0;
}

struct str_unit {
	const char *suffix;
	uint64_t factor;
};

static int str_to_scaled(const char *s, const struct str_unit *units, size_t n, uint64_t *out)
{
	const char *suffix;
	uint64_t v;

	suffix = str_digits(s, &v);
	if (suffix == NULL)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(suffix, units[i].suffix) != 0)
			continue;
		if (v > UINT64_MAX / units[i].factor)
			return -1;
		*out = v * units[i].factor;
		return 0;
	}
	return -1;
}

int str_to_duration_ms(const char *s, uint64_t *ms)
{
	static const struct str_unit units[] = {
		{ "", 1000 },
		{ "ms", 1 },
		{ "s", 1000 },
		{ "m", 60 * 1000 },
		{ "h", 60 * 60 * 1000 },
		{ "d", 24 * 60 * 60 * 1000 },
	};

	return str_to_scaled(s, units, ARRAY_LEN(units), ms);
}

int str_to_size(const char *s, uint64_t *bytes)
{
	static const struct str_unit units[] = {
		{ "", 1 },
		{ "KiB", UINT64_C(1) << 10 },
		{ "MiB", UINT64_C(1) << 20 },
		{ "GiB", UINT64_C(1) << 30 },
		{ "K", UINT64_C(1) << 10 },
		{ "M", UINT64_C(1) << 20 },
		{ "G", UINT64_C(1) << 30 },
	};

	return str_to_scaled(s, units, ARRAY_LEN(units), bytes);
}

int str_to_bool(const char *s, bool *out)
{
	static const char *const yes[] = { "true", "yes", "on", "1" };
	static const char *const no[] = { "false", "no", "off", "0" };

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (strcmp(s, yes[i]) == 0) {
			*out = true;
			return 0;
		}
		if (strcmp(s, no[i]) == 0) {
			*out = false;
			return 0;
		}
	}
	return -1;
}

/* Length of the UTF-8 character at p (n bytes left), or 0 when it is not one. RFC 3629 section 4. */
static size_t str_utf8_len(const uint8_t *p, size_t n)
{
	uint8_t low = 0x80, high = 0xbf; /* bounds of the second byte: no overlong forms, surrogates, > U+10FFFF */
	size_t len;

	if (p[0] < 0x80)
		return p[0] != 0;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (n < len || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

bool str_is_utf8(const char *s, size_t n)
{
	const uint8_t *p = (const uint8_t *)s;

	while (n > 0) {
		size_t len = str_utf8_len(p, n);

		if (len == 0)
			return false;
		p += len;
		n -= len;
	}
	return true;
}

void str_make_utf8(char *s)
{
	size_t left = strlen(s);

	while (left > 0) {
		size_t len = str_utf8_len((const uint8_t *)s, left);

		if (len == 0) {
			*s = '?';
			len = 1;
		}
		s += len;
		left -= len;
	}
}

bool str_eq_secret(const char *a, const char *b)
{
	const size_t n = strlen(a);
	volatile uint8_t diff = 0;

	if (strlen(b) != n)
		return false;
	for (size_t i = 0; i < n; i++)
		diff = (uint8_t)(diff | (uint8_t)(a[i] ^ b[i]));
	return diff == 0;
}

void str_hex(char *dst, const void *src, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *p = src;

	for (size_t i = 0; i < n; i++) {
		dst[2 * i] = digits[p[i] >> 4];
		dst[2 * i + 1] = digits[p[i] & 15];
	}
	dst[2 * n] = '\0';
}

static int str_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int str_unhex(void *dst, size_t size, const char *hex)
{
	const size_t n = strlen(hex);
	uint8_t *p = dst;

	if (n % 2 != 0 || n / 2 > size || n / 2 > INT32_MAX)
		return -1;
	for (size_t i = 0; i < n / 2; i++) {
		int high = str_hex_digit(hex[2 * i]), low = str_hex_digit(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return -1;
		p[i] = (uint8_t)(high << 4 | low);
	}
	return (int)(n / 2);
}

size_t str_b64url_len(size_t n)
{
	return n / 3 * 4 + (n % 3 != 0 ? n % 3 + 1 : 0);
}

void str_b64url(char *dst, const void *src, size_t n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	const uint8_t *p = src;
	uint32_t bits = 0;
	unsigned held = 0; /* bits in `bits` that were not written yet */

	for (size_t i = 0; i < n; i++) {
		bits = bits << 8 | p[i];
		for (held += 8; held >= 6; held -= 6)
			*dst++ = digits[bits >> (held - 6) & 63];
	}
	if (held > 0)
		*dst++ = digits[bits << (6 - held) & 63];
	*dst = '\0';
}

static int str_b64url_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

int str_unb64url(void *dst, size_t size, const char *s, size_t len)
{
	const size_t n = len / 4 * 3 + (len % 4 != 0 ? len % 4 - 1 : 0);
	uint8_t *p = dst;
	uint32_t bits = 0;
	unsigned held = 0;

	if (len % 4 == 1 || n > size || n > INT32_MAX)
		return -1;
	for (size_t i = 0; i < len; i++) {
		int digit = str_b64url_digit(s[i]);

		if (digit < 0)
			return -1;
		bits = bits << 6 | (uint32_t)digit;
		held += 6;
		if (held >= 8) {
			held -= 8;
			*p++ = (uint8_t)(bits >> held);
		}
	}
	/* Bits beyond the last byte must be zero, or one value would have several spellings. */
	return (bits & ((1u << held) - 1)) == 0 ? (int)n : -1;
}

/* One row of the table at a time. */
size_t str_distance(const char *a, const char *b)
{
	size_t row[128];
	const size_t n = strnlen(b, ARRAY_LEN(row) - 1);

	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 0; a[i] != '\0'; i++) {
		size_t diagonal = row[0];

		row[0] = i + 1;
		for (size_t j = 0; j < n; j++) {
			const size_t change = diagonal + (a[i] != b[j]);

			diagonal = row[j + 1];
			row[j + 1] = MIN(change, MIN(diagonal, row[j]) + 1);
		}
	}
	return row[n];
}
