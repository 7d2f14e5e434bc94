/*
 * The job that gets a certificate from the CA (RFC 8555): order, answers, proof, request, certificate.
 *
 * It may die anywhere. What must not be done twice is written down at once: the order with its key, and at the end the certificate with the
 * time of the next one, which tells a run after it that there is nothing to do. Between the CA's answer to a new order and its being on
 * disk a death leaves an order at the CA that nobody uses; CAs give the same one again, or let it end.
 */
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/certs/answer.h"
#include "controld/certs/issue.h"
#include "controld/store/changes.h"

#include <stdlib.h>
#include <string.h>

#define CA_MS        (10 * 60 * 1000) /* the CA may take for its part, and not longer */
#define POLL_MS      500
#define POLL_MAX_MS  10000
#define RETRY_MAX_MS (UINT64_C(6) * 3600 * 1000)
#define VAIN_MS      INT64_C(86400000) /* before what the CA does not want is tried again */
#define REQUEST_MAX  (64 * 1024)

static bool on_stop_asked(void *arg)
{
	return job_run_stop(arg);
}

/* Pauses for as long as the CA wants, else a little longer each time. */
static int pause_for_ca(struct issue *i, uint64_t end_ms, uint64_t *pause_ms, struct err *e)
{
	const uint64_t ms = i->client.retry_ms > 0 ? i->client.retry_ms : *pause_ms;

	*pause_ms = MIN(*pause_ms * 2, (uint64_t)POLL_MAX_MS);
	if (clock_mono_ms() + ms > end_ms)
		return err_set(e, ERR_TIMEOUT, NULL, "the CA has not come to an end in time");
	return job_run_sleep(i->run, ms) ? job_run_ended(i->run, e) : 0;
}

/* ---- the account ------------------------------------------------------------------------------------------------- */

static int enter(struct issue *i, struct err *e)
{
	const struct acme_ca *ca = i->certs->conf.ca;

	if (!ca->terms_agreed)
		return err_set(e, ERR_FORBIDDEN, "acme.terms_agreed",
			"acme.terms_agreed: the CA's terms have to be agreed to first");
	if (acme_account_load(&i->account, i->certs->store, ca->directory, e) != 0)
		return -1;
	i->client = (struct acme_client){ .ca = ca, .key = i->account.key, .stop = on_stop_asked, .arg = i->run };
	(void)str_copy(i->client.kid, sizeof i->client.kid, i->account.kid);
	if (acme_client_open(&i->client, e) != 0)
		return -1;
	if (i->client.kid[0] != '\0')
		return 0;
	if (acme_client_register(&i->client, e) != 0)
		return -1;
	(void)str_copy(i->account.kid, sizeof i->account.kid, i->client.kid);
	return acme_account_named(&i->account, i->certs->store, ca->directory, e);
}

/* ---- the proof --------------------------------------------------------------------------------------------------- */

static int problem(struct issue *i, const char *host, const struct acme_problem *p, struct err *e)
{
	i->over = true;
	return err_set(e, ERR_FORBIDDEN, NULL, "%s: the CA has not accepted the proof (%s): %.120s", host,
		p->type[0] != '\0' ? p->type : "without a reason", p->detail);
}

static int on_compare(const char *name, void *arg)
{
	return str_eq(name, arg);
}

/* A CA that asks for what nobody ordered gets no answer. */
static int check_authorization(struct issue *i, struct acme_authorization *a, struct err *e)
{
	if (certificate_each_name(&i->c, on_compare, a->host) == 0)
		return err_set(e, ERR_PROTOCOL, NULL, "the CA asks for a name that was not ordered");
	if (a->status == ACME_VALID)
		return 0;
	if (a->status != ACME_PENDING)
		return problem(i, a->host, &issue_challenge(i, a)->problem, e);
	if (!issue_challenge(i, a)->offered) {
		i->over = true;
		return err_set(e, ERR_FORBIDDEN, NULL, "%s: the CA does not offer %s", a->host,
			order_challenge_name(i->c.order.challenge));
	}
	return 0;
}

static int tell_ca(struct issue *i, const struct acme_authorization *a, struct err *e)
{
	const struct acme_challenge *ch = issue_challenge(i, a);
	struct buf body;
	int rc;

	if (a->status != ACME_PENDING || ch->status != ACME_PENDING) /* a run before has told it */
		return 0;
	i->told = true;
	rc = issue_post(i, ch->url, "{}", &body, e);
	buf_free(&body);
	return rc;
}

