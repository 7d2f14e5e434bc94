#include "relayd/vhost/request_host.h"

#include "common/base/macros.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define METHOD_MAX 32
#define PREFACE    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

/* A piece of the head; borrowed. */
struct text {
	const char *p;
	size_t n;
};

static bool is_token_char(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static size_t token_len(struct text t)
{
	size_t n = 0;

	while (n < t.n && is_token_char((uint8_t)t.p[n]))
		n++;
	return n;
}

static struct text trim(struct text t)
{
	while (t.n > 0 && (t.p[0] == ' ' || t.p[0] == '\t'))
		t = (struct text){ t.p + 1, t.n - 1 };
	while (t.n > 0 && (t.p[t.n - 1] == ' ' || t.p[t.n - 1] == '\t'))
		t.n--;
	return t;
}

static bool is_text(struct text t, const char *s)
{
	return t.n == strlen(s) && memcmp(t.p, s, t.n) == 0;
}

/* ---- lines -------------------------------------------------------------------------------------------------------- */

enum line { LINE_MORE, LINE_THERE, LINE_BAD };

/* The next line without its CRLF. A CR or LF by itself ends a line for some readers only, so it is refused. */
static enum line next_line(struct text *rest, struct text *out)
{
	const char *cr = memchr(rest->p, '\r', rest->n);
	size_t n = cr != NULL ? (size_t)(cr - rest->p) : rest->n;

	if (memchr(rest->p, '\n', n) != NULL || memchr(rest->p, '\0', n) != NULL)
		return LINE_BAD;
	if (cr == NULL || n + 1 == rest->n)
		return LINE_MORE;
	if (cr[1] != '\n')
		return LINE_BAD;
	*out = (struct text){ rest->p, n };
	*rest = (struct text){ rest->p + n + 2, rest->n - n - 2 };
	return LINE_THERE;
}

/* ---- host and port ------------------------------------------------------------------------------------------------ */

static bool is_port(struct text t)
{
	unsigned value = 0;

	for (size_t i = 0; i < t.n; i++) {
		if (t.p[i] < '0' || t.p[i] > '9' || i >= 5)
			return false;
		value = value * 10 + (unsigned)(t.p[i] - '0');
	}
	return value <= UINT16_MAX;
}

/* reg-name (RFC 3986 3.2.2), whatever it names. */
static bool is_reg_name(struct text t)
{
	for (size_t i = 0; i < t.n; i++)
		if (!is_token_char((uint8_t)t.p[i]) && strchr("()=,;", t.p[i]) == NULL)
			return false;
	return true;
}

/* uri-host [ ":" port ]. False: it is none. host "": one that no mapping can hold. */
static bool take_host(char host[HOST_NAME_SIZE], struct text t)
{
	const char *end = t.n > 0 && t.p[0] == '[' ? memchr(t.p, ']', t.n) : memchr(t.p, ':', t.n);
	size_t n = end == NULL ? t.n : (size_t)(end - t.p);
	struct text name = { t.p, n }, rest;

	host[0] = '\0';
	if (t.n > 0 && t.p[0] == '[') {
		if (end == NULL)
			return false;
		name.n = 0; /* an IPv6 address */
		n++;
	}
	rest = (struct text){ t.p + n, t.n - n };
	if (rest.n > 0 && (rest.p[0] != ':' || !is_port((struct text){ rest.p + 1, rest.n - 1 })))
		return false;
	return host_name_take(host, name.p, name.n) == 0 || is_reg_name(name);
}

/* ---- the head ----------------------------------------------------------------------------------------------------- */

struct head {
	char host[HOST_NAME_SIZE], of_target[HOST_NAME_SIZE];
	bool has_host, is_absolute;
};

/* "http://host[:port]/...": the host of an absolute-form; CONNECT's target is none that is served here. */
static bool take_target(struct head *h, struct text target)
{
	static const char *const schemes[] = { "http://", "https://" };

	if (target.n == 0)
		return false;
	if (target.p[0] == '/' || is_text(target, "*"))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		size_t n = strlen(schemes[i]);
		struct text authority = { target.p + n, 0 };

		if (target.n <= n || strncasecmp(target.p, schemes[i], n) != 0)
			continue;
		while (n + authority.n < target.n && strchr("/?#", authority.p[authority.n]) == NULL)
			authority.n++;
		h->is_absolute = true;
		return authority.n > 0 && take_host(h->of_target, authority);
	}
	return false;
}

