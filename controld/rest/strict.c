#include "controld/rest/strict.h"

#include "common/base/str.h"
#include "common/net/addr.h"

#include <string.h>

/*
 *  METHOD -> TARGET -> VERSION -> LINE_LF -> FIRST --tchar--> NAME -> VALUE -> LINE_LF -> FIRST ...
 *                                              |
 *                                              CR -> HEAD_LF --> done | BODY | SIZE
 *  BODY --all bytes--> done
 *  SIZE -> SIZE_LF --0--> END_CR -> END_LF -> done
 *             +--n--> CHUNK -> CHUNK_CR -> CHUNK_LF -> SIZE
 */
enum strict_state {
	STRICT_METHOD,
	STRICT_TARGET,
	STRICT_VERSION,
	STRICT_LINE_LF,
	STRICT_FIRST,
	STRICT_NAME,
	STRICT_VALUE,
	STRICT_HEAD_LF,
	STRICT_BODY,
	STRICT_SIZE,
	STRICT_SIZE_LF,
	STRICT_CHUNK,
	STRICT_CHUNK_CR,
	STRICT_CHUNK_LF,
	STRICT_END_CR,
	STRICT_END_LF,
	STRICT_OVER,
};

static const char *const strict_methods[] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS" };

/* tchar of RFC 9110 section 5.6.2. */
static const bool strict_token[256] = {
	['0' ... '9'] = true,
	['A' ... 'Z'] = true,
	['a' ... 'z'] = true,
	['!'] = true,
	['#' ... '\''] = true,
	['*' ... '+'] = true,
	['-' ... '.'] = true,
	['^' ... '_'] = true,
	['`'] = true,
	['|'] = true,
	['~'] = true,
};

static bool strict_is_token(uint8_t b)
{
	return strict_token[b];
}

/* Of a header value (RFC 9110 section 5.5). */
static bool strict_is_text(uint8_t b)
{
	return (b >= ' ' && b != 0x7f) || b == '\t';
}

static bool strict_bad(struct strict *s, enum err_code code, const char *reason)
{
	s->code = code;
	s->reason = reason;
	return false;
}

static bool strict_bad_request(struct strict *s, const char *reason)
{
	return strict_bad(s, ERR_BAD_REQUEST, reason);
}

void strict_begin(struct strict *s, const struct strict_limits *limits)
{
	*s = (struct strict){ .limits = limits, .state = STRICT_METHOD };
}

/* Adds a byte to what is remembered of the current element; false when it is longer than anything we look for. */
static bool strict_keep(char *dst, size_t size, size_t *len, uint8_t b)
{
	if (*len + 1 >= size)
		return false;
	dst[(*len)++] = (char)b;
	dst[*len] = '\0';
	return true;
}

/* ---- the request line -------------------------------------------------------------------------------------------- */

static bool strict_method_byte(struct strict *s, uint8_t b)
{
	if (b != ' ') {
		if (!strict_is_token(b))
			return strict_bad_request(s, "the request line does not start with a method");
		if (!strict_keep(s->value, sizeof s->value, &s->value_len, b))
			return strict_bad_request(s, "the method is too long");
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(strict_methods); i++)
		if (s->value_len > 0 && str_eq(s->value, strict_methods[i])) {
			s->state = STRICT_TARGET;
			s->value_len = 0;
			return true;
		}
	return strict_bad(s, ERR_METHOD_NOT_ALLOWED, "this method is not known here");
}

/* Origin form only ("/path?query"), or "*" (of OPTIONS). "//" would be read as an authority by some. */
static bool strict_target_byte(struct strict *s, uint8_t b)
{
	if (b == ' ' && s->value_len > 0) {
		s->state = STRICT_VERSION;
		s->value_len = 0;
		return true;
	}
	if (b <= ' ' || b >= 0x7f || b == '#')
		return strict_bad_request(s, "the request target holds a byte that must be percent-encoded");
	if (s->value_len == 0 ? b != '/' && b != '*' : s->value_len == 1 && b == '/')
		return strict_bad_request(s, "the request target must be a path that starts with one slash");
	s->value_len++;
	return true;
}

