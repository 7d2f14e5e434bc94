/*
 * Lines are read from left to right and a fault is the first byte that is wrong, so the same bytes have the same fault
 * however they were cut. What stands in an incomplete line is read again when more comes; a line is bounded, and its bytes
 * are passed over by sixteen, so bytes that trickle in cost less than the calls that brought them.
 */
#include "common/http/http_head.h"

#include "common/http/http_scan.h"
#include "common/http/http_scan_value.h"

#include <string.h>

#define METHOD_MAX 32

/* One line being read. */
struct line {
	const uint8_t *p, *end;
	enum http_fault at_end; /* HTTP_OK: more bytes may come; else the limit that ends it here */
	enum http_fault why;
};

static bool line_bad(struct line *l, enum http_fault why)
{
	l->why = why;
	return false;
}

/* The line is not whole. */
static bool line_short(struct line *l)
{
	return line_bad(l, l->at_end);
}

/* The line may take `most` bytes of those in [p, end). */
static void line_limit(struct line *l, size_t most, enum http_fault why)
{
	if ((size_t)(l->end - l->p) >= most) {
		l->end = l->p + most;
		l->at_end = why;
	}
}

/* Where the next `most` bytes end, or the line's bytes do. */
static const uint8_t *line_within(const struct line *l, size_t most)
{
	return (size_t)(l->end - l->p) > most ? l->p + most : l->end;
}

/* At a byte that is not of the kind that was being read: CRLF, or what is wrong. */
static bool line_ends(struct line *l, enum http_fault other)
{
	if (l->p == l->end)
		return line_short(l);
	if (*l->p == '\n')
		return line_bad(l, HTTP_BAD_BARE_LF);
	if (*l->p != '\r')
		return line_bad(l, other);
	if (l->end - l->p < 2)
		return line_short(l);
	if (l->p[1] != '\n')
		return line_bad(l, HTTP_BAD_BARE_CR);
	l->p += 2;
	return true;
}

static struct http_part part(const struct http_head *h, const uint8_t *from, const uint8_t *to)
{
	return (struct http_part){ (uint16_t)(from - h->base), (uint16_t)(to - from) };
}

/* ---- start lines ---- */

static const struct {
	char text[8];
	uint8_t n, method;
} methods[] = {
#define X(name) { #name, sizeof #name - 1, HTTP_##name },
	HTTP_METHODS(X)
#undef X
};

static enum http_method method_of(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (methods[i].n == n && memcmp(methods[i].text, p, n) == 0)
			return (enum http_method)methods[i].method;
	return HTTP_OTHER;
}

/* "HTTP/1.1"; where the version is a fault it is *later, told when the line has ended. */
static bool line_version(struct line *l, struct http_head *h, enum http_fault *later)
{
	static const char pattern[] = "HTTP/0.0";
	const uint8_t *const at = l->p;

	for (; l->p - at < 8; l->p++) {
		const char want = pattern[l->p - at];

		if (l->p == l->end)
			return line_short(l);
		if (*l->p == '\n')
			return line_bad(l, HTTP_BAD_BARE_LF);
		if (want == '0' ? *l->p < '0' || *l->p > '9' : *l->p != (uint8_t)want)
			return line_bad(l, HTTP_BAD_VERSION_FORM);
	}
	h->version = (uint8_t)((at[5] - '0') * 10 + at[7] - '0');
	if (h->version != 10 && h->version != 11)
		*later = HTTP_BAD_VERSION;
	return true;
}

static bool line_method(struct line *l, struct http_head *h)
{
	const uint8_t *const from = l->p;
	const uint8_t *const to = http_scan_kind(from, line_within(l, METHOD_MAX + 1), HTTP_IS_TOKEN);

	if (to - from > METHOD_MAX)
		return line_bad(l, HTTP_BAD_METHOD_LONG);
	if (to == l->end)
		return line_short(l);
	if (*to == '\n')
		return line_bad(l, HTTP_BAD_BARE_LF);
	if (to == from || *to != ' ')
		return line_bad(l, HTTP_BAD_METHOD);
	h->method_at = part(h, from, to);
	h->method = (uint8_t)method_of(from, (size_t)(to - from));
	l->p = to + 1;
	return true;
}