/* METHOD SP target SP HTTP/1.x */
static bool take_request_line(struct head *h, struct text line)
{
	size_t method = token_len(line);
	struct text target = { line.p + method + 1, 0 }, version;

	if (method == 0 || method > METHOD_MAX || method + 1 >= line.n || line.p[method] != ' ')
		return false;
	while (method + 1 + target.n < line.n && (uint8_t)target.p[target.n] > ' ' && target.p[target.n] != 0x7f)
		target.n++;
	version = (struct text){ target.p + target.n, line.n - method - 1 - target.n };
	return (is_text(version, " HTTP/1.1") || is_text(version, " HTTP/1.0")) && take_target(h, target);
}

static bool take_field(struct head *h, struct text line)
{
	size_t name = token_len(line);

	if (name == 0 || name == line.n || line.p[name] != ':')
		return false; /* also a line that continues the one before it (obs-fold) */
	if (name != 4 || strncasecmp(line.p, "host", 4) != 0)
		return true;
	if (h->has_host)
		return false;
	h->has_host = true;
	return take_host(h->host, trim((struct text){ line.p + name + 1, line.n - name - 1 }));
}

static enum opening_kind conclude(const struct head *h, struct opening *out)
{
	if (!h->has_host || (h->is_absolute && strcmp(h->host, h->of_target) != 0))
		return OPENING_BAD;
	memcpy(out->host, h->host, sizeof out->host);
	return OPENING_FOUND;
}

static enum opening_kind read_head(struct opening *out, struct text rest, bool full)
{
	struct head h = { .has_host = false };
	struct text line;
	enum line r;

	while ((r = next_line(&rest, &line)) == LINE_THERE && line.n == 0)
		; /* empty lines before a request are left over from the one before it (RFC 9112 2.2) */
	if (r == LINE_THERE && !take_request_line(&h, line))
		return OPENING_BAD;
	while (r == LINE_THERE && (r = next_line(&rest, &line)) == LINE_THERE) {
		if (line.n == 0)
			return conclude(&h, out);
		if (!take_field(&h, line))
			return OPENING_BAD;
	}
	if (r == LINE_BAD)
		return OPENING_BAD;
	if (!full)
		return OPENING_MORE;
	return h.has_host ? conclude(&h, out) : OPENING_BAD; /* what else it says is the service's */
}

/* A method begins every request: other protocols are told at their first bytes, not at a time-out. */
static bool may_be_request(struct text t)
{
	size_t n;

	while (t.n > 0 && (t.p[0] == '\r' || t.p[0] == '\n'))
		t = (struct text){ t.p + 1, t.n - 1 };
	n = token_len(t);
	return n <= METHOD_MAX && (n == t.n || (n > 0 && t.p[n] == ' '));
}

enum opening_kind request_host_read(struct opening *out, const uint8_t *p, size_t n)
{
	struct text all = { (const char *)p, MIN(n, (size_t)REQUEST_HEAD_MAX) };

	*out = (struct opening){ .want = n + 1 };
	if (n == 0)
		return OPENING_MORE;
	if (n > 3 && memcmp(p, PREFACE, MIN(n, strlen(PREFACE))) == 0)
		return n < strlen(PREFACE) ? OPENING_MORE : OPENING_HTTP2;
	if (!may_be_request(all))
		return OPENING_BAD;
	return read_head(out, all, all.n == REQUEST_HEAD_MAX);
}
