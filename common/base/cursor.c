#include "common/base/cursor.h"

#include "common/base/str.h"

#include <string.h>

void cursor_init(struct cursor *c, const void *p, size_t n)
{
	/* Never NULL, so that empty input gives pointers which memcpy() may take. */
	*c = (struct cursor){ .p = p != NULL ? p : "", .left = p != NULL ? n : 0 };
}

void cursor_fail(struct cursor *c)
{
	c->failed = true;
	c->left = 0;
}

const uint8_t *cursor_bytes(struct cursor *c, size_t n)
{
	const uint8_t *p = c->p;

	if (c->failed || n > c->left) {
		cursor_fail(c);
		return NULL;
	}
	c->p += n;
	c->left -= n;
	return p;
}

static uint64_t cursor_be(struct cursor *c, size_t n)
{
	const uint8_t *p = cursor_bytes(c, n);
	uint64_t v = 0;

	for (size_t i = 0; p != NULL && i < n; i++)
		v = v << 8 | p[i];
	return v;
}

uint8_t cursor_u8(struct cursor *c)
{
	return (uint8_t)cursor_be(c, 1);
}

uint16_t cursor_u16(struct cursor *c)
{
	return (uint16_t)cursor_be(c, 2);
}

uint32_t cursor_u32(struct cursor *c)
{
	return (uint32_t)cursor_be(c, 4);
}

uint64_t cursor_u64(struct cursor *c)
{
	return cursor_be(c, 8);
}

void cursor_str16(struct cursor *c, char *dst, size_t size)
{
	const size_t n = cursor_u16(c);
	const uint8_t *p = cursor_bytes(c, n);

	if (size > 0)
		dst[0] = '\0';
	if (p == NULL)
		return;
	if (n >= size || !str_is_utf8((const char *)p, n)) {
		cursor_fail(c);
		return;
	}
	memcpy(dst, p, n);
	dst[n] = '\0';
}

const uint8_t *cursor_blob32(struct cursor *c, size_t *n)
{
	const size_t len = cursor_u32(c);
	const uint8_t *p = cursor_bytes(c, len);

	*n = p != NULL ? len : 0;
	return p;
}

uint32_t cursor_count(struct cursor *c, uint32_t max, size_t min_size)
{
	const uint32_t n = cursor_u32(c);

	if (n > max || (min_size > 0 && n > c->left / min_size)) {
		cursor_fail(c);
		return 0;
	}
	return n;
}

int cursor_done(const struct cursor *c)
{
	return !c->failed && c->left == 0 ? 0 : -1;
}
