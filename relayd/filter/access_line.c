#include "relayd/filter/access_line.h"

#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "common/net/addr.h"

#include <string.h>

static void put_span(struct buf *b, const char *key, struct http_span s)
{
	char text[ACCESS_TEXT_MAX + 1];
	const size_t n = MIN(s.n, ACCESS_TEXT_MAX);

	if (s.p == NULL || s.n == 0)
		return;
	memcpy(text, s.p, n);
	text[n] = '\0';
	str_make_utf8(text);
	jsonw_str(b, key, text);
}

static void put_text(struct buf *b, const char *key, const char *s)
{
	if (s != NULL && s[0] != '\0')
		jsonw_str(b, key, s);
}

/* Milliseconds with three digits behind the point: microseconds are what differs between two requests. */
static void put_ms(struct buf *b, const char *key, uint64_t ns)
{
	char text[32];

	if (ns == UINT64_MAX)
		return;
	str_fmt(text, sizeof text, "%llu.%03u", (unsigned long long)(ns / 1000000), (unsigned)(ns / 1000 % 1000));
	jsonw_raw(b, key, text, strlen(text));
}

static void put_client(struct buf *b, const struct addr *client)
{
	char text[ADDR_STRLEN];

	if (client == NULL)
		return;
	addr_print_ip(client, text);
	jsonw_str(b, "client", text);
	jsonw_uint(b, "client_port", addr_port(client));
}

static void put_request(struct buf *b, const struct access_line *l)
{
	struct http_span query = l->query;

	if (query.n > 0 && *query.p == '?') {
		query.p++;
		query.n--;
	}
	put_span(b, "method", l->method);
	jsonw_str(b, "scheme", l->tls ? "https" : "http");
	put_span(b, "host", l->host);
	put_span(b, "path", l->path);
	put_span(b, "query", query);
	put_text(b, "protocol", l->protocol);
	put_text(b, "tls", l->tls_version);
}

static void put_answer(struct buf *b, const struct access_line *l)
{
	put_text(b, "route", l->route);
	put_text(b, "pool", l->pool);
	put_text(b, "backend", l->backend);
	put_text(b, "upstream", l->upstream);
	jsonw_uint(b, "status", l->status);
	if (l->upstream_status != 0)
		jsonw_uint(b, "upstream_status", l->upstream_status);
	jsonw_uint(b, "bytes_in", l->bytes_in);
	jsonw_uint(b, "bytes_out", l->bytes_out);
	put_ms(b, "duration_ms", l->duration_ns);
	put_ms(b, "queue_ms", l->queue_ns);
	put_ms(b, "connect_ms", l->connect_ns);
	put_ms(b, "first_byte_ms", l->first_byte_ns);
	if (l->attempts > 0)
		jsonw_uint(b, "attempts", l->attempts);
	if (l->aborted)
		jsonw_bool(b, "aborted", true);
}

void access_line_put(struct buf *b, const struct access_line *l)
{
	jsonw_object(b, NULL);
	jsonw_time(b, "time", l->wall_ms);
	put_text(b, "request_id", l->request_id);
	if (l->trace != NULL && strlen(l->trace) >= 35)
		put_span(b, "trace_id", (struct http_span){ l->trace + 3, 32 });
	put_client(b, l->client);
	put_request(b, l);
	put_answer(b, l);
	put_span(b, "referer", l->referer);
	put_span(b, "user_agent", l->user_agent);
	put_text(b, "reason", l->reason);
	put_text(b, "error", l->error);
	jsonw_end_object(b);
	buf_u8(b, '\n');
}
