#include "relayd/filter/cors.h"

#include "proto/route_parts.h"

#include <string.h>

/* An origin is compared byte by byte (RFC 6454 section 5): browsers send it in one spelling. */
static bool is(struct http_span origin, const char *s)
{
	return origin.n == strlen(s) && memcmp(origin.p, s, origin.n) == 0;
}

static bool any_origin(const struct route_cors *c)
{
	for (uint32_t i = 0; i < c->n_origins; i++)
		if (strcmp(c->origins[i], "*") == 0)
			return true;
	return false;
}

static bool allows(const struct route_cors *c, struct http_span origin)
{
	if (origin.n == 0)
		return false;
	for (uint32_t i = 0; i < c->n_origins; i++)
		if (is(origin, c->origins[i]))
			return true;
	return any_origin(c);
}

/* With credentials "*" would mean a site of that name, so the origin is said. Then caches must know that it matters. */
static void allow_origin(const struct route_cors *c, const struct filter_view *v, struct edit *e)
{
	const bool any = any_origin(c) && !c->credentials;

	if (!any)
		text_token(e, v->answer, HTTP_NAME_VARY, "Origin");
	if (!allows(c, v->origin))
		return;
	text_field(e, "access-control-allow-origin", any ? text_span("*") : v->origin);
	if (c->credentials)
		text_field(e, "access-control-allow-credentials", text_span("true"));
}

bool cors_preflight(const struct route_cors *c, const struct filter_view *v, struct edit *e)
{
	const struct http_field *const asked = http_head_find(v->head, HTTP_NAME_ACCESS_CONTROL_REQUEST_METHOD);
	const struct http_field *headers;

	if (v->head->method != HTTP_OPTIONS || asked == NULL || v->origin.n == 0)
		return false;
	e->status = 204;
	allow_origin(c, v, e);
	if (!allows(c, v->origin))
		return true;
	text_field(e, "access-control-allow-methods",
		c->methods[0] != '\0' ? text_span(c->methods) : http_field_value(v->head, asked));
	headers = http_head_find(v->head, HTTP_NAME_ACCESS_CONTROL_REQUEST_HEADERS);
	if (c->headers[0] != '\0')
		text_field(e, "access-control-allow-headers", text_span(c->headers));
	else if (headers != NULL)
		text_field(e, "access-control-allow-headers", http_field_value(v->head, headers));
	if (c->max_age_s > 0) {
		const size_t from = text_begin(e);

		text_u64(e, c->max_age_s);
		text_field(e, "access-control-max-age", text_since(e, from));
	}
	return true;
}

void cors_answer(const struct route_cors *c, const struct filter_view *v, struct edit *e)
{
	static const char *const theirs[] = { "access-control-allow-origin", "access-control-allow-credentials",
		"access-control-expose-headers" };

	for (size_t i = 0; i < ARRAY_LEN(theirs); i++)
		edit_remove(e, theirs[i]);
	allow_origin(c, v, e);
	if (allows(c, v->origin) && c->expose[0] != '\0')
		text_field(e, "access-control-expose-headers", text_span(c->expose));
}
