#include "relayd/http/h2_lines.h"

#include <string.h>

bool h2_lines_is_line(struct http_span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((uint8_t)s.p[i] <= '\r' && (s.p[i] == '\r' || s.p[i] == '\n' || s.p[i] == '\0'))
			return false;
	return true;
}

bool h2_lines_is_word(struct http_span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((uint8_t)s.p[i] <= ' ' && (s.p[i] == ' ' || s.p[i] == '\t' || !h2_lines_is_line(s)))
			return false;
	return s.n > 0;
}

int h2_lines_put(struct blocks *bs, struct block **b, struct http_span name, struct http_span value)
{
	const size_t n = name.n + value.n + 4;
	uint8_t *to;

	if (block_grow(bs, b, n) != 0)
		return -1;
	to = (*b)->bytes + (*b)->n;
	memcpy(to, name.p, name.n);
	to += name.n;
	*to++ = ':';
	*to++ = ' ';
	if (value.n > 0)
		memcpy(to, value.p, value.n);
	to += value.n;
	*to++ = '\r';
	*to++ = '\n';
	(*b)->n += n;
	return 0;
}

static bool is_one_of(const uint8_t *p, size_t n, const struct http_span *names, size_t n_names)
{
	for (size_t i = 0; i < n_names; i++)
		if (n == names[i].n && memcmp(p, names[i].p, n) == 0)
			return true;
	return false;
}
#define NAME(text)                    \
	{                             \
		text, sizeof text - 1 \
	}

static bool is_of_the_hop(const uint8_t *p, size_t n)
{
	static const struct http_span names[] = { NAME("connection"), NAME("keep-alive"), NAME("proxy-connection"),
		NAME("transfer-encoding"), NAME("upgrade") };

	return is_one_of(p, n, names, ARRAY_LEN(names));
}

/*
 * Fields that no two messages have alike: both ends' tables of fields would be full of them, and nghttp2 compares each new one with all
 * that are there.
 */
static bool is_new_each_time(const uint8_t *p, size_t n)
{
	static const struct http_span names[] = { NAME("x-request-id"), NAME("traceparent") };

	return is_one_of(p, n, names, ARRAY_LEN(names));
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
		uint8_t *end = memchr(p, '\r', n - 1), *value; /* the only one: what stands in a value was checked */
		uint8_t *colon = end != NULL ? memchr(p, ':', (size_t)(end - p)) : NULL;

		if (colon == NULL || end[1] != '\n')
			break;
		lower(p, (size_t)(colon - p));
		for (value = colon + 1; value < end && *value == ' ';)
			value++;
		if (!is_of_the_hop(p, (size_t)(colon - p)))
			to[k++] = (nghttp2_nv){ p, value, (size_t)(colon - p), (size_t)(end - value),
				is_new_each_time(p, (size_t)(colon - p)) ? NGHTTP2_NV_FLAG_NO_INDEX
									 : NGHTTP2_NV_FLAG_NONE };
		n -= (size_t)(end + 2 - p);
		p = end + 2;
	}
	return k;
}
