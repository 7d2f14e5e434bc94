#include "relayd/route/route_path.h"

#include <stdbool.h>
#include <string.h>

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool is_unreserved(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
	       c == '_' || c == '~';
}

/* One escape at p; how many bytes it became, or -1. */
static int take_escape(char *dst, const char *p, size_t left)
{
	static const char digits[] = "0123456789ABCDEF";
	const int high = left > 1 ? hex_value(p[1]) : -1, low = left > 2 ? hex_value(p[2]) : -1;

	if (high < 0 || low < 0 || (high == 0 && low == 0))
		return -1;
	if (is_unreserved(high << 4 | low)) {
		dst[0] = (char)(high << 4 | low);
		return 1;
	}
	dst[0] = '%';
	dst[1] = digits[high];
	dst[2] = digits[low];
	return 3;
}

static int unescape(char *dst, size_t *n, struct http_span path)
{
	size_t out = 0;

	for (size_t i = 0; i < path.n; i++) {
		int made = 1;

		if (path.p[i] != '%') {
			dst[out++] = path.p[i];
			continue;
		}
		made = take_escape(dst + out, path.p + i, path.n - i);
		if (made < 0)
			return -1;
		out += (size_t)made;
		i += 2;
	}
	*n = out;
	return 0;
}

/* In place, segment by segment, as section 5.2.4 has it; each begins with its slash. */
static int remove_dots(char *p, size_t *n)
{
	size_t out = 0, i = 0;

	while (i < *n) {
		const char *next = memchr(p + i + 1, '/', *n - i - 1);
		const size_t len = next != NULL ? (size_t)(next - p) - i : *n - i;
		const bool dot = len == 2 && p[i + 1] == '.', dots = len == 3 && p[i + 1] == '.' && p[i + 2] == '.';

		if (!dot && !dots) {
			memmove(p + out, p + i, len);
			out += len;
		} else {
			if (dots && out == 0)
				return -1;
			while (dots && p[--out] != '/')
				;
			if (next == NULL) /* "/a/." is "/a/" */
				p[out++] = '/';
		}
		i += len;
	}
	*n = out;
	return 0;
}

int route_path_take(char *dst, size_t *n, struct http_span path)
{
	if (path.n == 0 || (path.p[0] != '/' && !(path.n == 1 && path.p[0] == '*')))
		return -1;
	if (unescape(dst, n, path) != 0 || (dst[0] == '/' && remove_dots(dst, n) != 0))
		return -1;
	dst[*n] = '\0';
	return 0;
}
