#include "client/http_get.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"

#include <curl/curl.h>

#define BODY_MAX   (4u << 20) /* bytes of an answer that are read */
#define CONNECT_MS 3000L
#define TOTAL_MS   10000L

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct buf *b = arg;

	buf_put(b, p, size * n);
	return b->failed ? 0 : size * n; /* 0 ends the transfer */
}

static void set_options(CURL *c, const char *url, struct curl_slist *headers, struct buf *body)
{
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, TOTAL_MS);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, body);
}

static int perform(CURL *c, struct http_answer *out, const char *url, const struct buf *body, struct err *e)
{
	CURLcode rc = curl_easy_perform(c);

	if (body->failed)
		return err_set(e, ERR_TOO_LARGE, NULL, "%s answered more than %u bytes", url, BODY_MAX);
	if (rc != CURLE_OK)
		return err_set(e, ERR_UNAVAILABLE, NULL, "%s: %s", url, curl_easy_strerror(rc));
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &out->status);
	out->body = json_loadb((const char *)body->data, body->len, 0, NULL);
	return 0;
}

int http_get(struct http_answer *out, const char *base, const char *path, const char *token, struct err *e)
{
	struct curl_slist *headers = curl_slist_append(NULL, "Accept: application/json");
	char url[1024], authorization[4200];
	struct buf body;
	CURL *c = curl_easy_init();
	int rc = -1;

	*out = (struct http_answer){ 0 };
	buf_init(&body, BODY_MAX);
	if (c == NULL || headers == NULL) {
		err_set(e, ERR_NOMEM, NULL, "out of memory");
	} else if (str_fmt(url, sizeof url, "%s%s", base, path) != 0 ||
		   (token != NULL &&
			   str_fmt(authorization, sizeof authorization, "Authorization: Bearer %s", token) != 0)) {
		err_set(e, ERR_VALIDATION, NULL, "the address or the token is too long");
	} else {
		if (token != NULL)
			headers = curl_slist_append(headers, authorization);
		set_options(c, url, headers, &body);
		rc = perform(c, out, url, &body, e);
	}
	curl_easy_cleanup(c);
	curl_slist_free_all(headers);
	buf_free(&body);
	return rc;
}

void http_answer_fini(struct http_answer *a)
{
	json_decref(a->body);
	a->body = NULL;
}
