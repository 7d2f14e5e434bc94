#include "relayd/filter/template.h"

#include "common/base/err.h"
#include "common/http/http_scan.h"
#include "common/http/http_writer.h"
#include "common/net/addr.h"
#include "relayd/filter/kept.h"

#include <string.h>
#include <strings.h>

enum {
	TEXT,
	HEADER,
	ANSWER,
	COOKIE,
	HOST,
	PATH,
	QUERY,
	METHOD,
	SCHEME,
	CLIENT_IP,
	ROUTE,
	STATUS,
	REASON,
	REQUEST_ID,
	TRACE_ID,
};

static const struct {
	const char *name; /* up to its colon */
	uint8_t what;
	bool arg;
} places[] = {
	{ "host", HOST, false },
	{ "path", PATH, false },
	{ "query", QUERY, false },
	{ "method", METHOD, false },
	{ "scheme", SCHEME, false },
	{ "client_ip", CLIENT_IP, false },
	{ "route", ROUTE, false },
	{ "status", STATUS, false },
	{ "reason", REASON, false },
	{ "request_id", REQUEST_ID, false },
	{ "trace_id", TRACE_ID, false },
	{ "header", HEADER, true },
	{ "answer", ANSWER, true },
	{ "cookie", COOKIE, true },
};

/* ---- reading ---- */

static int add(struct template *t, uint8_t what, struct http_span arg, struct err *e)
{
	if (what == TEXT && arg.n == 0)
		return 0;
	if (t->n == TEMPLATE_PARTS_MAX)
		return err_set(e, ERR_VALIDATION, NULL, "a template has at most %d parts", TEMPLATE_PARTS_MAX);
	t->parts[t->n++] = (struct template_part){ what, arg };
	return 0;
}

static int add_place(struct template *t, struct http_span in, struct err *e)
{
	const char *const colon = memchr(in.p, ':', in.n);
	const size_t name = colon != NULL ? (size_t)(colon - in.p) : in.n;
	const struct http_span arg = { in.p + name + 1, colon != NULL ? in.n - name - 1 : 0 };

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		if (strlen(places[i].name) != name || memcmp(places[i].name, in.p, name) != 0)
			continue;
		if (places[i].arg != (colon != NULL) ||
			(places[i].arg && (arg.n == 0 || arg.n > HTTP_NAME_MAX ||
						  http_scan_kind((const uint8_t *)arg.p, (const uint8_t *)arg.p + arg.n,
							  HTTP_IS_TOKEN) != (const uint8_t *)arg.p + arg.n)))
			break;
		return add(t, places[i].what, arg, e);
	}
	return err_set(e, ERR_VALIDATION, NULL, "a template has no place {%.*s}", (int)MIN(in.n, 64), in.p);
}

int template_read(struct template *t, const char *text, struct err *e)
{
	struct template out = { .n = 0 };

	while (*text != '\0') {
		const size_t plain = strcspn(text, "{");
		const char *end;

		if (text[plain] == '\0' || text[plain + 1] == '{') { /* of "{{" one is text */
			const bool brace = text[plain] != '\0';

			if (add(&out, TEXT, (struct http_span){ text, plain + brace }, e) != 0)
				return -1;
			text += plain + 2 * (size_t)brace;
			continue;
		}
		end = strchr(text + plain, '}');
		if (end == NULL)
			return err_set(e, ERR_VALIDATION, NULL, "a template has a { without its }");
		if (add(&out, TEXT, (struct http_span){ text, plain }, e) != 0 ||
			add_place(&out, (struct http_span){ text + plain + 1, (size_t)(end - text) - plain - 1 }, e) !=
				0)
			return -1;
		text = end + 1;
	}
	*t = out;
	return 0;
}

bool template_is_plain(const struct template *t)
{
	for (unsigned i = 0; i < t->n; i++)
		if (t->parts[i].what != TEXT)
			return false;
	return true;
}

/* ---- filling in ---- */