static int await_proof(struct issue *i, const char *url, struct acme_authorization *a, uint64_t end_ms, struct err *e)
{
	uint64_t pause_ms = POLL_MS;

	while (a->status == ACME_PENDING) {
		if (pause_for_ca(i, end_ms, &pause_ms, e) != 0 || issue_read_authorization(i, url, a, e) != 0)
			return -1;
	}
	return check_authorization(i, a, e);
}

static int prove_all(struct issue *i, const struct acme_order *o, struct acme_authorization *all, struct err *e)
{
	uint64_t end_ms;

	for (size_t k = 0; k < o->n; k++)
		if (issue_read_authorization(i, o->authorizations[k], &all[k], e) != 0 ||
			check_authorization(i, &all[k], e) != 0)
			return -1;
	if (issue_answers(i, all, o->n, e) != 0)
		return -1;
	job_run_note(i->run, "waiting for the CA");
	end_ms = clock_mono_ms() + CA_MS;
	for (size_t k = 0; k < o->n; k++)
		if (tell_ca(i, &all[k], e) != 0)
			return -1;
	for (size_t k = 0; k < o->n; k++)
		if (await_proof(i, o->authorizations[k], &all[k], end_ms, e) != 0)
			return -1;
	return 0;
}

static int prove(struct issue *i, const struct acme_order *o, struct err *e)
{
	struct acme_authorization *all;
	int rc;

	if (o->status != ACME_PENDING)
		return 0;
	if ((all = calloc(o->n, sizeof *all)) == NULL)
		return err_set(e, ERR_NOMEM, NULL, "certificate: out of memory");
	rc = prove_all(i, o, all, e);
	free(all);
	return rc;
}

/* ---- the certificate --------------------------------------------------------------------------------------------- */

static int finalize(struct issue *i, struct acme_order *o, const struct buf *request, struct err *e)
{
	const size_t n = str_b64url_len(request->len);
	char *text = malloc(n + 1);
	struct buf payload, body;
	int rc;

	if (text == NULL)
		return err_set(e, ERR_NOMEM, NULL, "certificate: out of memory");
	str_b64url(text, request->data, request->len);
	buf_init(&payload, 2 * (size_t)REQUEST_MAX);
	buf_printf(&payload, "{\"csr\":\"%s\"}", text);
	rc = issue_post(i, o->finalize, buf_cstr(&payload), &body, e);
	if (rc == 0)
		rc = acme_reply_order(o, (const char *)body.data, body.len, e);
	buf_free(&payload);
	buf_free(&body);
	free(text);
	return rc;
}

/* Until there is a certificate to fetch. */
static int await_certificate(struct issue *i, struct acme_order *o, const struct buf *request, struct err *e)
{
	const uint64_t end_ms = clock_mono_ms() + CA_MS;
	uint64_t pause_ms = POLL_MS;
	bool asked = false;

	while (o->status != ACME_VALID || o->certificate[0] == '\0') {
		if (o->status == ACME_INVALID)
			return problem(i, i->c.names, &o->problem, e);
		if (o->status == ACME_READY && !asked) {
			asked = true;
			if (finalize(i, o, request, e) != 0)
				return -1;
			continue;
		}
		if (pause_for_ca(i, end_ms, &pause_ms, e) != 0 || issue_read_order(i, o, e) != 0)
			return -1;
	}
	return 0;
}

struct installing {
	struct issue *i;
	const char *chain, *key;
	struct certificate c;
	int64_t now_ms;
};

static int on_required(const char *name, void *arg)
{
	struct installing *in = arg;

	return certificate_each_name(&in->c, on_compare, (void *)(uintptr_t)name) == 0 ? 1 : 0;
}

/* Two thirds of its life. */
static int64_t next_due(const struct certificate *c)
{
	return c->not_before_ms + (c->not_after_ms - c->not_before_ms) / 3 * 2;
}

