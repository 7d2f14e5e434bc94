#include "relayd/filter/gzip.h"

#include "proto/route_parts.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#define WINDOW_BITS 13 /* with MEM_LEVEL 32 + 32 KiB: half of what zlib takes by itself, for 2 % more bytes */
#define MEM_LEVEL   6
#define STEP        (4 * 1024)

/* ---- whether ---- */

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct http_span trim(struct http_span s)
{
	while (s.n > 0 && blank(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

/* The next item up to `end`, blanks cut off; false at the end. */
static bool next_item(struct http_span *rest, char end, struct http_span *item)
{
	const char *to;

	if (rest->n == 0)
		return false;
	to = memchr(rest->p, end, rest->n);
	*item = (struct http_span){ rest->p, to != NULL ? (size_t)(to - rest->p) : rest->n };
	rest->p += MIN(item->n + 1, rest->n);
	rest->n -= MIN(item->n + 1, rest->n);
	*item = trim(*item);
	return true;
}

static bool is(struct http_span s, const char *word)
{
	return s.n == strlen(word) && strncasecmp(s.p, word, s.n) == 0;
}

/* "q=0", "q=0.000": not at all. */
static bool has_no_weight(struct http_span params)
{
	struct http_span one;

	while (next_item(&params, ';', &one)) {
		if (one.n < 3 || (one.p[0] != 'q' && one.p[0] != 'Q') || one.p[1] != '=')
			continue;
		for (size_t i = 2; i < one.n; i++)
			if (one.p[i] >= '1' && one.p[i] <= '9')
				return false;
		return true;
	}
	return false;
}

bool gzip_accepted(struct http_span accept)
{
	struct http_span item, coding;
	bool any = false;

	while (next_item(&accept, ',', &item)) {
		if (!next_item(&item, ';', &coding))
			continue;
		if (is(coding, "gzip") || is(coding, "x-gzip"))
			return !has_no_weight(item);
		if (is(coding, "*"))
			any = !has_no_weight(item);
	}
	return any;
}

static bool ends(struct http_span s, const char *with)
{
	const size_t n = strlen(with);

	return s.n >= n && strncasecmp(s.p + s.n - n, with, n) == 0;
}

/* An event stream is text, too, but its reader waits for each line: it is left alone unless it is named. */
static bool is_usual(struct http_span type)
{
	static const char *const others[] = { "application/json", "application/javascript", "application/xml",
		"application/wasm", "image/svg+xml", "application/manifest+json", "application/x-ndjson" };

	if (type.n > 5 && strncasecmp(type.p, "text/", 5) == 0)
		return !is(type, "text/event-stream");
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (is(type, others[i]))
			return true;
	return ends(type, "+json") || ends(type, "+xml");
}

bool gzip_is_type(const char *types, struct http_span type)
{
	struct http_span list = { types, strlen(types) }, bare, one;

	if (!next_item(&type, ';', &bare))
		return false;
	if (types[0] == '\0')
		return is_usual(bare);
	while (next_item(&list, ',', &one)) {
		if (one.n == bare.n && strncasecmp(one.p, bare.p, one.n) == 0)
			return true;
		if (one.n > 1 && one.p[one.n - 1] == '*' && bare.n >= one.n - 1 &&
			strncasecmp(one.p, bare.p, one.n - 1) == 0)
			return true;
	}
	return false;
}

static struct http_span value_of(const struct http_head *h, enum http_name id)
{
	const struct http_field *f = http_head_find(h, id);

	return f != NULL ? http_field_value(h, f) : (struct http_span){ "", 0 };
}

static bool says_no_transform(const struct http_head *h)
{
	for (uint16_t i = 0; i < h->n; i++) {
		struct http_span rest = http_field_value(h, &h->fields[i]), one;

		while (h->fields[i].id == HTTP_NAME_CACHE_CONTROL && next_item(&rest, ',', &one))
			if (is(one, "no-transform"))
				return true;
	}
	return false;
}

/* The answer by itself: the same for all clients, so that Vary is there for all of them. */
static bool could(const struct route_gzip *conf, const struct http_head *a)
{
	if (a->status < 200 || a->status == 204 || a->status == 206 || a->status == 304 || a->switches)
		return false;
	if (http_head_find(a, HTTP_NAME_CONTENT_ENCODING) != NULL || http_head_find(a, HTTP_NAME_CONTENT_RANGE) != NULL)
		return false;
	if (a->has_length && a->length < MAX(conf->min_bytes, 1))
		return false;
	return gzip_is_type(conf->types, value_of(a, HTTP_NAME_CONTENT_TYPE)) && !says_no_transform(a);
}

static void weaken_etag(const struct http_head *a, struct edit *e)
{
	const struct http_span tag = value_of(a, HTTP_NAME_ETAG);
	const size_t from = text_begin(e);

	if (tag.n == 0 || tag.p[0] != '"')
		return;
	text_str(e, "W/");
	text_put(e, tag.p, tag.n);
	text_set(e, "etag", text_since(e, from));
}

bool gzip_taken(const struct http_head *asked)
{
	return asked->method != HTTP_HEAD && asked->version >= 11 && !says_no_transform(asked) &&
	       gzip_accepted(value_of(asked, HTTP_NAME_ACCEPT_ENCODING));
}

bool gzip_wanted(const struct route_gzip *conf, const struct filter_view *v, struct edit *e)
{
	if (!could(conf, v->answer))
		return false;
	text_token(e, v->answer, HTTP_NAME_VARY, "Accept-Encoding");
	if (!v->takes_gzip || v->answer->body == HTTP_NO_BODY)
		return false;
	text_set(e, "content-encoding", text_span("gzip"));
	e->recoded = true;
	edit_remove(e, "accept-ranges");
	weaken_etag(v->answer, e);
	return true;
}

/* ---- how ---- */

struct gzip {
	z_stream z;
};

struct gzip *gzip_open(unsigned level)
{
	struct gzip *g = calloc(1, sizeof *g);

	if (g == NULL)
		return NULL;
	/* + 16: the format of gzip */
	if (deflateInit2(&g->z, level >= 1 && level <= 9 ? (int)level : 5, Z_DEFLATED, WINDOW_BITS + 16, MEM_LEVEL,
		    Z_DEFAULT_STRATEGY) != Z_OK) {
		free(g);
		return NULL;
	}
	return g;
}

void gzip_free(struct gzip *g)
{
	if (g == NULL)
		return;
	deflateEnd(&g->z);
	free(g);
}

int gzip_put(struct gzip *g, struct http_span in, enum gzip_how how, struct blocks *bs, struct block **out)
{
	static const int flushes[] = { [GZIP_MORE] = Z_NO_FLUSH, [GZIP_FLUSH] = Z_SYNC_FLUSH, [GZIP_LAST] = Z_FINISH };

	g->z.next_in = (Bytef *)(uintptr_t)in.p; /* which zlib does not write to */
	g->z.avail_in = (uInt)in.n;
	do {
		if (block_grow(bs, out, STEP) != 0)
			return -1;
		g->z.next_out = (*out)->bytes + (*out)->n;
		g->z.avail_out = STEP;
		if (deflate(&g->z, flushes[how]) == Z_STREAM_ERROR)
			return -1;
		(*out)->n += STEP - g->z.avail_out;
	} while (g->z.avail_out == 0);
	return 0;
}
