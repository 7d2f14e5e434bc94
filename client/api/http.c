#include "client/api/http.h"

#include "client/api/http_options.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HTTP_BODY_MAX    (64u << 20) /* bytes of an answer that are read */
#define HTTP_CONNECT_MS  5000L
#define HTTP_RETRY_MAX_S 3600u

struct http {
	CURL *curl;
	const char *ca_file;
	struct buf body; /* of the answer that is coming */
	struct http_answer *answer;
};

int http_new(struct http **out, const char *ca_file, struct err *e)
{
	struct http *h = calloc(1, sizeof *h);

	if (h == NULL || (h->curl = curl_easy_init()) == NULL) {
		http_free(h);
		return err_set(e, ERR_NOMEM, NULL, "out of memory");
	}
	h->ca_file = ca_file;
	buf_init(&h->body, HTTP_BODY_MAX);
	*out = h;
	return 0;
}

void http_free(struct http *h)
{
	if (h == NULL)
		return;
	curl_easy_cleanup(h->curl);
	buf_free(&h->body);
	free(h);
}

/* ---- what comes -------------------------------------------------------------------------------------------------- */

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct http *h = arg;

	buf_put(&h->body, p, size * n);
	return h->body.failed ? 0 : size * n; /* 0 ends the transfer */
}

/* The value of the header line if it has this name, without blanks around it; else NULL. */
static const char *value_of(char *line, const char *name)
{
	size_t n = strlen(name), end;

	if (strncasecmp(line, name, n) != 0 || line[n] != ':')
		return NULL;
	line += n + 1;
	line += strspn(line, " \t");
	end = strcspn(line, "\r\n");
	while (end > 0 && (line[end - 1] == ' ' || line[end - 1] == '\t'))
		end--;
	line[end] = '\0';
	return line;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
	struct http *h = arg;
	char line[256];
	const char *v;
	uint64_t s;

	if (str_fmt(line, sizeof line, "%.*s", (int)MIN(size * n, sizeof line), p) != 0)
		return size * n; /* too long for anything that is looked for */
	if (strncmp(line, "HTTP/", 5) == 0)
		*h->answer = (struct http_answer){ 0 }; /* after 100 Continue comes another */
	else if ((v = value_of(line, "ETag")) != NULL)
		(void)str_copy(h->answer->etag, sizeof h->answer->etag, v);
	else if ((v = value_of(line, "Retry-After")) != NULL && str_to_u64(v, 0, HTTP_RETRY_MAX_S, &s) == 0)
		h->answer->retry_after_ms = s * 1000;
	return size * n;
}

/* ---- what goes --------------------------------------------------------------------------------------------------- */

static struct curl_slist *make_headers(const struct http_request *rq)
{
	struct curl_slist *all = curl_slist_append(NULL, "Accept: application/json"), *more;

	if (all != NULL && rq->body != NULL &&
		(more = curl_slist_append(all, "Content-Type: application/json")) != NULL)
		all = more;
	for (const char *const *h = rq->headers; h != NULL && *h != NULL && all != NULL; h++) {
		if ((more = curl_slist_append(all, *h)) == NULL) {
			curl_slist_free_all(all);
			return NULL;
		}
		all = more;
	}
	return all;
}

void http_set_options(CURL *c, const char *url, const char *ca_file)
{
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L); /* an id ".." is no step upwards */
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, HTTP_CONNECT_MS);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "portway/" PORTWAY_VERSION);
	if (http_is_local(url))
		curl_easy_setopt(c, CURLOPT_PROXY, "");
	if (ca_file != NULL) {
		curl_easy_setopt(c, CURLOPT_CAINFO, ca_file);
		curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
	}
}

static void set_options(struct http *h, const struct http_request *rq, struct curl_slist *headers)
{
	CURL *c = h->curl;

	curl_easy_reset(c); /* keeps connections */
	http_set_options(c, rq->url, h->ca_file);
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)rq->timeout_ms);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c, CURLOPT_ACCEPT_ENCODING, "");
	curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, rq->method);
	if (rq->body != NULL) {
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, rq->body);
		curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(rq->body));
	}
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, h);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, h);
}

static enum err_code code_of(CURLcode rc)
{
	switch (rc) {
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_CONNECT:
		return ERR_UNAVAILABLE;
	case CURLE_OPERATION_TIMEDOUT:
		return ERR_TIMEOUT;
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return ERR_VALIDATION;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
		return ERR_CRYPTO;
	case CURLE_OUT_OF_MEMORY:
		return ERR_NOMEM;
	default:
		return ERR_IO;
	}
}

int http_send(struct http *h, const struct http_request *rq, struct http_answer *out, struct err *e)
{
	struct curl_slist *headers = make_headers(rq);
	char why[CURL_ERROR_SIZE] = "";
	CURLcode rc;

	*out = (struct http_answer){ 0 };
	if (headers == NULL)
		return err_set(e, ERR_NOMEM, NULL, "out of memory");
	buf_reset(&h->body);
	h->answer = out;
	set_options(h, rq, headers);
	curl_easy_setopt(h->curl, CURLOPT_ERRORBUFFER, why);
	rc = curl_easy_perform(h->curl);
	curl_easy_setopt(h->curl, CURLOPT_ERRORBUFFER, NULL);
	curl_slist_free_all(headers);
	if (h->body.failed)
		return err_set(e, ERR_TOO_LARGE, NULL, "%s answers more than %u bytes", rq->url, HTTP_BODY_MAX);
	if (rc != CURLE_OK)
		return err_set(e, code_of(rc), NULL, "%s (%s)", why[0] != '\0' ? why : curl_easy_strerror(rc), rq->url);
	curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &out->status);
	out->body = json_loadb((const char *)h->body.data, h->body.len, JSON_DECODE_ANY, NULL);
	return 0;
}

bool http_is_local(const char *url)
{
	const char *at = strstr(url, "://");
	char host[64];
	size_t n;

	if (at == NULL)
		return false;
	at += 3;
	n = *at == '[' ? strcspn(at, "]") + 1 : strcspn(at, ":/");
	if (str_fmt(host, sizeof host, "%.*s", (int)n, at) != 0)
		return false;
	if (strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0)
		return true;
	return strncmp(host, "127.", 4) == 0 && host[strspn(host, "0123456789.")] == '\0';
}

void http_answer_fini(struct http_answer *a)
{
	json_decref(a->body);
	*a = (struct http_answer){ 0 };
}
