/*
 * The job that asks a certificate's CA what it says of it (RFC 6960), for relays to show (OCSP stapling).
 *
 * Asked again at half the life of the answer, so that a responder may be away for the other half; a responder that fails is asked less and
 * less often. An answer that says anything but "good", or is not signed by the CA, changes nothing but the error that is shown. But where the
 * CA says that it has revoked the certificate, that is an event, and one that the CA gave by itself is ordered anew at once.
 */
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/crypto/site_cert.h"
#include "controld/certs/room.h"
#include "controld/jobs/job_run.h"
#include "controld/out/guard.h"
#include "controld/out/outbound.h"
#include "controld/store/changes.h"

#include <stdlib.h>
#include <string.h>

#define CALL_MS      15000
#define PAUSE_MS     INT64_C(60000) /* after the first failure; doubled each time */
#define PAUSE_MAX_MS INT64_C(14400000)
#define SOONEST_MS   INT64_C(5000) /* between two, whatever a responder says */

struct asking {
	struct certs *certs;
	struct job_run *run;
	struct certificate c; /* as it was when it was looked at, without its key */
	struct outbound_answer answer;
	int64_t now_ms;
	bool changed; /* another chain has come meanwhile */
	bool revoked; /* the CA says so, */
	bool news;    /* for the first time */
	struct err word;
};

static bool on_stop_asked(void *arg)
{
	return job_run_stop(arg);
}

static int send_request(struct asking *a, const struct buf *der, struct err *e)
{
	static const char *const headers[] = { "Content-Type: application/ocsp-request",
		"Accept: application/ocsp-response", NULL };
	const struct outbound_request rq = { .method = "POST",
		.url = a->c.ocsp_url,
		.headers = headers,
		.body = der->data,
		.body_n = der->len,
		.timeout_ms = CALL_MS,
		.answer_max = CERT_OCSP_MAX,
		.stop = on_stop_asked,
		.arg = a->run };

	if (guard_check_url(outbound_guard(a->certs->conf.outbound), "ocsp_url", a->c.ocsp_url, e) != 0 ||
		outbound_send(a->certs->conf.outbound, &rq, &a->answer, e) != 0)
		return -1;
	if (a->answer.status == 200)
		return 0;
	outbound_answer_fini(&a->answer);
	return err_set(e, ERR_UNAVAILABLE, NULL, "the CA's responder answers %d", a->answer.status);
}

/* ---- what came of it --------------------------------------------------------------------------------------------- */

static int log_and_update(struct db *tx, struct certificate *c, struct change *how, struct err *e)
{
	c->updated_ms = how->time_ms;
	c->version++;
	return certificate_log(tx, c, how, e) != 0 ? -1 : certificate_update(tx, c, e);
}

/* Its visitors turn away, or will: nothing that is here makes it better but another certificate. */
static int revoke(struct asking *a, struct db *tx, struct certificate *c, struct err *e)
{
	struct change how = {
		.time_ms = a->now_ms, .actor = "system", .op = CERTIFICATE_OP_REVOKED, .fields = "revoked_at"
	};

	a->revoked = true;
	a->news = c->revoked_ms == 0;
	if (!a->news)
		return 0;
	c->revoked_ms = a->now_ms;
	(void)str_copy(c->ocsp_error, sizeof c->ocsp_error, a->word.msg);
	if (log_and_update(tx, c, &how, e) != 0 || certificate_update_ocsp(tx, c, e) != 0)
		return -1;
	if (c->order.certificate_id[0] == '\0' || a->certs->conf.ca == NULL)
		return 0;
	return order_want(tx, c->id, a->now_ms, e) != 0 ? -1
	                                                : certs_issue_in(a->certs, tx, c->id, c->tenant_id, NULL, e);
}

static int work_store(struct db *tx, void *arg, struct err *e)
{
	struct asking *a = arg;
	struct change how = { .time_ms = a->now_ms, .actor = "system", .op = "update", .fields = "ocsp" };
	struct certificate c;
	int rc;

	if (job_run_save_in(tx, a->run, "", e) != 0 || certificate_get(tx, "", a->c.id, true, &c, e) != 0)
		return -1;
	a->changed = !str_eq(c.fingerprint, a->c.fingerprint);
	a->revoked = a->news = false; /* of a run before */
	rc = a->changed ? 0 : certificate_take_ocsp(&c, a->answer.body.data, a->answer.body.len, a->now_ms, &a->word);
	if (rc == 1) {
		rc = revoke(a, tx, &c, e);
	} else if (rc != 0) {
		*e = a->word;
	} else if (!a->changed) {
		c.ocsp_due_ms = a->now_ms + MAX((c.ocsp_until_ms - a->now_ms) / 2, SOONEST_MS);
		c.ocsp_failures = 0;
		c.ocsp_error[0] = '\0';
		c.revoked_ms = 0;
		rc = log_and_update(tx, &c, &how, e) != 0 ? -1 : certificate_update_ocsp(tx, &c, e);
	}
	certificate_fini(&c);
	return rc;
}

