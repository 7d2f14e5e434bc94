#define _GNU_SOURCE
#include "relayd/admin/request.h"

#include "common/base/str.h"

#include <string.h>
#include <strings.h>

#define MORE       0u
#define OK         200u
#define BAD        400u
#define NO_METHOD  405u
#define TOO_LONG   431u
#define NO_VERSION 505u

/* One line without its CRLF; NULL when there is none. A bare LF or CR is not a line's end. */
static const char *line_end(const char *p, const char *end)
{
	const char *lf = memchr(p, '\n', (size_t)(end - p));

	return lf != NULL && lf > p && lf[-1] == '\r' ? lf - 1 : NULL;
}

static bool is_token_char(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_visible(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] <= ' ' || p[i] > '~')
			return false;
	return n > 0;
}

/* "GET /path?query HTTP/1.1" */
static unsigned parse_request_line(struct request *out, bool *v11, const char *p, size_t n)
{
	const char *sp = memchr(p, ' ', n), *end = p + n, *target, *version;
	size_t path_n;

	if (sp == NULL || (target = sp + 1, version = memchr(target, ' ', (size_t)(end - target))) == NULL)
		return BAD;
	if (!is_visible(p, (size_t)(sp - p)) || !is_visible(target, (size_t)(version - target)) || target[0] != '/')
		return BAD;
	if (end - version != 9 || memcmp(version + 1, "HTTP/", 5) != 0)
		return BAD;
	if (memcmp(version + 6, "1.1", 3) != 0 && memcmp(version + 6, "1.0", 3) != 0)
		return NO_VERSION;
	*v11 = version[8] == '1';
	path_n = (size_t)(version - target);
	if (memchr(target, '?', path_n) != NULL)
		path_n = (size_t)((const char *)memchr(target, '?', path_n) - target);
	if (path_n >= sizeof out->path)
		return TOO_LONG;
	memcpy(out->path, target, path_n);
	out->path[path_n] = '\0';
	out->head = sp - p == 4 && memcmp(p, "HEAD", 4) == 0;
	return out->head || (sp - p == 3 && memcmp(p, "GET", 3) == 0) ? OK : NO_METHOD;
}

static bool header_is(const char *p, size_t n, const char *name)
{
	return n == strlen(name) && strncasecmp(p, name, n) == 0;
}

/* "Name: value"; a body of any length but none is refused, so that nothing is left behind the head. */
static unsigned parse_header(const char *p, size_t n, unsigned *hosts)
{
	const char *colon = memchr(p, ':', n), *value;
	size_t name_n, value_n;

	if (colon == NULL || colon == p)
		return BAD;
	name_n = (size_t)(colon - p);
	for (size_t i = 0; i < name_n; i++)
		if (!is_token_char(p[i]))
			return BAD;
	for (value = colon + 1; value < p + n && (*value == ' ' || *value == '\t'); value++)
		;
	value_n = (size_t)(p + n - value);
	for (size_t i = 0; i < value_n; i++)
		if ((value[i] < ' ' && value[i] != '\t') || value[i] == 127)
			return BAD;
	if (header_is(p, name_n, "host"))
		++*hosts;
	if (header_is(p, name_n, "transfer-encoding"))
		return BAD;
	if (header_is(p, name_n, "content-length") && (value_n != 1 || value[0] != '0'))
		return BAD;
	return OK;
}

unsigned request_parse(struct request *out, const char *p, size_t n)
{
	const char *end, *line = p, *stop = memmem(p, n, "\r\n\r\n", 4);
	unsigned hosts = 0, status;
	bool v11 = false;

	if (stop == NULL)
		return n >= REQUEST_HEAD_MAX ? TOO_LONG : MORE;
	end = stop + 2;
	if ((size_t)(end - p) > REQUEST_HEAD_MAX)
		return TOO_LONG;
	for (const char *eol; line < end; line = eol + 2) {
		if ((eol = line_end(line, end)) == NULL)
			return BAD;
		status = line == p ? parse_request_line(out, &v11, line, (size_t)(eol - line))
		                   : parse_header(line, (size_t)(eol - line), &hosts);
		if (status != OK)
			return status;
	}
	return hosts == 1 || (hosts == 0 && !v11) ? OK : BAD;
}
