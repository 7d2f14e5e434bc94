#include "common/base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF_CAP_MIN 64

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max };
}

void buf_free(struct buf *b)
{
	free(b->data);
	buf_init(b, b->max);
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->failed = false;
}

/* One byte more than asked for is always there: buf_cstr() and buf_printf() write a NUL that is not content.
 */
static bool buf_enlarge(struct buf *b, size_t n)
{
	const size_t limit = b->max == SIZE_MAX ? SIZE_MAX : b->max + 1;
	size_t cap;
	uint8_t *data;

	if (b->failed || b->len > b->max || n > b->max - b->len || b->len + n >= limit) {
		b->failed = true;
		return false;
	}
	if (b->len + n < b->cap)
		return true;
	cap = b->cap > limit / 2 ? limit : MAX(b->cap * 2, BUF_CAP_MIN);
	cap = MIN(MAX(cap, b->len + n + 1), limit);
	data = realloc(b->data, cap);
	if (data == NULL) {
		b->failed = true;
		return false;
	}
	b->data = data;
	b->cap = cap;
	return true;
}

static inline bool buf_grow(struct buf *b, size_t n)
{
	if (n < b->cap - b->len && b->len + n <= b->max && !b->failed)
		return true;
	return buf_enlarge(b, n);
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
	return buf_grow(b, n) ? b->data + b->len : NULL;
}

void buf_put(struct buf *b, const void *p, size_t n)
{
	if (n == 0 || !buf_grow(b, n))
		return;
	memcpy(b->data + b->len, p, n);
	b->len += n;
}

static void buf_be(struct buf *b, uint64_t v, size_t n)
{
	uint8_t bytes[8];

	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
	buf_put(b, bytes, n);
}

void buf_u8(struct buf *b, uint8_t v)
{
	buf_put(b, &v, 1);
}

void buf_u16(struct buf *b, uint16_t v)
{
	buf_be(b, v, 2);
}

void buf_u32(struct buf *b, uint32_t v)
{
	buf_be(b, v, 4);
}

void buf_u64(struct buf *b, uint64_t v)
{
	buf_be(b, v, 8);
}

void buf_str16(struct buf *b, const char *s)
{
	const size_t n = s != NULL ? strlen(s) : 0;

	if (n > UINT16_MAX) {
		b->failed = true;
		return;
	}
	buf_u16(b, (uint16_t)n);
	buf_put(b, s, n);
}

void buf_blob32(struct buf *b, const void *p, size_t n)
{
	if (n > UINT32_MAX) {
		b->failed = true;
		return;
	}
	buf_u32(b, (uint32_t)n);
	buf_put(b, p, n);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->failed = true;
		return;
	}
	if (!buf_grow(b, (size_t)n))
		return;
	va_start(ap, fmt);
	vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}

void buf_patch_u32(struct buf *b, size_t at, uint32_t v)
{
	if (b->failed) /* the four bytes may be what did not fit */
		return;
	assert(b->len >= 4 && at <= b->len - 4);
	for (size_t i = 0; i < 4; i++)
		b->data[at + i] = (uint8_t)(v >> (24 - 8 * i));
}

void buf_consume(struct buf *b, size_t n)
{
	n = MIN(n, b->len);
	if (n == 0)
		return;
	b->len -= n;
	memmove(b->data, b->data + n, b->len);
}

const char *buf_cstr(struct buf *b)
{
	if (b->len == 0 || !buf_grow(b, 0))
		return "";
	b->data[b->len] = '\0';
	return (const char *)b->data;
}