static int work_install(struct db *tx, void *arg, struct err *e)
{
	struct installing *in = arg;
	struct certificate *c = &in->c;
	struct change how = { .time_ms = in->now_ms, .actor = "system", .op = "update", .fields = "chain" };

	certificate_fini(c); /* of a run before */
	if (job_run_save_in(tx, in->i->run, "done", e) != 0 || certificate_get(tx, "", in->i->c.id, true, c, e) != 0 ||
		certificate_take(c, in->chain, in->key, in->now_ms, e) != 0)
		return -1;
	if (certificate_each_name(&in->i->c, on_required, in) != 0)
		return err_set(e, ERR_PROTOCOL, NULL, "the CA's certificate does not hold all names");
	c->version++;
	c->updated_ms = in->now_ms;
	if (certificate_log(tx, c, &how, e) != 0 || certificate_update(tx, c, e) != 0 ||
		order_done(tx, c->id, MAX(next_due(c), in->now_ms + 1000), e) != 0 ||
		answer_clear(tx, c->id, in->now_ms, e) != 0)
		return -1;
	return c->ocsp_url[0] != '\0' ? certs_ocsp_in(in->i->certs, tx, c->id, c->tenant_id, e) : 0;
}

static int install(struct issue *i, const struct acme_order *o, const char *key, struct err *e)
{
	struct installing in = { .i = i, .key = key, .now_ms = clock_wall_ms() };
	struct buf body;
	int rc = issue_post(i, o->certificate, "", &body, e);

	in.chain = buf_cstr(&body);
	if (rc == 0)
		rc = store_write(i->certs->store, STORE_LOGGED, work_install, &in, e);
	if (rc != 0 && e->code == ERR_VALIDATION)
		i->over = true;
	certificate_fini(&in.c);
	buf_free(&body);
	return rc;
}

static int read_request(struct issue *i, char **key, struct buf *request, struct err *e)
{
	struct db *db;
	int rc;

	if (store_read_begin(i->certs->store, &db, e) != 0)
		return -1;
	rc = order_request(db, i->c.id, key, request, e);
	store_read_end(db);
	return rc;
}

