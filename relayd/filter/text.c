#include "relayd/filter/text.h"

#include "common/http/http_scan.h"
#include "common/http/http_scan_value.h"

#include <string.h>
#include <strings.h>

void text_put(struct edit *e, const char *p, size_t n)
{
	(void)edit_keep(e, p, n);
}

void text_str(struct edit *e, const char *s)
{
	text_put(e, s, strlen(s));
}

void text_u64(struct edit *e, uint64_t v)
{
	char digits[20];
	size_t at = sizeof digits;

	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	text_put(e, digits + at, sizeof digits - at);
}

/* ---- fields ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct http_span trim(struct http_span s)
{
	while (s.n > 0 && is_blank(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

static bool all(struct http_span s, unsigned kind)
{
	const uint8_t *const from = (const uint8_t *)s.p, *const to = from + s.n;

	return http_scan_kind(from, to, kind) == to;
}

/* What stands in the edit's own bytes is there already. */
static bool is_kept(const struct edit *e, struct http_span s)
{
	return s.p >= e->text && s.p < e->text + sizeof e->text;
}

void text_field(struct edit *e, const char *name, struct http_span value)
{
	const struct http_span key = text_span(name), v = trim(value);

	if (e->n_added == EDIT_FIELDS_MAX || key.n == 0 || key.n > HTTP_NAME_MAX || !all(key, HTTP_IS_TOKEN) ||
		!http_scan_is_value((const uint8_t *)v.p, v.n)) {
		e->failed = true;
		return;
	}
	if (is_kept(e, v))
		e->added[e->n_added++] = (struct edit_field){ .name = name, .value = v };
	else
		edit_add(e, name, v);
}

void text_set(struct edit *e, const char *name, struct http_span value)
{
	edit_remove(e, name);
	text_field(e, name, value);
}

static bool lists(struct http_span value, struct http_span token)
{
	while (value.n > 0) {
		const char *const comma = memchr(value.p, ',', value.n);
		const size_t n = comma != NULL ? (size_t)(comma - value.p) : value.n;
		const struct http_span item = trim((struct http_span){ value.p, n });

		if ((item.n == token.n && strncasecmp(item.p, token.p, item.n) == 0) || (item.n == 1 && *item.p == '*'))
			return true;
		value.p += MIN(n + 1, value.n);
		value.n -= MIN(n + 1, value.n);
	}
	return false;
}

void text_token(struct edit *e, const struct http_head *h, enum http_name id, const char *token)
{
	const struct http_span what = text_span(token);
	const char *const name = http_name_text(id);
	const bool theirs = (e->removed >> id & 1) == 0;

	for (uint16_t i = 0; h != NULL && theirs && i < h->n; i++)
		if (h->fields[i].id == id && lists(http_field_value(h, &h->fields[i]), what))
			return;
	for (uint16_t i = 0; i < e->n_added; i++)
		if (strcmp(e->added[i].name, name) == 0 && lists(e->added[i].value, what))
			return;
	text_field(e, name, what);
}