static int work_note(struct db *tx, void *arg, struct err *e)
{
	const struct asking *a = arg;

	if (job_run_save_in(tx, a->run, "", e) != 0)
		return -1;
	return certificate_update_ocsp(tx, &a->c, e);
}

static int note(struct asking *a, struct err *e)
{
	return store_write(a->certs->store, STORE_OPERATIONAL, work_note, a, e);
}

/* One from before this was known says only in its chain whether there is anybody to ask. */
static int inspect(struct asking *a, struct err *e)
{
	struct site_cert_info *info = malloc(sizeof *info);
	int rc;

	if (info == NULL)
		return err_set(e, ERR_NOMEM, NULL, "certificate: out of memory");
	rc = site_cert_inspect(a->c.chain, info, e);
	if (rc == 0) {
		a->c.must_staple = info->must_staple;
		(void)str_copy(a->c.ocsp_url, sizeof a->c.ocsp_url, info->ocsp_url);
	}
	free(info);
	return rc;
}

static int fetch(struct asking *a, struct err *e)
{
	struct buf der;
	int rc;

	buf_init(&der, 4096);
	rc = site_cert_ocsp_request(a->c.chain, &der, e);
	if (rc == 0)
		rc = send_request(a, &der, e);
	buf_free(&der);
	if (rc != 0)
		return -1;
	a->now_ms = clock_wall_ms();
	rc = store_write(a->certs->store, STORE_LOGGED, work_store, a, e);
	outbound_answer_fini(&a->answer);
	if (rc != 0 || !a->revoked)
		return rc;
	if (a->news) {
		atomic_fetch_add(&a->certs->counts.revoked, 1);
		log_warn("certificate_revoked", log_s("certificate", a->c.id), log_s("tenant", a->c.tenant_id),
			log_s("names", a->c.names));
	}
	*e = a->word;
	return -1;
}

/* It is asked again by its own clock, and the certificate shows what is wrong: that is no dead job. */
static int failed(struct asking *a, const struct err *why, struct err *e)
{
	const int64_t pause_ms = MIN(PAUSE_MS << MIN(a->c.ocsp_failures, 10), PAUSE_MAX_MS);

	atomic_fetch_add(&a->certs->counts.ocsp_failed, 1);
	a->c.ocsp_failures++;
	a->c.ocsp_due_ms = clock_wall_ms() + pause_ms;
	(void)str_copy(a->c.ocsp_error, sizeof a->c.ocsp_error, why->msg);
	if (note(a, e) != 0)
		return -1;
	job_run_log(a->run, JOB_WARN, "%s", why->msg);
	job_run_result(a->run, json_pack("{s:s}", "error", why->msg));
	return 0;
}

static int ask(struct asking *a, struct err *e)
{
	struct err why = { .code = ERR_NONE };

	if (a->c.chain[0] == '\0' || a->c.ocsp_due_ms > a->now_ms)
		return 0;
	if (inspect(a, e) != 0)
		return -1;
	if (a->c.ocsp_url[0] == '\0') {
		a->c.ocsp_due_ms = CERTIFICATE_OCSP_NEVER_MS;
		return note(a, e);
	}
	if (fetch(a, &why) == 0) {
		atomic_fetch_add(&a->certs->counts.ocsp_fetched, 1);
		return 0;
	}
	return job_run_stop(a->run) ? job_run_ended(a->run, e) : failed(a, &why, e);
}

int ocsp_job_run(void *feature, struct job_run *r, struct err *e)
{
	const char *id = json_string_value(json_object_get(job_run_args(r), "certificate"));
	struct asking a = { .certs = feature, .run = r, .now_ms = clock_wall_ms() };
	struct db *db;
	struct err why;
	int rc;

	if (store_read_begin(a.certs->store, &db, e) != 0)
		return -1;
	rc = certificate_get(db, "", id, false, &a.c, &why);
	store_read_end(db);
	if (rc != 0 && why.code == ERR_NOT_FOUND)
		return 0;
	if (rc != 0) {
		*e = why;
		return -1;
	}
	rc = ask(&a, e);
	certificate_fini(&a.c);
	return rc;
}
