/*
 * Reading one request: ours, http_parser, and `plain`, the loop that one would write first, with no check of what may stand
 * where. All three see each byte and know the fields Host, Connection, Content-Length and Transfer-Encoding.
 */
#include "common/http/http_reader.h"
#include "tests/bench/cost/cost.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* 12 fields as a browser sends them, 3 of a program, 30 of somebody who has much to say. */
static const char request_get[] =
	"GET /assets/application-4f2c91.js?v=20261122 HTTP/1.1\r\nHost: www.example.com\r\nConnection: keep-alive\r\n"
	"Cache-Control: max-age=0\r\nUpgrade-Insecure-Requests: 1\r\n"
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 "
	"Safari/537.36\r\n"
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\n"
	"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nReferer: https://www.example.com/index.html\r\n"
	"Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-GB,en-US;q=0.9,en;q=0.8\r\n"
	"Cookie: session=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08; theme=dark\r\n\r\n";
static const char request_small[] =
	"GET /api/health HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n";
static char request_many[4096];

static void make_many(void)
{
	size_t n = (size_t)snprintf(request_many, sizeof request_many, "GET / HTTP/1.1\r\nHost: a\r\n");

	for (int i = 0; i < 29; i++)
		n += (size_t)snprintf(request_many + n, sizeof request_many - n,
			"X-Application-Field-%d: the value number %d of them\r\n", i, i);
	snprintf(request_many + n, sizeof request_many - n, "\r\n");
}

static void run_portway(const char *bytes, size_t n)
{
	static struct http_head head;
	static struct http_reader r;
	static struct http_piece piece;

	if (r.limits == NULL)
		http_reader_init_request(&r, &http_limits_default);
	if (http_reader_next(&r, &head, (const uint8_t *)bytes, n, &piece) != HTTP_HEAD_IN || piece.used != n)
		abort();
	cost_found += head.n + head.keep_alive;
	if (http_reader_next(&r, &head, NULL, 0, &piece) != HTTP_END)
		abort();
}

/* ---- the plain loop ---- */

void cost_http_field(const char *name, size_t name_n, const char *value, size_t value_n)
{
	static const char *const names[] = { "host", "connection", "content-length", "transfer-encoding" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strlen(names[i]) == name_n && strncasecmp(names[i], name, name_n) == 0)
			cost_found += value_n > 0 ? (unsigned char)value[0] : 0;
	cost_found++;
}

static void run_plain(const char *bytes, size_t n)
{
	const char *p = bytes, *end = bytes + n, *name, *value;
	size_t name_n;

	while (p < end && *p != '\n') /* the request line */
		p++;
	p++;
	while (p < end && *p != '\r') {
		name = p;
		while (p < end && *p != ':')
			p++;
		name_n = (size_t)(p - name);
		for (p++; p < end && *p == ' ';)
			p++;
		value = p;
		while (p < end && *p != '\r')
			p++;
		cost_http_field(name, name_n, value, (size_t)(p - value));
		p += 2;
	}
}

static const char *bytes;
static size_t bytes_n;

static void choose(unsigned fields)
{
	bytes = fields <= 3 ? request_small : fields <= 12 ? request_get : request_many;
	if (bytes == request_many)
		make_many();
	bytes_n = strlen(bytes);
}

static void step_portway(void)
{
	run_portway(bytes, bytes_n);
}

static void step_plain(void)
{
	run_plain(bytes, bytes_n);
}

static void step_http_parser(void)
{
	cost_http_parser(bytes, bytes_n);
}

const struct cost_case cost_http[] = {
	{ "http", "portway", choose, step_portway },
	{ "http", "plain", choose, step_plain },
	{ "http", "http_parser", choose, step_http_parser },
	{ NULL, NULL, NULL, NULL },
};
