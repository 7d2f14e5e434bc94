#include "common/http/http_names.h"

#include "common/base/macros.h"

#include <stdbool.h>
#include <string.h>

struct name {
	char text[HTTP_NAME_ROOM];
	uint8_t n;
	uint8_t flags;
};

static const struct name names[HTTP_NAMES_END] = {
#define X(id, text, a, y, z, flags) [HTTP_NAME_##id] = { text, sizeof text - 1, flags },
	HTTP_NAMES(X)
#undef X
};

static const uint8_t slots[256] = {
#define X(id, text, a, y, z, flags) [HTTP_NAME_HASH(sizeof text - 1, a, y, z)] = HTTP_NAME_##id,
	HTTP_NAMES(X)
#undef X
};

/* Lower case of letters; digits and '-' stay what they are. */
#define LOWER UINT64_C(0x2020202020202020)

static uint64_t load(const void *p, size_t n)
{
	uint64_t v = 0;

	memcpy(&v, p, n);
	return v;
}

/*
 * Setting bit 5 of every byte makes letters equal in both cases. It makes '^' and '~', '_' and DEL equal as well, and
 * controls and printable ones: none of these stands in a known name, and what is not a token was refused before.
 */
static bool same(const char *known, const uint8_t *p, size_t n)
{
	uint64_t differ = 0;
	size_t i = 0;

	for (; n - i >= 8; i += 8)
		differ |= (load(known + i, 8) ^ load(p + i, 8)) & ~LOWER;
	if (n >= 8)
		return (differ | ((load(known + n - 8, 8) ^ load(p + n - 8, 8)) & ~LOWER)) == 0;
	for (; i < n; i++)
		differ |= (uint64_t)((known[i] ^ p[i]) & ~0x20);
	return differ == 0;
}

enum http_name http_name_find(const uint8_t *p, size_t n)
{
	unsigned id;

	if (n < 2)
		return HTTP_NAME_UNKNOWN;
	id = slots[HTTP_NAME_HASH(n, p[0] | 0x20, p[n - 2] | 0x20, p[n - 1] | 0x20)];
	return names[id].n == n && same(names[id].text, p, n) ? (enum http_name)id : HTTP_NAME_UNKNOWN;
}

const char *http_name_text(enum http_name id)
{
	return names[id].text;
}

size_t http_name_len(enum http_name id)
{
	return names[id].n;
}

unsigned http_name_flags(enum http_name id)
{
	return names[id].flags;
}
