#include "controld/mail/template.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum what { PLACE_VALUE, PLACE_URL, PLACE_OPEN, PLACE_CLOSE };

/* What stands between {{ and }}. */
struct place {
	enum what what;
	char name[TEMPLATE_NAME_MAX + 1];
	const char *otherwise; /* in the template; NULL: none */
	size_t otherwise_n;
};

struct rendering {
	struct buf *out;
	enum template_as as;
	const json_t *values;
	char open[TEMPLATE_DEPTH_MAX][TEMPLATE_NAME_MAX + 1]; /* sections */
	size_t depth;
	size_t hidden; /* how many of them have no value: nothing is written then */
};

/* ---- values ------------------------------------------------------------------------------------------------------- */

/* As a text; "" when there is none. A number is printed into the room. */
static const char *value_of(const struct rendering *r, const char *name, char room[32])
{
	const json_t *v = json_object_get(r->values, name);

	if (json_is_string(v))
		return json_string_value(v);
	room[0] = '\0';
	if (json_is_integer(v))
		(void)str_fmt(room, 32, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	else if (json_is_real(v))
		(void)str_fmt(room, 32, "%.12g", json_real_value(v));
	else if (json_is_true(v))
		(void)str_copy(room, 32, "yes");
	return room;
}

static void put_html(struct buf *b, unsigned char c)
{
	static const char *const named[128] = {
		['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;", ['\''] = "&#39;", ['`'] = "&#96;"
	};

	if (c < 128 && named[c] != NULL)
		buf_put(b, named[c], strlen(named[c]));
	else if (c >= ' ' && c != 127)
		buf_u8(b, c);
	else
		buf_u8(b, ' ');
}

static void put(const struct rendering *r, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const unsigned char c = (unsigned char)s[i];

		if (r->as == TEMPLATE_HTML)
			put_html(r->out, c);
		else
			buf_u8(r->out, c < ' ' || c == 127 ? ' ' : c);
	}
}

static bool is_url(const char *s)
{
	const bool good = strncasecmp(s, "https://", 8) == 0 || strncasecmp(s, "http://", 7) == 0;

	if (!good || strchr(s, ':')[3] == '\0')
		return false;
	for (; *s != '\0'; s++)
		if ((unsigned char)*s <= ' ' || *s == 127 || strchr("\"'<>\\`", *s) != NULL)
			return false;
	return true;
}

static int put_value(const struct rendering *r, const struct place *p, struct err *e)
{
	char room[32] = "", field[TEMPLATE_NAME_MAX + 8];
	const char *v = value_of(r, p->name, room);

	(void)str_fmt(field, sizeof field, "data.%s", p->name);
	if (r->hidden > 0)
		return 0;
	if (strlen(v) > TEMPLATE_VALUE_MAX)
		return err_set(e, ERR_VALIDATION, field, "%s: longer than %d bytes", field, TEMPLATE_VALUE_MAX);
	if (p->what == PLACE_URL && *v != '\0' && !is_url(v))
		return err_set(
			e, ERR_VALIDATION, field, "%s: must be a URL that begins with https:// or http://", field);
	if (*v == '\0' && p->otherwise != NULL)
		put(r, p->otherwise, p->otherwise_n);
	else
		put(r, v, strlen(v));
	return 0;
}

/* ---- places ------------------------------------------------------------------------------------------------------- */

static int bad(struct err *e, const char *what, const char *at)
{
	return err_set(e, ERR_INTERNAL, NULL, "template: %s at '%.20s'", what, at);
}

/* *s stands behind {{, and then behind }}. */
static int read_place(const char **s, struct place *p, struct err *e)
{
	const char *end = strstr(*s, "}}"), *at = *s;
	size_t n = 0;

	*p = (struct place){ .what = PLACE_VALUE };
	if (end == NULL)
		return bad(e, "no end of a place", at);
	if (*at == '#' || *at == '/')
		p->what = *at++ == '#' ? PLACE_OPEN : PLACE_CLOSE;
	else if (strncmp(at, "url:", 4) == 0) {
		p->what = PLACE_URL;
		at += 4;
	}
	while (n < TEMPLATE_NAME_MAX && (isalnum((unsigned char)at[n]) || at[n] == '_'))
		n++;
	(void)str_fmt(p->name, sizeof p->name, "%.*s", (int)n, at);
	if (at[n] == '|' && p->what == PLACE_VALUE) {
		p->otherwise = at + n + 1;
		p->otherwise_n = (size_t)(end - p->otherwise);
	} else if (at + n != end) {
		return bad(e, "no name", *s);
	}
	if (n == 0)
		return bad(e, "no name", *s);
	*s = end + 2;
	return 0;
}

static int open_section(struct rendering *r, const struct place *p, struct err *e)
{
	char room[32] = "";

	if (r->depth == TEMPLATE_DEPTH_MAX)
		return bad(e, "too many sections", p->name);
	(void)str_copy(r->open[r->depth++], sizeof r->open[0], p->name);
	if (r->hidden > 0 || *value_of(r, p->name, room) == '\0')
		r->hidden++;
	return 0;
}

static int close_section(struct rendering *r, const struct place *p, struct err *e)
{
	if (r->depth == 0 || !str_eq(r->open[r->depth - 1], p->name))
		return bad(e, "the end of another section", p->name);
	r->depth--;
	if (r->hidden > 0)
		r->hidden--;
	return 0;
}

static int fill(struct rendering *r, const struct place *p, struct err *e)
{
	switch (p->what) {
	case PLACE_OPEN:
		return open_section(r, p, e);
	case PLACE_CLOSE:
		return close_section(r, p, e);
	default:
		return put_value(r, p, e);
	}
}

int template_render(struct buf *out, enum template_as as, const char *text, const json_t *values, struct err *e)
{
	struct rendering r = { .out = out, .as = as, .values = values };

	while (*text != '\0') {
		const char *at = strstr(text, "{{");
		const size_t n = at != NULL ? (size_t)(at - text) : strlen(text);
		struct place p;

		if (r.hidden == 0)
			buf_put(out, text, n);
		text += n;
		if (at == NULL)
			break;
		text += 2;
		if (read_place(&text, &p, e) != 0 || fill(&r, &p, e) != 0)
			return -1;
	}
	if (r.depth > 0)
		return bad(e, "no end of a section", r.open[r.depth - 1]);
	return out->failed
	               ? err_set(e, ERR_TOO_LARGE, "data", "data: the mail would be longer than %zu bytes", out->max)
	               : 0;
}