static bool strict_version_byte(struct strict *s, uint8_t b)
{
	static const char version[] = "HTTP/1.";

	if (s->value_len < sizeof version - 1) {
		if (b != (uint8_t)version[s->value_len++])
			return strict_bad_request(s, "only HTTP/1.1 and HTTP/1.0 are spoken here");
		return true;
	}
	if (s->value_len++ == sizeof version - 1) {
		s->http10 = b == '0';
		return b == '0' || b == '1' || strict_bad_request(s, "only HTTP/1.1 and HTTP/1.0 are spoken here");
	}
	if (b != '\r')
		return strict_bad_request(s, "the request line must end with CR LF");
	s->value_len = 0;
	s->state = STRICT_LINE_LF;
	return true;
}

/* ---- headers ----------------------------------------------------------------------------------------------------- */

static bool strict_port_ok(const char *s)
{
	uint64_t port;

	return *s == '\0' || str_to_u64(s, 0, 65535, &port) == 0;
}

bool strict_host_ok(const char *host)
{
	char name[STRICT_VALUE_MAX + 1];
	struct addr a;
	const char *end;

	if (*host == '[') {
		end = strchr(host, ']');
		if (end == NULL || (end[1] != '\0' && (end[1] != ':' || !strict_port_ok(end + 2))))
			return false;
		host++;
	} else {
		end = host + strcspn(host, ":");
		if (*end == ':' && !strict_port_ok(end + 1))
			return false;
	}
	if (str_fmt(name, sizeof name, "%.*s", (int)(end - host), host) != 0)
		return false;
	return *end == ']' ? addr_parse_ip(&a, name, 0) == 0 && a.sa.sa_family == AF_INET6 : addr_is_host(name);
}

static bool strict_line_host(struct strict *s)
{
	if (s->seen_host)
		return strict_bad_request(s, "there must be one Host header, not two");
	s->seen_host = true;
	return strict_host_ok(s->value) || strict_bad_request(s, "the Host header is not host[:port]");
}

static bool strict_line_length(struct strict *s)
{
	if (s->seen_length)
		return strict_bad_request(s, "there must be one Content-Length, not two");
	s->seen_length = true;
	if (str_to_u64(s->value, 0, INT64_MAX, &s->left) != 0)
		return strict_bad_request(s, "Content-Length must be a number of digits only");
	return true;
}

static bool strict_line_encoding(struct strict *s)
{
	if (s->seen_chunked || strcasecmp(s->value, "chunked") != 0)
		return strict_bad_request(s, "the only Transfer-Encoding taken is chunked, once");
	s->seen_chunked = true;
	return true;
}

static bool strict_line_expect(struct strict *s)
{
	if (strcasecmp(s->value, "100-continue") != 0)
		return strict_bad_request(s, "the only expectation known is 100-continue");
	s->expect = true;
	return true;
}

static const struct strict_line {
	const char *name;
	bool (*check)(struct strict *s);
} strict_lines[] = {
	{ "host", strict_line_host },
	{ "content-length", strict_line_length },
	{ "transfer-encoding", strict_line_encoding },
	{ "expect", strict_line_expect },
};

static const struct strict_line *strict_line_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(strict_lines); i++)
		if (strcmp(name, strict_lines[i].name) == 0)
			return &strict_lines[i];
	return NULL;
}

static bool strict_line_end(struct strict *s)
{
	s->state = STRICT_LINE_LF;
	if (++s->lines > s->limits->lines_max)
		return strict_bad_request(s, "too many headers");
	while (s->value_len > 0 && strchr(" \t", s->value[s->value_len - 1]) != NULL)
		s->value[--s->value_len] = '\0';
	return s->line == NULL || s->line->check(s);
}

