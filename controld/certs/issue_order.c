/* The order for a certificate at the CA: asked for, written down, read again. */
#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "common/crypto/site_cert.h"
#include "controld/certs/issue.h"

#include <stdlib.h>
#include <string.h>

#define STUCK       3 /* failures, and an order that cannot be read is given up */
#define REQUEST_MAX (64 * 1024)

int issue_post(struct issue *i, const char *url, const char *payload, struct buf *body, struct err *e)
{
	buf_init(body, ACME_REPLY_MAX);
	return acme_client_post(&i->client, url, payload, body, e);
}

int issue_read_order(struct issue *i, struct acme_order *o, struct err *e)
{
	struct buf body;
	int rc = issue_post(i, i->c.order.url, "", &body, e);

	if (rc == 0)
		rc = acme_reply_order(o, (const char *)body.data, body.len, e);
	buf_free(&body);
	return rc;
}

int issue_read_authorization(struct issue *i, const char *url, struct acme_authorization *a, struct err *e)
{
	struct buf body;
	int rc = issue_post(i, url, "", &body, e);

	if (rc == 0)
		rc = acme_reply_authorization(a, (const char *)body.data, body.len, e);
	buf_free(&body);
	return rc;
}

static int on_identifier(const char *name, void *arg)
{
	jsonw_object(arg, NULL);
	jsonw_str(arg, "type", "dns");
	jsonw_str(arg, "value", name);
	jsonw_end_object(arg);
	return 0;
}

struct names {
	char (*of)[HOST_NAME_SIZE];
	const char *list[ACME_ORDER_NAMES];
	size_t n;
};

static int on_wanted(const char *name, void *arg)
{
	struct names *n = arg;

	if (n->n == ACME_ORDER_NAMES)
		return 1;
	(void)str_copy(n->of[n->n], HOST_NAME_SIZE, name);
	n->list[n->n] = n->of[n->n];
	n->n++;
	return 0;
}

struct placing {
	struct issue *i;
	const char *url, *key;
	const struct buf *request;
};

static int work_place(struct db *tx, void *arg, struct err *e)
{
	const struct placing *p = arg;

	if (job_run_save_in(tx, p->i->run, "", e) != 0)
		return -1;
	return order_placed(tx, p->i->c.id, p->url, p->key, p->request, e);
}

/* What the CA has made of it, and where that is. */
static int ask(struct issue *i, struct acme_order *o, const char *payload, char url[ACME_URL_SIZE], struct err *e)
{
	struct buf body;
	int rc = issue_post(i, i->client.directory.new_order, payload, &body, e);

	(void)str_copy(url, ACME_URL_SIZE, i->client.location);
	if (rc == 0)
		rc = acme_reply_order(o, (const char *)body.data, body.len, e);
	if (rc == 0 && url[0] == '\0')
		rc = err_set(e, ERR_PROTOCOL, NULL, "the CA does not say where the order is");
	buf_free(&body);
	return rc;
}

static int give_back_proof(struct issue *i, const char *url, struct err *e)
{
	struct buf body;
	int rc = issue_post(i, url, "{\"status\":\"deactivated\"}", &body, e);

	buf_free(&body);
	return rc;
}

/*
 * The account is that of all tenants, so a proof that the CA still has from another order says nothing of who serves the name now: it
 * is given back (RFC 8555 section 7.5.2), and the order has to be made anew. How many there were, or -1.
 */
static int give_back_proofs(struct issue *i, const struct acme_order *o, struct err *e)
{
	struct acme_authorization *a = malloc(sizeof *a);
	int old = 0, rc = 0;

	if (a == NULL)
		return err_set(e, ERR_NOMEM, NULL, "certificate: out of memory");
	for (size_t k = 0; k < o->n && rc == 0; k++) {
		rc = issue_read_authorization(i, o->authorizations[k], a, e);
		if (rc == 0 && a->status == ACME_VALID && ++old > 0)
			rc = give_back_proof(i, o->authorizations[k], e);
	}
	free(a);
	return rc == 0 ? old : -1;
}

static int place(struct issue *i, struct acme_order *o, const char *key, const struct buf *request, struct err *e)
{
	char url[ACME_URL_SIZE];
	struct placing p = { i, url, key, request };
	struct buf payload;
	int rc;

	buf_init(&payload, REQUEST_MAX);
	jsonw_object(&payload, NULL);
	jsonw_array(&payload, "identifiers");
	(void)certificate_each_name(&i->c, on_identifier, &payload);
	jsonw_end_array(&payload);
	jsonw_end_object(&payload);
	rc = ask(i, o, buf_cstr(&payload), url, e);
	if (rc == 0 && (rc = give_back_proofs(i, o, e)) > 0)
		rc = ask(i, o, buf_cstr(&payload), url, e);
	if (rc == 0)
		rc = store_write(i->certs->store, STORE_LOGGED, work_place, &p, e);
	if (rc == 0)
		(void)str_copy(i->c.order.url, sizeof i->c.order.url, url);
	buf_free(&payload);
	return rc;
}

/* Key and request first: what the CA has taken on must never wait for them. */
static int new_order(struct issue *i, struct acme_order *o, struct err *e)
{
	struct names names = { .of = calloc(ACME_ORDER_NAMES, sizeof *names.of) };
	struct buf request;
	char *key = NULL;
	int rc;

	if (names.of == NULL)
		return err_set(e, ERR_NOMEM, NULL, "certificate: out of memory");
	buf_init(&request, REQUEST_MAX);
	(void)certificate_each_name(&i->c, on_wanted, &names);
	rc = site_cert_request(names.list, names.n, &key, &request, e);
	if (rc == 0)
		rc = place(i, o, key, &request, e);
	if (key != NULL)
		seal_wipe(key, strlen(key));
	free(key);
	buf_free(&request);
	free(names.of);
	return rc;
}

/* The one under way, if something can come of it yet. */
int issue_find_order(struct issue *i, struct acme_order *o, struct err *e)
{
	if (i->c.order.url[0] != '\0') {
		if (issue_read_order(i, o, e) == 0 && o->status != ACME_INVALID)
			return 0;
		if (o->status != ACME_INVALID && e->code != ERR_NOT_FOUND && e->code != ERR_FORBIDDEN &&
			i->c.order.failures < STUCK) /* it may be of another CA, which is not there any more */
			return -1;
		job_run_log(i->run, JOB_INFO, "the order under way came to nothing; there is a new one");
	}
	return new_order(i, o, e);
}
