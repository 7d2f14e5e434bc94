#include "controld/out/transfer.h"

#include "common/base/str.h"
#include "controld/out/guard.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_MS 5000

/* ---- what comes -------------------------------------------------------------------------------------------------- */

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;

	buf_put(&t->answer.body, p, size * n);
	t->too_long = t->answer.body.failed;
	return t->too_long ? 0 : size * n; /* 0 ends the transfer */
}

/* Of the last answer only: one of 1xx may come before it. What does not fit is not kept. */
static size_t on_head(char *p, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;

	if (size * n > 5 && memcmp(p, "HTTP/", 5) == 0)
		buf_reset(&t->answer.head);
	if (t->answer.head.len + size * n < OUTBOUND_HEAD_MAX)
		buf_put(&t->answer.head, p, size * n);
	return size * n;
}

/* The moment of truth: this address is dialled, and no other. */
static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
	struct transfer *t = arg;
	struct addr a = { .len = 0 };

	if (purpose == CURLSOCKTYPE_IPCXN && (to->family == AF_INET || to->family == AF_INET6))
		addr_from_sockaddr(&a, &to->addr, to->addrlen);
	if (a.len == 0 || !guard_allows(t->guard, &a)) {
		t->denied = true;
		return CURL_SOCKET_BAD;
	}
	return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

/* ---- making ------------------------------------------------------------------------------------------------------ */

static bool is_one_line(const char *s)
{
	return s[strcspn(s, "\r\n")] == '\0';
}

static int set_headers(struct transfer *t, struct err *e)
{
	const char *const *h = t->rq->headers;

	for (; h != NULL && *h != NULL; h++) {
		struct curl_slist *more;

		if (!is_one_line(*h))
			return err_set(e, ERR_VALIDATION, "headers", "headers: one must not hold an end of line");
		if ((more = curl_slist_append(t->headers, *h)) == NULL)
			return err_set(e, ERR_NOMEM, NULL, "outbound: out of memory");
		t->headers = more;
	}
	curl_easy_setopt(t->curl, CURLOPT_HTTPHEADER, t->headers);
	return 0;
}

static void set_limits(CURL *c, const struct outbound_request *rq, const char *ca_file)
{
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	/* A name that nobody answers for: a call that is over is taken away at once, and what still asks ends by itself. Else the
	 * thread that drives all calls waits for it. */
	curl_easy_setopt(c, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)rq->timeout_ms);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)(rq->connect_ms > 0 ? rq->connect_ms : CONNECT_MS));
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(c, CURLOPT_PROXY, "");
	curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	/* Without TLS it is not known before the first answer whether a connection can be shared, and there is never more than
	 * one call on it: nobody waits for that. */
	curl_easy_setopt(c, CURLOPT_PIPEWAIT, (long)(strncasecmp(rq->url, "https:", 6) == 0));
	curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "Portway/" PORTWAY_VERSION);
	if (ca_file != NULL && *ca_file != '\0')
		curl_easy_setopt(c, CURLOPT_CAINFO, ca_file);
}

static void set_request(struct transfer *t)
{
	const struct outbound_request *rq = t->rq;
	CURL *c = t->curl;

	curl_easy_setopt(c, CURLOPT_URL, rq->url);
	if (rq->body != NULL) {
		curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)rq->body_n);
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, rq->body);
	}
	if (str_eq(rq->method, "HEAD"))
		curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
	else if (rq->body != NULL || !str_eq(rq->method, "GET"))
		curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, rq->method);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_head);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, on_socket);
	curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, t);
	curl_easy_setopt(c, CURLOPT_PRIVATE, t);
}

int transfer_init(struct transfer *t, const struct outbound_request *rq, const struct guard *guard, const char *ca_file,
	struct err *e)
{
	pthread_condattr_t attr;

	memset(t, 0, sizeof *t);
	list_init(&t->link);
	t->guard = guard;
	t->rq = rq;
	buf_init(&t->answer.body, rq->answer_max);
	buf_init(&t->answer.head, OUTBOUND_HEAD_MAX);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&t->done, &attr);
	pthread_condattr_destroy(&attr);
	if (rq->method[strspn(rq->method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")] != '\0') {
		err_set(e, ERR_VALIDATION, "method", "method: must be one word in capitals");
		goto fail;
	}
	if ((t->curl = curl_easy_init()) == NULL) {
		err_set(e, ERR_NOMEM, NULL, "outbound: out of memory");
		goto fail;
	}
	set_limits(t->curl, rq, ca_file);
	set_request(t);
	if (set_headers(t, e) != 0)
		goto fail;
	return 0;
fail:
	transfer_fini(t);
	outbound_answer_fini(&t->answer);
	return -1;
}

void transfer_fini(struct transfer *t)
{
	if (t->curl != NULL)
		curl_easy_cleanup(t->curl);
	curl_slist_free_all(t->headers);
	pthread_cond_destroy(&t->done);
}

/* ---- how it ended ------------------------------------------------------------------------------------------------ */

static enum err_code code_of(CURLcode code)
{
	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_CONNECT:
		return ERR_UNAVAILABLE;
	case CURLE_OPERATION_TIMEDOUT:
		return ERR_TIMEOUT;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
		return ERR_CRYPTO;
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return ERR_VALIDATION;
	case CURLE_OUT_OF_MEMORY:
		return ERR_NOMEM;
	default:
		return ERR_IO;
	}
}

/* Addresses are not told: what a name of the inside resolves to is nobody's business who may only give URLs. */
int transfer_verdict(const struct transfer *t, struct err *e)
{
	if (t->too_long)
		return err_set(e, ERR_TOO_LARGE, NULL, "the answer is longer than %zu bytes", t->rq->answer_max);
	if (t->code == CURLE_OK)
		return 0;
	if (t->denied)
		return err_set(e, ERR_DENIED_TARGET, NULL,
			"the host leads to an address that is closed to outbound calls; outbound.allow can open it");
	return err_set(e, code_of(t->code), NULL, "no answer: %s", curl_easy_strerror(t->code));
}
