#include "common/http/http_writer.h"

#include "common/http/http_scan.h"
#include "common/http/http_scan_value.h"

#include <string.h>

_Static_assert(HTTP_NAMES_END <= 64, "a set of names is 64 bits");

void http_writer_init(struct http_writer *w, void *dst, size_t cap)
{
	*w = (struct http_writer){ .p = dst, .cap = cap };
}

uint8_t *http_writer_room(struct http_writer *w, size_t n)
{
	if (n <= w->cap - w->n)
		return w->p + w->n;
	w->failed = true;
	return NULL;
}

void http_writer_wrote(struct http_writer *w, const uint8_t *end)
{
	w->n = (size_t)(end - w->p);
}

static inline void put(struct http_writer *w, const void *p, size_t n)
{
	if (n > w->cap - w->n) {
		w->failed = true;
		return;
	}
	if (n > 0)
		memcpy(w->p + w->n, p, n);
	w->n += n;
}

/* Of a text whose length the compiler knows, this is a move or two. */
static inline void put_str(struct http_writer *w, const char *s)
{
	put(w, s, strlen(s));
}

static bool all(struct http_span s, unsigned kind)
{
	const uint8_t *const from = (const uint8_t *)s.p, *const to = from + s.n;

	return http_scan_kind(from, to, kind) == to;
}

static bool is_target(struct http_span s)
{
	const uint8_t *const from = (const uint8_t *)s.p, *const to = from + s.n;

	return http_scan_target(from, to) == to;
}

static bool is_value(struct http_span s)
{
	return http_scan_is_value((const uint8_t *)s.p, s.n);
}

static bool is_name(struct http_span s)
{
	const uint8_t *const from = (const uint8_t *)s.p, *const to = from + s.n;

	return s.n > 0 && http_scan_name(from, to) == to;
}

static void must(struct http_writer *w, bool right)
{
	if (!right)
		w->failed = true;
}

/* ---- start lines ---- */

void http_writer_request(struct http_writer *w, struct http_span method, struct http_span path, struct http_span query)
{
	must(w, method.n > 0 && all(method, HTTP_IS_TOKEN));
	must(w, path.n > 0 && (path.p[0] == '/' || (path.p[0] == '*' && path.n == 1)) && is_target(path));
	must(w, query.n == 0 || (query.p[0] == '?' && is_target(query)));
	put(w, method.p, method.n);
	put_str(w, " ");
	put(w, path.p, path.n);
	put(w, query.p, query.n);
	put_str(w, " HTTP/1.1\r\n");
}

void http_writer_connect(struct http_writer *w, struct http_span authority)
{
	must(w, authority.n > 0 && is_target(authority));
	put_str(w, "CONNECT ");
	put(w, authority.p, authority.n);
	put_str(w, " HTTP/1.1\r\n");
}

const char *http_writer_reason(unsigned status)
{
	static const struct {
		unsigned status;
		const char *reason;
	} reasons[] = {
		{ 100, "Continue" },
		{ 101, "Switching Protocols" },
		{ 103, "Early Hints" },
		{ 200, "OK" },
		{ 201, "Created" },
		{ 202, "Accepted" },
		{ 204, "No Content" },
		{ 206, "Partial Content" },
		{ 301, "Moved Permanently" },
		{ 302, "Found" },
		{ 303, "See Other" },
		{ 304, "Not Modified" },
		{ 307, "Temporary Redirect" },
		{ 308, "Permanent Redirect" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 411, "Length Required" },
		{ 413, "Content Too Large" },
		{ 414, "URI Too Long" },
		{ 417, "Expectation Failed" },
		{ 421, "Misdirected Request" },
		{ 426, "Upgrade Required" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 505, "HTTP Version Not Supported" },
	};

	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "";
}

void http_writer_status(struct http_writer *w, unsigned status, const char *reason)
{
	const char *const text = reason != NULL ? reason : http_writer_reason(status);

	http_writer_status_as(w, status, (struct http_span){ text, strlen(text) });
}

void http_writer_status_as(struct http_writer *w, unsigned status, struct http_span reason)
{
	const char line[] = { 'H', 'T', 'T', 'P', '/', '1', '.', '1', ' ', (char)('0' + status / 100 % 10),
		(char)('0' + status / 10 % 10), (char)('0' + status % 10), ' ' };

	must(w, status >= 100 && status <= 599 && is_value(reason));
	put(w, line, sizeof line);
	put(w, reason.p, reason.n);
	put_str(w, "\r\n");
}

/* ---- fields ---- */

static void put_field(struct http_writer *w, struct http_span name, const struct http_span *parts, size_t n)
{
	put(w, name.p, name.n);
	put_str(w, ": ");
	for (size_t i = 0; i < n; i++) {
		must(w, is_value(parts[i]));
		put(w, parts[i].p, parts[i].n);
	}
	put_str(w, "\r\n");
}

