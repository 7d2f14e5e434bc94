#include "common/http/http_target.h"

#include "common/http/http_scan.h"

#include "common/net/addr.h"

#include <string.h>
#include <strings.h>

#define HOST_MAX 255

/* ---- host and port ---- */

/* *DIGIT: an empty port is none (RFC 3986 section 3.2.3). */
static int port_parse(uint16_t *port, const char *p, size_t n)
{
	unsigned value = 0;

	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return -1;
		value = value * 10 + (unsigned)(p[i] - '0');
		if (value > UINT16_MAX)
			return -1;
	}
	if (n > 0 && value == 0)
		return -1;
	*port = (uint16_t)value;
	return 0;
}

/* "[" IPv6 "]": no zone, no IPvFuture. Its length with the brackets, or 0. */
static size_t literal_length(const char *p, size_t n)
{
	const char *end = memchr(p, ']', n);
	char text[48];
	struct addr a;
	size_t len;

	if (end == NULL || (size_t)(end - p) > sizeof text)
		return 0;
	len = (size_t)(end - p) - 1;
	memcpy(text, p + 1, len);
	text[len] = '\0';
	if (memchr(text, ':', len) == NULL || memchr(text, '%', len) != NULL || addr_parse_ip(&a, text, 0) != 0)
		return 0;
	return len + 2;
}

int http_host_parse(struct http_host *out, const char *p, size_t n)
{
	const uint8_t *const from = (const uint8_t *)p;
	size_t len;

	if (n == 0)
		return -1;
	if (p[0] == '[')
		len = literal_length(p, n);
	else
		len = (size_t)(http_scan_kind(from, from + n, HTTP_IS_HOST) - from);
	if (len == 0 || len > HOST_MAX)
		return -1;
	out->name = (struct http_span){ p, len };
	out->port = 0;
	if (len == n)
		return 0;
	return p[len] == ':' ? port_parse(&out->port, p + len + 1, n - len - 1) : -1;
}

bool http_host_same(const struct http_span *a, const struct http_span *b)
{
	return a->n == b->n && strncasecmp(a->p, b->p, a->n) == 0;
}

/* ---- the forms ---- */

static struct http_part part(const struct http_head *h, const char *p, size_t n)
{
	return (struct http_part){ (uint16_t)((const uint8_t *)p - h->base), (uint16_t)n };
}

/*
 * Path and query. A backslash is refused in a path: no browser sends one, and servers that take it for a slash would see
 * another path than the one that was routed.
 */
static enum http_fault split_path(struct http_head *h, const char *p, size_t n)
{
	const char *query = memchr(p, '?', n);
	const size_t len = query != NULL ? (size_t)(query - p) : n;

	if (memchr(p, '\\', len) != NULL)
		return HTTP_BAD_TARGET;
	h->path = part(h, p, len);
	h->query = part(h, p + len, n - len);
	return HTTP_OK;
}

static void set_host(struct http_head *h, const struct http_host *host)
{
	h->host = part(h, host->name.p, host->name.n);
	h->port = host->port;
}

/* "http://" authority [ "/" path ] [ "?" query ]; no user information. *scheme_port: what a missing port means. */
static enum http_fault read_absolute(
	struct http_head *h, struct http_span t, struct http_host *host, uint16_t *scheme_port)
{
	const char *p = t.p, *end = t.p + t.n, *slash;

	if (t.n > 7 && strncasecmp(p, "http://", 7) == 0) {
		p += 7;
		*scheme_port = 80;
	} else if (t.n > 8 && strncasecmp(p, "https://", 8) == 0) {
		p += 8;
		*scheme_port = 443;
	} else {
		return HTTP_BAD_TARGET_FORM;
	}
	for (slash = p; slash < end && *slash != '/' && *slash != '?';)
		slash++;
	if (http_host_parse(host, p, (size_t)(slash - p)) != 0)
		return HTTP_BAD_HOST;
	h->form = HTTP_ABSOLUTE;
	return split_path(h, slash, (size_t)(end - slash));
}

static enum http_fault read_authority(struct http_head *h, struct http_span t, struct http_host *host)
{
	if (http_host_parse(host, t.p, t.n) != 0 || host->port == 0)
		return HTTP_BAD_TARGET_FORM;
	h->form = HTTP_AUTHORITY;
	return HTTP_OK;
}

/* host->name.n stays 0 where the target names none. */
static enum http_fault read_form(struct http_head *h, struct http_host *host, uint16_t *scheme_port)
{
	const struct http_span t = http_head_part(h, h->target);

	if (h->method == HTTP_CONNECT)
		return read_authority(h, t, host);
	if (t.p[0] == '/') {
		h->form = HTTP_ORIGIN;
		return split_path(h, t.p, t.n);
	}
	if (t.n == 1 && t.p[0] == '*') {
		h->form = HTTP_ASTERISK;
		h->path = h->target;
		return h->method == HTTP_OPTIONS ? HTTP_OK : HTTP_BAD_TARGET_FORM;
	}
	return read_absolute(h, t, host, scheme_port);
}

/* The one Host field; HTTP/1.0 may do without. */
static enum http_fault read_host(const struct http_head *h, struct http_host *host)
{
	const struct http_field *found = NULL;

	for (const struct http_field *f = h->fields; f < h->fields + h->n; f++) {
		if (f->id != HTTP_NAME_HOST)
			continue;
		if (found != NULL)
			return HTTP_BAD_HOST_TWICE;
		found = f;
	}
	if (found == NULL)
		return h->version == 10 ? HTTP_OK : HTTP_BAD_HOST_MISSING;
	if (http_host_parse(host, (const char *)h->base + found->value, found->value_len) != 0)
		return HTTP_BAD_HOST;
	return HTTP_OK;
}

static bool agree(const struct http_host *a, const struct http_host *b, uint16_t scheme_port)
{
	const uint16_t port_a = a->port != 0 ? a->port : scheme_port, port_b = b->port != 0 ? b->port : scheme_port;

	return port_a == port_b && http_host_same(&a->name, &b->name);
}

enum http_fault http_target_read(struct http_head *h)
{
	struct http_host named = { { NULL, 0 }, 0 }, host = { { NULL, 0 }, 0 };
	uint16_t scheme_port = 0;
	enum http_fault fault = read_form(h, &named, &scheme_port);

	if (fault == HTTP_OK)
		fault = read_host(h, &host);
	if (fault != HTTP_OK)
		return fault;
	if (named.name.n == 0) {
		if (host.name.n > 0)
			set_host(h, &host);
		return HTTP_OK;
	}
	/* CONNECT's port is that of the far end; clients leave it out of Host or repeat it. */
	if (h->method == HTTP_CONNECT)
		scheme_port = named.port;
	if (host.name.n > 0 && !agree(&named, &host, scheme_port))
		return HTTP_BAD_HOST_DIFFERS;
	set_host(h, &named);
	return HTTP_OK;
}
