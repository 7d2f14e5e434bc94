#include "controld/acme/acme_client.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "controld/acme/acme_jws.h"
#include "controld/out/outbound.h"

#include <string.h>

#define CALL_MS       30000
#define NONCES_MAX    6       /* that are refused in a row */
#define RATE_LIMIT_MS 3600000 /* when the CA does not say until when */

/* ---- one call ---------------------------------------------------------------------------------------------------- */

static void take_header(struct outbound_answer *a, const char *name, char *dst, size_t size)
{
	if (!outbound_header(a, name, dst, size))
		dst[0] = '\0';
}

static void take_head(struct acme_client *c, struct outbound_answer *a)
{
	char retry[64];

	take_header(a, "Replay-Nonce", c->nonce, sizeof c->nonce);
	take_header(a, "Location", c->location, sizeof c->location);
	take_header(a, "Retry-After", retry, sizeof retry);
	if (c->location[0] != '\0' && !acme_reply_is_url(c->location))
		c->location[0] = '\0';
	/* it stands between quotes of ours */
	if (c->nonce[strspn(c->nonce, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")] != '\0')
		c->nonce[0] = '\0';
	c->retry_ms = acme_reply_retry_after(retry, clock_wall_ms());
}

static int send_it(struct acme_client *c, struct outbound_request *rq, struct outbound_answer *out, struct err *e)
{
	rq->timeout_ms = CALL_MS;
	rq->answer_max = ACME_REPLY_MAX;
	rq->stop = c->stop;
	rq->arg = c->arg;
	c->retry_ms = 0;
	if (outbound_send(c->ca->outbound, rq, out, e) != 0)
		return -1;
	take_head(c, out);
	return 0;
}

static enum err_code code_of(const struct acme_problem *p, int status)
{
	static const struct {
		const char *type;
		enum err_code code;
	} known[] = {
		{ "rateLimited", ERR_RATE_LIMITED },
		{ "accountDoesNotExist", ERR_INVALID_TOKEN },
		{ "serverInternal", ERR_UNAVAILABLE },
		{ "badNonce", ERR_UNAVAILABLE },
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (str_eq(known[i].type, p->type))
			return known[i].code;
	if (status == 429)
		return ERR_RATE_LIMITED;
	if (status == 404)
		return ERR_NOT_FOUND;
	return status >= 500 ? ERR_UNAVAILABLE : ERR_FORBIDDEN;
}

static int refused(struct acme_client *c, const struct outbound_answer *a, struct err *e)
{
	enum err_code code;

	acme_reply_problem(&c->said, (const char *)a->body.data, a->body.len);
	code = code_of(&c->said, a->status);
	if (code == ERR_RATE_LIMITED && c->retry_ms == 0)
		c->retry_ms = RATE_LIMIT_MS;
	return err_set(e, code, NULL, "the CA refuses (%d %s): %s", a->status,
		c->said.type[0] != '\0' ? c->said.type : "without a reason", c->said.detail);
}

static int fetch_nonce(struct acme_client *c, struct err *e)
{
	struct outbound_request rq = { .method = "HEAD", .url = c->directory.new_nonce };
	struct outbound_answer a;

	if (send_it(c, &rq, &a, e) != 0)
		return -1;
	outbound_answer_fini(&a);
	return c->nonce[0] != '\0' ? 0 : err_set(e, ERR_UNAVAILABLE, NULL, "the CA gives no nonce (%d)", a.status);
}

int acme_client_open(struct acme_client *c, struct err *e)
{
	struct outbound_request rq = { .method = "GET", .url = c->ca->directory };
	struct outbound_answer a;
	int rc;

	if (send_it(c, &rq, &a, e) != 0)
		return -1;
	rc = a.status == 200 ? acme_reply_directory(&c->directory, (const char *)a.body.data, a.body.len, e)
	                     : refused(c, &a, e);
	outbound_answer_fini(&a);
	return rc;
}

/* ---- signed ------------------------------------------------------------------------------------------------------ */

/* 1: the nonce was not wanted, and another one has come. */
static int post_once(struct acme_client *c, const char *url, const char *payload, struct buf *body, struct err *e)
{
	static const char *const headers[] = { "Content-Type: application/jose+json", "Accept: */*", NULL };
	struct acme_jws about = { .url = url, .nonce = c->nonce, .kid = c->kid };
	struct outbound_request rq = { .method = "POST", .url = url, .headers = headers };
	struct outbound_answer a;
	struct buf text;
	int rc;

	buf_init(&text, 2 * (size_t)ACME_REPLY_MAX);
	rc = acme_jws_sign(&text, c->key, &about, payload, e);
	c->nonce[0] = '\0'; /* good for once */
	rq.body = buf_cstr(&text);
	rq.body_n = text.len;
	if (rc == 0)
		rc = send_it(c, &rq, &a, e);
	buf_free(&text);
	if (rc != 0)
		return -1;
	if (a.status / 100 == 2) {
		if (a.body.len > 0)
			buf_put(body, a.body.data, a.body.len);
		rc = body->failed ? err_set(e, ERR_TOO_LARGE, NULL, "the CA's answer is too long") : 0;
	} else {
		rc = refused(c, &a, e);
		if (str_eq(c->said.type, "badNonce"))
			rc = 1;
	}
	outbound_answer_fini(&a);
	return rc;
}

int acme_client_post(struct acme_client *c, const char *url, const char *payload, struct buf *body, struct err *e)
{
	int rc = 1;

	memset(&c->said, 0, sizeof c->said);
	for (unsigned i = 0; i < NONCES_MAX && rc == 1; i++) {
		if (c->nonce[0] == '\0' && fetch_nonce(c, e) != 0)
			return -1;
		rc = post_once(c, url, payload, body, e);
	}
	return rc == 1 ? -1 : rc;
}

/* ---- the account ------------------------------------------------------------------------------------------------- */

static int put_account(struct acme_client *c, struct buf *b, struct err *e)
{
	const struct acme_ca *ca = c->ca;
	struct buf binding;
	int rc = 0;

	buf_init(&binding, 4096);
	jsonw_object(b, NULL);
	jsonw_bool(b, "termsOfServiceAgreed", ca->terms_agreed);
	if (ca->contact[0] != '\0') {
		char mail[300];

		(void)str_fmt(mail, sizeof mail, "mailto:%s", ca->contact);
		jsonw_array(b, "contact");
		jsonw_str(b, NULL, mail);
		jsonw_end_array(b);
	}
	if (ca->eab_kid[0] != '\0') {
		rc = acme_jws_bind(&binding, c->key, c->directory.new_account, ca->eab_kid, ca->eab_key, e);
		jsonw_raw(b, "externalAccountBinding", buf_cstr(&binding), binding.len);
	} else if (c->directory.binding_required) {
		rc = err_set(e, ERR_FORBIDDEN, "acme.eab_kid",
			"acme.eab_kid: the CA wants an account of its own bound (acme.eab_kid and acme.eab_key)");
	}
	jsonw_end_object(b);
	buf_free(&binding);
	return rc;
}

/* A key that the CA knows already gets its account again (section 7.3.1), so this may be done any number of times. */
int acme_client_register(struct acme_client *c, struct err *e)
{
	struct buf payload, answer;
	int rc;

	buf_init(&payload, 8192);
	buf_init(&answer, ACME_REPLY_MAX);
	c->kid[0] = '\0';
	rc = put_account(c, &payload, e);
	if (rc == 0)
		rc = acme_client_post(c, c->directory.new_account, buf_cstr(&payload), &answer, e);
	if (rc == 0 && c->location[0] == '\0')
		rc = err_set(e, ERR_PROTOCOL, NULL, "the CA does not say what it calls the account");
	if (rc == 0)
		(void)str_copy(c->kid, sizeof c->kid, c->location);
	buf_free(&payload);
	buf_free(&answer);
	return rc;
}
