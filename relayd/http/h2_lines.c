#define _GNU_SOURCE 1
#include "relayd/http/h2_lines.h"

#include <string.h>

bool h2_lines_is_line(struct http_span s)
{
	return memchr(s.p, '\r', s.n) == NULL && memchr(s.p, '\n', s.n) == NULL && memchr(s.p, '\0', s.n) == NULL;
}

bool h2_lines_is_word(struct http_span s)
{
	return h2_lines_is_line(s) && s.n > 0 && memchr(s.p, ' ', s.n) == NULL && memchr(s.p, '\t', s.n) == NULL;
}

int h2_lines_put(struct blocks *bs, struct block **b, struct http_span name, struct http_span value)
{
	if (block_append(bs, b, name.p, name.n) != 0 || block_append(bs, b, ": ", 2) != 0 ||
		block_append(bs, b, value.p, value.n) != 0)
		return -1;
	return block_append(bs, b, "\r\n", 2);
}

static bool is_of_the_hop(const uint8_t *p, size_t n)
{
	static const char *const names[] = { "connection", "keep-alive", "proxy-connection", "transfer-encoding",
		"upgrade" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (n == strlen(names[i]) && memcmp(p, names[i], n) == 0)
			return true;
	return false;
}

static void lower(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] >= 'A' && p[i] <= 'Z')
			p[i] |= 0x20;
}

size_t h2_lines_fields(nghttp2_nv *to, size_t max, uint8_t *p, size_t n)
{
	size_t k = 0;

	while (n > 2 && k < max) {
		uint8_t *end = memmem(p, n, "\r\n", 2), *colon = memchr(p, ':', n), *value;

		if (end == NULL || end == p || colon == NULL || colon > end)
			break;
		lower(p, (size_t)(colon - p));
		for (value = colon + 1; value < end && *value == ' ';)
			value++;
		if (!is_of_the_hop(p, (size_t)(colon - p)))
			to[k++] = (nghttp2_nv){ p, value, (size_t)(colon - p), (size_t)(end - value),
				NGHTTP2_NV_FLAG_NONE };
		n -= (size_t)(end + 2 - p);
		p = end + 2;
	}
	return k;
}