static struct http_span field(const struct http_head *h, struct http_span name)
{
	for (uint16_t i = 0; h != NULL && i < h->n; i++) {
		const struct http_span at = http_field_name(h, &h->fields[i]);

		if (at.n == name.n && strncasecmp(at.p, name.p, name.n) == 0)
			return http_field_value(h, &h->fields[i]);
	}
	return (struct http_span){ "", 0 };
}

/* The first of that name over all Cookie fields (RFC 6265 section 5.4). */
static struct http_span cookie(const struct http_head *h, struct http_span name)
{
	for (uint16_t i = 0; h != NULL && i < h->n; i++) {
		struct http_span rest = http_field_value(h, &h->fields[i]);

		while (h->fields[i].id == HTTP_NAME_COOKIE && rest.n > 0) {
			const char *const end = memchr(rest.p, ';', rest.n);
			struct http_span one = { rest.p, end != NULL ? (size_t)(end - rest.p) : rest.n };

			rest.p += MIN(one.n + 1, rest.n);
			rest.n -= MIN(one.n + 1, rest.n);
			while (one.n > 0 && *one.p == ' ') {
				one.p++;
				one.n--;
			}
			if (one.n > name.n && one.p[name.n] == '=' && memcmp(one.p, name.p, name.n) == 0)
				return (struct http_span){ one.p + name.n + 1, one.n - name.n - 1 };
		}
	}
	return (struct http_span){ "", 0 };
}

bool template_part_is_asked(const struct template_part *p)
{
	switch (p->what) {
	case HEADER:
	case COOKIE:
	case HOST:
	case PATH:
	case QUERY:
	case METHOD:
		return true;
	default:
		return false;
	}
}

bool template_part_is_field(const struct template_part *p)
{
	return p->what == HEADER;
}

struct http_span template_part_asked(const struct template_part *p, const struct filter_view *v)
{
	switch (p->what) {
	case HEADER:
		return field(v->head, p->arg);
	case COOKIE:
		return cookie(v->head, p->arg);
	case HOST:
		return v->host;
	case PATH:
		return v->path;
	case QUERY:
		return v->query;
	default:
		return http_head_part(v->head, v->head->method_at);
	}
}

static struct http_span trace_id(struct http_span trace)
{
	if (trace.n < 35)
		return (struct http_span){ "", 0 };
	return (struct http_span){ trace.p + 3, 32 };
}

static struct http_span text_of(const char *s)
{
	return text_span(s != NULL ? s : "");
}

static void put_client(const struct filter_view *v, struct edit *e)
{
	char text[ADDR_STRLEN];

	if (v->client == NULL)
		return;
	addr_print_ip(v->client, text);
	text_str(e, text);
}

static struct http_span span_of(const struct template_part *p, const struct filter_view *v)
{
	if (template_part_is_asked(p))
		return v->head != NULL ? template_part_asked(p, v) : kept_value(v->kept, p);
	switch (p->what) {
	case TEXT:
		return p->arg;
	case ANSWER:
		return field(v->answer, p->arg);
	case SCHEME:
		return text_span(v->tls ? "https" : "http");
	case ROUTE:
		return text_of(v->route);
	case REASON:
		return text_of(http_writer_reason(v->status));
	case REQUEST_ID:
		return v->request_id;
	default:
		return trace_id(v->trace);
	}
}

struct http_span template_fill(const struct template *t, const struct filter_view *v, struct edit *e)
{
	const size_t from = text_begin(e);

	if (t->n == 1 && t->parts[0].what == TEXT)
		return t->parts[0].arg;
	for (unsigned i = 0; i < t->n; i++) {
		const struct template_part *p = &t->parts[i];
		struct http_span s;

		if (p->what == CLIENT_IP) {
			put_client(v, e);
		} else if (p->what == STATUS) {
			text_u64(e, v->status);
		} else {
			s = span_of(p, v);
			text_put(e, s.p, s.n);
		}
	}
	return text_since(e, from);
}
