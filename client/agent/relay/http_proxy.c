#define _GNU_SOURCE 1
#include "client/agent/relay/http_proxy.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/net/addr.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define USER_SIZE 256

/* ---- where it is -------------------------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
	uint8_t v;
	const char two[] = { '0', c, '\0' };

	return str_unhex(&v, 1, two) == 1 ? v : -1;
}

/* "%40" becomes '@'. */
static int unescape(char *s)
{
	char *to = s;

	for (; *s != '\0'; s++) {
		if (*s == '%') {
			int high = s[1] != '\0' ? hex_digit(s[1]) : -1, low = high >= 0 ? hex_digit(s[2]) : -1;

			if (low < 0 || (high | low) == 0)
				return -1;
			*to++ = (char)(high << 4 | low);
			s += 2;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
	return 0;
}

/* base64 with padding (RFC 4648 section 4); dst has room. */
static void base64(char *dst, const char *s)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)(uint8_t)s[i] << 16;

		v |= i + 1 < n ? (uint32_t)(uint8_t)s[i + 1] << 8 : 0;
		v |= i + 2 < n ? (uint8_t)s[i + 2] : 0;
		*dst++ = digits[v >> 18];
		*dst++ = digits[v >> 12 & 63];
		*dst++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
		*dst++ = i + 2 < n ? digits[v & 63] : '=';
	}
	*dst = '\0';
}

static int take_user(struct http_proxy *p, const char *user, size_t n)
{
	char text[USER_SIZE];
	int r = -1;

	if (str_fmt(text, sizeof text, "%.*s", (int)MIN(n, sizeof text), user) == 0 && unescape(text) == 0) {
		base64(p->basic, text);
		r = 0;
	}
	explicit_bzero(text, sizeof text);
	return r;
}

int http_proxy_parse(struct http_proxy *out, const char *text, struct err *e)
{
	const char *at, *https_proxy = getenv("https_proxy");
	struct http_proxy p = { .port = 0 };
	char where[FRAME_HOST_SIZE + 8];

	*out = p;
	p.from_env = text[0] == '\0';
	if (p.from_env)
		text = https_proxy != NULL ? https_proxy : "";
	if (text[0] == '\0' || strcmp(text, "off") == 0)
		return 0;
	if (str_starts(text, "http://"))
		text += strlen("http://");
	at = strrchr(text, '@');
	if (str_copy(where, sizeof where, at != NULL ? at + 1 : text) != 0)
		goto bad;
	if (where[0] != '\0' && where[strlen(where) - 1] == '/')
		where[strlen(where) - 1] = '\0';
	if (addr_split_host(where, p.host, sizeof p.host, &p.port) != 0 || p.port == 0 ||
		(at != NULL && take_user(&p, text, (size_t)(at - text)) != 0))
		goto bad;
	*out = p;
	return 0;
bad: /* it may hold a password */
	return err_set(e, ERR_VALIDATION, "proxy", "proxy (or https_proxy) is not http://[user:password@]host:port");
}

/* "example.com", ".example.com" and "*" of a list by comma or blank. */
static bool is_listed(const char *list, const char *host)
{
	static const char blanks[] = ", \t";
	size_t n = strlen(host);

	for (const char *p = list + strspn(list, blanks); *p != '\0'; p += strspn(p, blanks)) {
		size_t len = strcspn(p, blanks), skip = p[0] == '.';

		if (len == 1 && p[0] == '*')
			return true;
		if (len > skip && len - skip <= n && strncasecmp(p + skip, host + n - (len - skip), len - skip) == 0 &&
			(len - skip == n || host[n - (len - skip) - 1] == '.'))
			return true;
		p += len;
	}
	return false;
}

bool http_proxy_passes_by(const struct http_proxy *p, const char *host, const char *no_proxy)
{
	struct addr a;

	if (p->host[0] == '\0')
		return true;
	if (!p->from_env)
		return false;
	if (strcasecmp(host, "localhost") == 0 || str_starts(host, "127.") ||
		(addr_parse_ip(&a, host, 0) == 0 && a.sa.sa_family == AF_INET6 &&
			IN6_IS_ADDR_LOOPBACK(&a.v6.sin6_addr)))
		return true;
	return no_proxy != NULL && is_listed(no_proxy, host);
}

/* ---- through it --------------------------------------------------------------------------------------------------- */

void http_proxy_request(const struct http_proxy *p, const char *host, uint16_t port, struct buf *out)
{
	const char *form = strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u";
	char where[FRAME_HOST_SIZE + 10];

	str_fmt(where, sizeof where, form, host, (unsigned)port);
	buf_printf(out, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", where, where);
	if (p->basic[0] != '\0')
		buf_printf(out, "Proxy-Authorization: Basic %s\r\n", p->basic);
	buf_printf(out, "\r\n");
}

int http_proxy_answer(const uint8_t *p, size_t n, struct err *e)
{
	static const char version[] = "HTTP/1.";
	const uint8_t *end = memmem(p, n, "\r\n\r\n", 4);
	size_t line = n;
	const uint8_t *eol = memchr(p, '\r', n);

	if (memcmp(p, version, MIN(n, strlen(version))) != 0)
		return err_set(e, ERR_PROTOCOL, NULL, "the proxy does not answer as one");
	if (end == NULL)
		return n < HTTP_PROXY_ANSWER_MAX ? 0
		                                 : err_set(e, ERR_PROTOCOL, NULL, "the proxy's answer does not end");
	line = (size_t)(eol - p);
	if (line < strlen("HTTP/1.1 200") || p[8] != ' ' || p[9] != '2')
		return err_set(
			e, ERR_UNAVAILABLE, NULL, "the proxy refuses: %.*s", (int)MIN(line, 80), (const char *)p);
	return (int)(end - p) + 4;
}