/* The same with one check for all of it: there is room for the longest name, and as much is copied. */
static void put_known(struct http_writer *w, struct http_span name, struct http_span value)
{
	uint8_t *to = w->p + w->n;

	must(w, is_value(value));
	memcpy(to, name.p, HTTP_NAME_ROOM);
	to += name.n;
	*to++ = ':';
	*to++ = ' ';
	if (value.n > 0)
		memcpy(to, value.p, value.n);
	to += value.n;
	*to++ = '\r';
	*to++ = '\n';
	http_writer_wrote(w, to);
}

void http_writer_known(struct http_writer *w, enum http_name name, const struct http_span *parts, size_t n)
{
	const struct http_span key = { http_name_text(name), http_name_len(name) };

	if (n == 1 && HTTP_NAME_ROOM + 4 + parts[0].n <= w->cap - w->n)
		put_known(w, key, parts[0]);
	else
		put_field(w, key, parts, n);
}

void http_writer_field(struct http_writer *w, const char *name, struct http_span value)
{
	const struct http_span key = { name, strlen(name) };

	must(w, is_name(key));
	put_field(w, key, &value, 1);
}

void http_writer_field_str(struct http_writer *w, const char *name, const char *value)
{
	http_writer_field(w, name, (struct http_span){ value, strlen(value) });
}

/* In the last places of digits. */
static struct http_span decimal(char digits[20], uint64_t value)
{
	size_t at = 20;

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	return (struct http_span){ digits + at, 20 - at };
}

void http_writer_field_u64(struct http_writer *w, const char *name, uint64_t value)
{
	char digits[20];

	http_writer_field(w, name, decimal(digits, value));
}

void http_writer_known_u64(struct http_writer *w, enum http_name name, uint64_t value)
{
	char digits[20];
	const struct http_span text = decimal(digits, value);

	http_writer_known(w, name, &text, 1);
}

static bool stays(const struct http_field *f, uint64_t without)
{
	return f->flags == 0 && (without >> f->id & 1) == 0;
}

#define WRITTEN_HERE (HTTP_SET(CONTENT_LENGTH) | HTTP_SET(TRANSFER_ENCODING))

void http_writer_line(struct http_writer *w, const struct http_head *h, uint16_t field, uint64_t without)
{
	const struct http_span line = http_head_line(h, field);

	if (stays(&h->fields[field], (without | WRITTEN_HERE) & ~UINT64_C(1)))
		put(w, line.p, line.n);
}

/*
 * The lines were checked when they were read, so they are copied as they stand, neighbours at once. In a trailer section
 * lines may be missing between two fields; there each goes by itself.
 */
void http_writer_fields(struct http_writer *w, const struct http_head *h, uint64_t without)
{
	without = (without | WRITTEN_HERE) & ~UINT64_C(1);
	for (uint16_t i = 0; i < h->n; i++) {
		uint16_t last = i;
		struct http_span line;

		if (!stays(&h->fields[i], without))
			continue;
		while (h->dropped == 0 && last + 1 < h->n && stays(&h->fields[last + 1], without))
			last++;
		line = http_head_line(h, last);
		put(w, h->base + h->fields[i].name,
			(size_t)((const uint8_t *)line.p - h->base) - h->fields[i].name + line.n);
		i = last;
	}
}

void http_writer_framing(struct http_writer *w, const struct http_head *h, bool to_http10, bool *until_close)
{
	*until_close = false;
	if (h->body == HTTP_CHUNKED || h->body == HTTP_UNTIL_CLOSE) {
		if (to_http10)
			*until_close = true;
		else
			http_writer_field_str(w, "Transfer-Encoding", "chunked");
	} else if (h->has_length && h->status != 204 && (h->status >= 200 || h->status == 0)) {
		http_writer_field_u64(w, "Content-Length", h->length); /* of HEAD and 304: what it would have been */
	}
}

int http_writer_done(struct http_writer *w)
{
	put_str(w, "\r\n");
	return w->failed || w->n > INT32_MAX ? -1 : (int)w->n;
}

size_t http_writer_chunk_head(uint8_t dst[HTTP_CHUNK_HEAD_MAX], uint64_t n)
{
	static const char digits[] = "0123456789abcdef";
	size_t len = 1;

	while (len < 16 && n >> (4 * len) != 0)
		len++;
	for (size_t i = 0; i < len; i++)
		dst[i] = (uint8_t)digits[n >> (4 * (len - 1 - i)) & 15];
	dst[len] = '\r';
	dst[len + 1] = '\n';
	return len + 2;
}