/* A name that does not fit is none that matters. */
static void strict_name_keep(struct strict *s, uint8_t b)
{
	if (s->name_len < sizeof s->name)
		s->name[s->name_len++] = (char)(b >= 'A' && b <= 'Z' ? b | 0x20 : b);
}

static bool strict_first_byte(struct strict *s, uint8_t b)
{
	if (b == '\r') {
		s->state = STRICT_HEAD_LF;
		return true;
	}
	if (b == ' ' || b == '\t')
		return strict_bad_request(s, "a header must not go on in the next line");
	if (!strict_is_token(b))
		return strict_bad_request(s, "a header name holds a byte that is not allowed there");
	s->name_len = s->value_len = 0;
	s->value[0] = '\0';
	strict_name_keep(s, b);
	s->state = STRICT_NAME;
	return true;
}

static bool strict_name_byte(struct strict *s, uint8_t b)
{
	if (b != ':') {
		strict_name_keep(s, b);
		return strict_is_token(b) ||
		       strict_bad_request(s, "a header name holds a byte that is not allowed there");
	}
	s->line = NULL;
	if (s->name_len < sizeof s->name) {
		s->name[s->name_len] = '\0';
		s->line = strict_line_find(s->name);
	}
	s->state = STRICT_VALUE;
	return true;
}

static bool strict_value_byte(struct strict *s, uint8_t b)
{
	if (b == '\r')
		return strict_line_end(s);
	if (!strict_is_text(b))
		return strict_bad_request(s, "a header value holds a control character");
	if (s->line == NULL || (s->value_len == 0 && (b == ' ' || b == '\t')))
		return true;
	if (!strict_keep(s->value, sizeof s->value, &s->value_len, b))
		return strict_bad_request(s, "a Host, length or encoding header is too long");
	return true;
}

/* Eight bytes at once: all of them from ' ' to '~'? Each test leaves its answer in the bytes' highest bits. */
static bool strict_are_printable(const uint8_t *p)
{
	const uint64_t ones = UINT64_MAX / 255, high = ones << 7;
	uint64_t v;

	memcpy(&v, p, sizeof v);
	return ((v | (v + ones) | (v - ones * ' ')) & high) == 0;
}

/* Most bytes of a head are values that do not matter here: how many of these p starts with. */
static size_t strict_skip_value(struct strict *s, const uint8_t *p, size_t n)
{
	size_t i = 0;

	if (s->state != STRICT_VALUE || s->line != NULL)
		return 0;
	n = MIN(n, s->limits->head_max - s->head_len);
	while (i + 8 <= n && strict_are_printable(p + i))
		i += 8;
	while (i < n && strict_is_text(p[i]))
		i++;
	s->head_len += i;
	return i;
}

static bool strict_head_end(struct strict *s)
{
	s->head_done = true;
	if (!s->seen_host && !s->http10)
		return strict_bad_request(s, "the Host header is missing");
	if (s->seen_chunked && (s->seen_length || s->http10))
		return strict_bad_request(s, "Transfer-Encoding does not go with Content-Length or HTTP/1.0");
	if (s->left > s->limits->body_max)
		return strict_bad(s, ERR_TOO_LARGE, "the body is longer than this server takes");
	s->state = s->seen_chunked ? STRICT_SIZE : s->left > 0 ? STRICT_BODY : STRICT_OVER;
	if (s->state == STRICT_OVER || s->http10)
		s->expect = false;
	return true;
}

/* ---- bodies ------------------------------------------------------------------------------------------------------ */

static int strict_hex(uint8_t b)
{
	if (b >= '0' && b <= '9')
		return b - '0';
	b |= 0x20;
	return b >= 'a' && b <= 'f' ? b - 'a' + 10 : -1;
}