static bool line_target(struct line *l, struct http_head *h)
{
	const uint8_t *const from = l->p;

	l->p = http_scan_target(from, l->end);
	if (l->p == l->end)
		return line_short(l);
	if (*l->p == '\n')
		return line_bad(l, HTTP_BAD_BARE_LF);
	if (l->p == from)
		return line_bad(l, HTTP_BAD_TARGET);
	if (*l->p == '\r') /* "GET /" CRLF: HTTP/0.9 */
		return line_bad(l, HTTP_BAD_VERSION_FORM);
	if (*l->p != ' ')
		return line_bad(l, HTTP_BAD_TARGET);
	h->target = part(h, from, l->p);
	l->p++;
	return true;
}

static bool line_request(struct line *l, struct http_head *h)
{
	enum http_fault later = HTTP_OK;

	if (!line_method(l, h) || !line_target(l, h))
		return false;
	if (l->end - l->p >= 10 && memcmp(l->p, "HTTP/1.1\r\n", 10) == 0) {
		h->version = 11;
		l->p += 10;
		return true;
	}
	if (!line_version(l, h, &later) || !line_ends(l, HTTP_BAD_VERSION_FORM))
		return false;
	return later == HTTP_OK || line_bad(l, later);
}

/* HTTP-version SP 3DIGIT [ SP [ reason ] ]: the second SP is left out by many when there is no reason. */
static bool line_status(struct line *l, struct http_head *h)
{
	enum http_fault later = HTTP_OK;
	const uint8_t *from;

	h->status = 0;
	if (l->end - l->p >= 9 && memcmp(l->p, "HTTP/1.1 ", 9) == 0) {
		h->version = 11;
		l->p += 8;
	} else if (!line_version(l, h, &later)) {
		return false;
	}
	for (int i = 0; i < 4; i++, l->p++) {
		if (l->p == l->end)
			return line_short(l);
		if (i == 0 ? *l->p != ' ' : *l->p < '0' || *l->p > '9')
			return line_bad(l, *l->p == '\n' ? HTTP_BAD_BARE_LF : HTTP_BAD_STATUS_LINE);
		if (i > 0)
			h->status = (uint16_t)(h->status * 10 + *l->p - '0');
	}
	from = l->p;
	if (l->p < l->end && *l->p == ' ') {
		from = ++l->p;
		l->p = http_scan_value(l->p, l->end);
	}
	h->reason = part(h, from, l->p);
	if (!line_ends(l, HTTP_BAD_STATUS_LINE))
		return false;
	if (h->status < 100 || h->status > 599)
		return line_bad(l, HTTP_BAD_STATUS_LINE);
	return later == HTTP_OK || line_bad(l, later);
}

/* ---- fields ---- */

static bool line_bad_name(struct line *l, const uint8_t *from)
{
	const uint8_t byte = *l->p;

	if (byte == '\n')
		return line_bad(l, HTTP_BAD_BARE_LF);
	if (byte == ' ' || byte == '\t')
		return line_bad(l, l->p == from ? HTTP_BAD_FOLDED : HTTP_BAD_NAME_SPACE);
	return line_bad(l, HTTP_BAD_NAME);
}

static bool line_field(struct line *l, const struct http_head *h, struct http_field *f)
{
	const uint8_t *const from = l->p, *value, *last;

	l->p = http_scan_name(from, line_within(l, HTTP_NAME_MAX + 1));
	if (l->p - from > HTTP_NAME_MAX)
		return line_bad(l, HTTP_BAD_FIELD_LONG);
	if (l->p == l->end)
		return line_short(l);
	if (*l->p != ':' || l->p == from)
		return line_bad_name(l, from);
	f->name = (uint16_t)(from - h->base);
	f->name_len = (uint8_t)(l->p - from);
	f->id = (uint8_t)http_name_find(from, f->name_len);
	f->flags = http_name_flags((enum http_name)f->id) & HTTP_NAME_HOP ? HTTP_FIELD_HOP : 0;
	for (value = l->p + 1; value < l->end && (*value == ' ' || *value == '\t');)
		value++;
	last = l->p = http_scan_value(value, l->end);
	while (last > value && (last[-1] == ' ' || last[-1] == '\t'))
		last--;
	f->value = (uint16_t)(value - h->base);
	f->value_len = (uint16_t)(last - value);
	return line_ends(l, HTTP_BAD_VALUE);
}

/* ---- all of it ---- */

