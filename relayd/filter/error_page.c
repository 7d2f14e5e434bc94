#include "relayd/filter/error_page.h"

#include "common/http/http_writer.h"
#include "proto/route_parts.h"

#include <string.h>
#include <strings.h>

static void put_place(const char *place, const struct filter_view *v, struct edit *e)
{
	if (strcmp(place, "{status}") == 0)
		text_u64(e, v->status);
	else if (strcmp(place, "{reason}") == 0)
		text_str(e, http_writer_reason(v->status));
	else
		text_put(e, v->request_id.p, v->request_id.n);
}

static void put_page(const char *body, const struct filter_view *v, struct edit *e)
{
	static const char *const places[] = { "{status}", "{reason}", "{request_id}" };

	while (*body != '\0') {
		const size_t plain = strcspn(body, "{");
		size_t found = 0;

		text_put(e, body, plain);
		body += plain;
		for (size_t i = 0; i < ARRAY_LEN(places) && found == 0; i++)
			if (strncmp(body, places[i], strlen(places[i])) == 0) {
				put_place(places[i], v, e);
				found = strlen(places[i]);
			}
		if (found == 0 && *body != '\0') {
			text_put(e, body, 1);
			found = 1;
		}
		body += found;
	}
}

static bool has(struct http_span value, const char *type)
{
	const size_t n = strlen(type);

	for (size_t i = 0; i + n <= value.n; i++)
		if (strncasecmp(value.p + i, type, n) == 0)
			return true;
	return false;
}

enum filter_likes error_page_likes(const struct http_head *asked)
{
	const struct http_field *f = http_head_find(asked, HTTP_NAME_ACCEPT);

	if (f == NULL)
		return LIKES_TEXT;
	if (has(http_field_value(asked, f), "text/html"))
		return LIKES_HTML;
	return has(http_field_value(asked, f), "application/json") ? LIKES_JSON : LIKES_TEXT;
}

static void put_html(const struct filter_view *v, const char *why, struct edit *e)
{
	text_str(e, "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
	text_u64(e, v->status);
	text_str(e, " ");
	text_str(e, http_writer_reason(v->status));
	text_str(e, "</title></head><body><h1>");
	text_u64(e, v->status);
	text_str(e, " ");
	text_str(e, http_writer_reason(v->status));
	text_str(e, "</h1><p>");
	text_str(e, why);
	text_str(e, "</p><p>Request ");
	text_put(e, v->request_id.p, v->request_id.n);
	text_str(e, "</p></body></html>\n");
}

static void put_json(const struct filter_view *v, const char *why, struct edit *e)
{
	text_str(e, "{\"error\":\"");
	text_str(e, http_writer_reason(v->status));
	text_str(e, "\",\"status\":");
	text_u64(e, v->status);
	text_str(e, ",\"message\":\"");
	text_str(e, why);
	text_str(e, "\",\"request_id\":\"");
	text_put(e, v->request_id.p, v->request_id.n);
	text_str(e, "\"}\n");
}

static void put_text(const struct filter_view *v, const char *why, struct edit *e)
{
	text_u64(e, v->status);
	text_str(e, " ");
	text_str(e, http_writer_reason(v->status));
	if (why[0] != '\0') {
		text_str(e, ": ");
		text_str(e, why);
	}
	if (v->request_id.n > 0) {
		text_str(e, "\nrequest ");
		text_put(e, v->request_id.p, v->request_id.n);
	}
	text_str(e, "\n");
}

static const struct {
	const char *type;
	void (*put)(const struct filter_view *v, const char *why, struct edit *e);
} own[] = {
	[LIKES_TEXT] = { "text/plain; charset=utf-8", put_text },
	[LIKES_HTML] = { "text/html; charset=utf-8", put_html },
	[LIKES_JSON] = { "application/json", put_json },
};

static const struct route_page *find(const struct route_page *pages, unsigned n, unsigned status)
{
	for (unsigned i = 0; i < n; i++)
		if (pages[i].status == status)
			return &pages[i];
	return NULL;
}

void error_page_fill(
	const struct route_page *pages, unsigned n, const struct filter_view *v, const char *why, struct edit *e)
{
	const struct route_page *const page = find(pages, n, v->status);
	size_t from;

	text_set(e, "content-type", text_span(page != NULL ? page->type : own[v->likes].type));
	if (page != NULL && strchr(page->body, '{') == NULL) {
		e->body = text_span(page->body);
		return;
	}
	from = text_begin(e);
	if (page != NULL)
		put_page(page->body, v, e);
	else
		own[v->likes].put(v, why, e);
	e->body = text_since(e, from);
}