static bool strict_size_byte(struct strict *s, uint8_t b)
{
	const int digit = strict_hex(b);

	if (b == '\r' && s->digits > 0) {
		s->state = STRICT_SIZE_LF;
		return true;
	}
	if (digit < 0 || s->digits == 15)
		return strict_bad_request(s, "a chunk size must be hexadecimal digits only");
	s->digits++;
	s->left = s->left * 16 + (uint64_t)digit;
	return true;
}

static bool strict_size_end(struct strict *s)
{
	s->digits = 0;
	if (s->left > s->limits->body_max - s->body_len)
		return strict_bad(s, ERR_TOO_LARGE, "the body is longer than this server takes");
	s->state = s->left == 0 ? STRICT_END_CR : STRICT_CHUNK;
	return true;
}

/* What must be exactly this byte. */
static bool strict_expect_byte(struct strict *s, uint8_t b, char want, enum strict_state next)
{
	if (b != (uint8_t)want)
		return strict_bad_request(
			s, s->state == STRICT_END_CR ? "trailers are not taken" : "a line must end with CR LF");
	s->state = (int)next;
	return true;
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

static bool strict_head_byte(struct strict *s, uint8_t b)
{
	if (++s->head_len > s->limits->head_max)
		return strict_bad_request(s, "the request line and headers are too long");
	switch (s->state) {
	case STRICT_METHOD:
		return strict_method_byte(s, b);
	case STRICT_TARGET:
		return strict_target_byte(s, b);
	case STRICT_VERSION:
		return strict_version_byte(s, b);
	case STRICT_LINE_LF:
		return strict_expect_byte(s, b, '\n', STRICT_FIRST);
	case STRICT_FIRST:
		return strict_first_byte(s, b);
	case STRICT_NAME:
		return strict_name_byte(s, b);
	case STRICT_VALUE:
		return strict_value_byte(s, b);
	default: /* STRICT_HEAD_LF */
		return strict_expect_byte(s, b, '\n', STRICT_OVER) && strict_head_end(s);
	}
}

static bool strict_body_byte(struct strict *s, uint8_t b)
{
	switch (s->state) {
	case STRICT_SIZE:
		return strict_size_byte(s, b);
	case STRICT_SIZE_LF:
		return strict_expect_byte(s, b, '\n', STRICT_SIZE) && strict_size_end(s);
	case STRICT_CHUNK_CR:
		return strict_expect_byte(s, b, '\r', STRICT_CHUNK_LF);
	case STRICT_CHUNK_LF:
		return strict_expect_byte(s, b, '\n', STRICT_SIZE);
	case STRICT_END_CR:
		return strict_expect_byte(s, b, '\r', STRICT_END_LF);
	default: /* STRICT_END_LF */
		return strict_expect_byte(s, b, '\n', STRICT_OVER);
	}
}

/* Content is not looked at: as many bytes at once as there are. */
static size_t strict_skip(struct strict *s, size_t n)
{
	const size_t take = s->left < n ? (size_t)s->left : n;

	s->left -= take;
	s->body_len += take;
	if (s->left == 0)
		s->state = s->state == STRICT_BODY ? STRICT_OVER : STRICT_CHUNK_CR;
	return take;
}

enum strict_verdict strict_feed(struct strict *s, const uint8_t *p, size_t n, size_t *used)
{
	size_t i = 0;

	while (i < n && s->state != STRICT_OVER) {
		if (s->state == STRICT_BODY || s->state == STRICT_CHUNK) {
			i += strict_skip(s, n - i);
			continue;
		}
		i += strict_skip_value(s, p + i, n - i);
		if (i == n)
			break;
		if (s->head_done ? !strict_body_byte(s, p[i]) : !strict_head_byte(s, p[i])) {
			*used = i;
			return STRICT_BAD;
		}
		i++;
	}
	*used = i;
	return s->state == STRICT_OVER ? STRICT_DONE : STRICT_MORE;
}