void http_head_begin(struct http_head *h, enum http_lines kind)
{
	h->pos = h->n = 0;
	h->dropped = 0;
	if (kind == HTTP_TRAILER_LINES)
		return;
	h->version = h->method = h->form = h->body = 0;
	h->port = h->status = 0;
	h->method_at = h->target = h->path = h->query = h->host = h->reason = (struct http_part){ 0, 0 };
	h->length = 0;
	h->has_length = h->keep_alive = h->upgrade = h->expects_100 = h->takes_trailers = h->switches = false;
}

static bool may_trail(const struct http_field *f)
{
	return f->id == HTTP_NAME_UNKNOWN || (http_name_flags((enum http_name)f->id) & HTTP_NAME_TRAILS) != 0;
}

static bool head_start_line(struct http_head *h, enum http_lines kind, const struct http_limits *limits, struct line *l)
{
	line_limit(l, limits->line, kind == HTTP_REQUEST_LINES ? HTTP_BAD_TARGET_LONG : HTTP_BAD_STATUS_LINE);
	return kind == HTTP_REQUEST_LINES ? line_request(l, h) : line_status(l, h);
}

static bool head_field_line(struct http_head *h, enum http_lines kind, const struct http_limits *limits, struct line *l)
{
	if (h->n >= MIN(limits->fields, HTTP_FIELDS_MAX))
		return line_bad(l, HTTP_BAD_FIELDS_MANY);
	line_limit(l, limits->field, HTTP_BAD_FIELD_LONG);
	if (!line_field(l, h, &h->fields[h->n]))
		return false;
	if (kind == HTTP_TRAILER_LINES && !may_trail(&h->fields[h->n]))
		h->dropped++;
	else
		h->n++;
	return true;
}

int http_head_lines(struct http_head *h, enum http_lines kind, const struct http_limits *limits, const uint8_t *p,
	size_t n, enum http_fault *why)
{
	const bool capped = n >= limits->head;
	struct line l;
	bool whole;

	h->base = p;
	for (;;) {
		l = (struct line){ p + h->pos, p + (capped ? limits->head : n), capped ? HTTP_BAD_HEAD_LONG : HTTP_OK,
			HTTP_OK };
		if (h->pos == 0 && kind != HTTP_TRAILER_LINES)
			whole = head_start_line(h, kind, limits, &l);
		else if (l.p == l.end)
			whole = line_short(&l);
		else if (*l.p == '\r')
			whole = line_ends(&l, HTTP_BAD_NAME);
		else
			whole = head_field_line(h, kind, limits, &l);
		if (!whole) {
			*why = l.why;
			return l.why == HTTP_OK ? 0 : -1;
		}
		/* An empty line ends it: two bytes that a field line cannot be. */
		if (l.p - p - h->pos == 2) {
			h->pos = (uint16_t)(l.p - p);
			return 1;
		}
		h->pos = (uint16_t)(l.p - p);
	}
}

struct http_span http_head_path(const struct http_head *h)
{
	return h->path.n > 0 ? http_head_part(h, h->path) : (struct http_span){ "/", 1 };
}

const struct http_field *http_head_find(const struct http_head *h, enum http_name id)
{
	for (const struct http_field *f = h->fields; f < h->fields + h->n; f++)
		if (f->id == id)
			return f;
	return NULL;
}

static bool name_is(const struct http_head *h, const struct http_field *f, const char *name, size_t n)
{
	if (f->name_len != n)
		return false;
	for (size_t i = 0; i < n; i++) {
		const uint8_t byte = h->base[f->name + i];

		if ((byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte) != (uint8_t)name[i])
			return false;
	}
	return true;
}

const struct http_field *http_head_find_text(const struct http_head *h, const char *name)
{
	const size_t n = strlen(name);

	for (const struct http_field *f = h->fields; f < h->fields + h->n; f++)
		if (name_is(h, f, name, n))
			return f;
	return NULL;
}

struct http_span http_head_line(const struct http_head *h, uint16_t field)
{
	const uint16_t from = h->fields[field].name;
	const uint8_t *end = h->base + h->fields[field].value + h->fields[field].value_len;

	while (*end !=
		'\n') /* white space, then CRLF; not where the next field begins: a trailer's may have been dropped */
		end++;
	return (struct http_span){ (const char *)h->base + from, (size_t)(end + 1 - h->base - from) };
}
