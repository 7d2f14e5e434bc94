#include "controld/rest/body.h"

#include "common/base/err.h"
#include "common/base/str.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#define BODY_GZIP_WINDOW (15 + 16) /* zlib: largest window, gzip wrapping only */
#define BODY_GROW        4096

/* "application/json" or "application/<something>+json", whatever parameters follow. */
static bool body_is_json(const char *type)
{
	const size_t n = strcspn(type, "; \t");

	if (n == strlen("application/json") && strncasecmp(type, "application/json", n) == 0)
		return true;
	return n > strlen("application/+json") && strncasecmp(type, "application/", 12) == 0 &&
	       strncasecmp(type + n - 5, "+json", 5) == 0;
}

struct body_shape {
	unsigned depth, deepest;
	size_t values; /* at least as many as the parser would make */
};

static void body_count(struct body_shape *s, uint8_t c)
{
	if (c == ',')
		s->values++;
	else if (c == '{' || c == '[') {
		s->values++;
		s->depth++;
		s->deepest = MAX(s->deepest, s->depth);
	} else if ((c == '}' || c == ']') && s->depth > 0)
		s->depth--;
}

/*
 * The parser itself recurses, and each value takes a hundred bytes and more, however short it is: so both are judged on the
 * bytes. What is inside strings does not count.
 */
static int body_check_shape(const uint8_t *p, size_t n, struct err *e)
{
	struct body_shape s = { 0 };
	bool in_string = false;

	for (size_t i = 0; i < n; i++) {
		if (in_string && p[i] == '\\')
			i++;
		else if (p[i] == '"')
			in_string = !in_string;
		else if (!in_string)
			body_count(&s, p[i]);
	}
	if (s.deepest > BODY_DEPTH_MAX)
		return err_set(e, ERR_BAD_REQUEST, NULL, "the body is nested deeper than %d levels", BODY_DEPTH_MAX);
	if (s.values > BODY_VALUES_MAX)
		return err_set(e, ERR_BAD_REQUEST, NULL, "the body holds more than %d values", BODY_VALUES_MAX);
	return 0;
}

/* ---- gzip --------------------------------------------------------------------------------------------------------- */

/* Fills a buffer that grows up to max; answers zlib's last word. */
static int body_gunzip(z_stream *z, uint8_t **out, size_t *len, size_t max)
{
	size_t cap = 0;
	int rc = Z_OK;

	while (rc == Z_OK) {
		uint8_t *bigger;

		if (*len == max)
			return Z_BUF_ERROR;
		cap = MIN(cap + MAX(cap, (size_t)BODY_GROW), max);
		bigger = realloc(*out, cap + 1);
		if (bigger == NULL)
			return Z_MEM_ERROR;
		*out = bigger;
		z->next_out = *out + *len;
		z->avail_out = (uInt)(cap - *len);
		rc = inflate(z, Z_NO_FLUSH);
		*len = cap - z->avail_out;
		if (rc == Z_OK && z->avail_in == 0 && z->avail_out > 0)
			return Z_DATA_ERROR; /* ended early */
	}
	return rc;
}

static int body_inflate_gzip(uint8_t **out, size_t *n, const struct body_source *src, struct err *e)
{
	z_stream z = { .next_in = (uint8_t *)(uintptr_t)src->data, .avail_in = (uInt)src->n };
	uint8_t *data = NULL;
	size_t len = 0;
	int rc;

	if (inflateInit2(&z, BODY_GZIP_WINDOW) != Z_OK)
		return err_set(e, ERR_NOMEM, NULL, "out of memory");
	rc = body_gunzip(&z, &data, &len, src->inflated_max);
	if (rc == Z_STREAM_END && z.avail_in > 0)
		rc = Z_DATA_ERROR;
	(void)inflateEnd(&z);
	if (rc == Z_STREAM_END) {
		*out = data;
		*n = len;
		return 0;
	}
	free(data);
	if (rc == Z_BUF_ERROR)
		return err_set(
			e, ERR_TOO_LARGE, NULL, "the body is longer than %zu bytes when inflated", src->inflated_max);
	if (rc == Z_MEM_ERROR)
		return err_set(e, ERR_NOMEM, NULL, "out of memory");
	return err_set(e, ERR_BAD_REQUEST, NULL, "the body is not one whole gzip stream");
}

/* Bytes as they are after Content-Encoding; *out is malloc'ed, or NULL when data can be used as it is. */
static int body_inflate(uint8_t **out, size_t *n, const struct body_source *src, struct err *e)
{
	*out = NULL;
	*n = src->n;
	if (src->content_encoding == NULL || strcasecmp(src->content_encoding, "identity") == 0 || src->n == 0)
		return 0;
	if (strcasecmp(src->content_encoding, "gzip") == 0)
		return body_inflate_gzip(out, n, src, e);
	err_set(e, ERR_UNSUPPORTED_MEDIA, "Content-Encoding", "Content-Encoding must be gzip or identity");
	return err_detail(e, "choice", src->content_encoding);
}

/* ---- JSON --------------------------------------------------------------------------------------------------------- */

static int body_load(json_t **out, const char *text, size_t n, struct err *e)
{
	json_error_t why;
	json_t *body;

	if (body_check_shape((const uint8_t *)text, n, e) != 0)
		return -1;
	body = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
	if (body == NULL)
		return err_set(e, ERR_BAD_REQUEST, NULL, "the body is not valid JSON: %s (line %d, column %d)",
			why.text, why.line, why.column);
	if (!json_is_object(body)) {
		json_decref(body);
		return err_set(e, ERR_BAD_REQUEST, NULL, "the body must be a JSON object");
	}
	*out = body;
	return 0;
}

int body_parse(json_t **out, const struct body_source *src, struct err *e)
{
	uint8_t *inflated;
	size_t n;
	int rc;

	if (src->n == 0) {
		*out = json_object();
		return *out != NULL ? 0 : err_set(e, ERR_NOMEM, NULL, "out of memory");
	}
	if (src->content_type == NULL || !body_is_json(src->content_type)) {
		err_set(e, ERR_UNSUPPORTED_MEDIA, "Content-Type",
			"a body must come with Content-Type: application/json");
		return err_detail(e, "choice", src->content_type != NULL ? src->content_type : "");
	}
	if (body_inflate(&inflated, &n, src, e) != 0)
		return -1;
	rc = body_load(out, inflated != NULL ? (const char *)inflated : (const char *)src->data, n, e);
	free(inflated);
	return rc;
}