static int fetch(struct issue *i, struct acme_order *o, struct err *e)
{
	struct buf request;
	char *key = NULL;
	int rc;

	buf_init(&request, REQUEST_MAX);
	rc = read_request(i, &key, &request, e);
	if (rc == 0)
		rc = await_certificate(i, o, &request, e);
	if (rc == 0)
		rc = install(i, o, key, e);
	if (key != NULL)
		seal_wipe(key, strlen(key));
	free(key);
	buf_free(&request);
	return rc;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

struct routed {
	struct db *db;
	const struct issue *i;
	struct err *e;
};

static int on_routed(const char *name, void *arg)
{
	const struct routed *r = arg;
	bool routed;

	if (certificate_name_is_routed(r->db, r->i->c.tenant_id, name, &routed, r->e) != 0)
		return -1;
	return routed ? 0
	              : err_set(r->e, ERR_CONFLICT, NULL,
				"no route ends TLS for '%.120s' (ssl_enabled): no relay would answer the CA", name);
}

static int check_routes(const struct issue *i, struct err *e)
{
	struct routed r = { .i = i, .e = e };
	int rc;

	if (store_read_begin(i->certs->store, &r.db, e) != 0)
		return -1;
	rc = certificate_each_name(&i->c, on_routed, &r);
	store_read_end(r.db);
	return rc;
}

static int issue(struct issue *i, struct err *e)
{
	struct acme_order *o;
	int rc;

	if (check_routes(i, e) != 0 || enter(i, e) != 0)
		return -1;
	if ((o = calloc(1, sizeof *o)) == NULL)
		return err_set(e, ERR_NOMEM, NULL, "certificate: out of memory");
	rc = issue_find_order(i, o, e);
	if (rc == 0)
		rc = prove(i, o, e);
	if (rc == 0 && o->status == ACME_PENDING)
		rc = issue_read_order(i, o, e);
	if (rc == 0)
		rc = fetch(i, o, e);
	free(o);
	return rc;
}

struct failing {
	struct issue *i;
	struct order order;
	int64_t now_ms;
};

static int work_failed(struct db *tx, void *arg, struct err *e)
{
	struct failing *f = arg;
	struct certificate *c = &f->i->c;
	struct change how = { .time_ms = f->now_ms, .actor = "system", .op = CERTIFICATE_OP_FAILED, .fields = "error" };

	if (job_run_save_in(tx, f->i->run, "", e) != 0)
		return -1;
	if (f->i->over &&
		(order_placed(tx, c->id, "", NULL, NULL, e) != 0 || answer_clear(tx, c->id, f->now_ms, e) != 0))
		return -1;
	return order_failed(tx, &f->order, e) != 0 ? -1 : certificate_log(tx, c, &how, e);
}

static bool is_vain(const struct issue *i, const struct err *why)
{
	static const char *const types[] = { "rejectedIdentifier", "unsupportedIdentifier", "caa", "userActionRequired",
		"externalAccountRequired", "badCSR", "unsupportedContact", "invalidContact" };

	for (size_t k = 0; k < ARRAY_LEN(types); k++)
		if (why->code == ERR_FORBIDDEN && str_eq(i->client.said.type, types[k]))
			return true;
	return false;
}

/* Longer each time; what the CA has seen fail counts there, so that is tried less often. */
static uint64_t pause_after(const struct issue *i, const struct err *why)
{
	const uint64_t base = i->told || why->code == ERR_FORBIDDEN ? i->certs->conf.retry_ms
	                                                            : MAX(i->certs->conf.retry_ms / 10, (uint64_t)100);
	const uint64_t pause = MIN(base << MIN(job_run_attempt(i->run) - 1, 16u), RETRY_MAX_MS);

	return why->code == ERR_RATE_LIMITED ? MAX(pause, i->client.retry_ms) : pause;
}

static int failed(struct issue *i, const struct err *why, struct err *e)
{
	struct failing f = { .i = i, .order = i->c.order, .now_ms = clock_wall_ms() };
	const bool vain = is_vain(i, why);
	struct err ignored;

	if (why->code == ERR_FORBIDDEN || why->code == ERR_PROTOCOL || why->code == ERR_NOT_FOUND)
		i->over = true;               /* it would say the same again */
	if (why->code == ERR_INVALID_TOKEN) { /* the next attempt makes a new account of the same key */
		i->account.kid[0] = '\0';
		if (acme_account_named(&i->account, i->certs->store, i->certs->conf.ca->directory, &ignored) != 0)
			log_warn("acme_account_not_forgotten", log_err(&ignored));
	}
	(void)str_copy(f.order.error, sizeof f.order.error, why->msg);
	(void)str_copy(i->c.order.error, sizeof i->c.order.error, why->msg);
	f.order.error_ms = f.now_ms;
	if (vain || job_run_last(i->run))
		f.order.due_ms = f.now_ms + VAIN_MS;
	if (store_write(i->certs->store, STORE_LOGGED, work_failed, &f, &ignored) != 0)
		log_warn("certificate_failure_not_noted", log_s("certificate", i->c.id), log_err(&ignored));
	atomic_fetch_add(&i->certs->counts.issue_failed, 1);
	if (i->late)
		atomic_fetch_add(&i->certs->counts.relays_late, 1);
	if (vain)
		job_run_give_up(i->run);
	job_run_retry_in(i->run, pause_after(i, why));
	*e = *why;
	return -1;
}

/* 1: there is something to do. */
static int load(struct issue *i, struct err *e)
{
	const char *id = json_string_value(json_object_get(job_run_args(i->run), "certificate"));
	struct db *db;
	struct err why;
	int rc;

	if (store_read_begin(i->certs->store, &db, e) != 0)
		return -1;
	rc = certificate_get(db, "", id, false, &i->c, &why);
	store_read_end(db);
	if (rc != 0 && why.code == ERR_NOT_FOUND) /* deleted meanwhile */
		return 0;
	if (rc != 0) {
		*e = why;
		return -1;
	}
	return i->c.order.certificate_id[0] != '\0' && i->c.order.due_ms <= clock_wall_ms();
}

int issue_job_run(void *feature, struct job_run *r, struct err *e)
{
	struct issue i = { .certs = feature, .run = r };
	struct err why = { .code = ERR_NONE };
	int rc;

	if (i.certs->conf.ca == NULL)
		return err_set(e, ERR_UNAVAILABLE, NULL, "no certificate authority is set (acme.url)");
	rc = load(&i, e);
	if (rc == 1) {
		rc = issue(&i, &why);
		if (rc == 0)
			atomic_fetch_add(&i.certs->counts.issued, 1);
		else if (job_run_stop(r))
			rc = job_run_ended(r, e);
		else
			rc = failed(&i, &why, e);
	}
	acme_account_fini(&i.account);
	certificate_fini(&i.c);
	return rc;
}
