#include "controld/certs/certs.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/certs/answer.h"
#include "controld/certs/room.h"
#include "controld/certs/ticket_keys.h"
#include "controld/jobs/jobs.h"

#include <stdlib.h>

const struct sql_table *const certs_sql[] = { &certificate_sql, &certificate_placed_sql, &order_sql, &answer_sql,
	&ticket_keys_sql };
const size_t certs_sql_n = ARRAY_LEN(certs_sql);
const struct erasure *const certs_erasures[] = { &certificate_erasure };
const size_t certs_erasures_n = ARRAY_LEN(certs_erasures);

int certs_new(struct certs **out, const struct certs_conf *conf, struct store *store, struct err *e)
{
	struct certs *c = calloc(1, sizeof *c);

	if (c == NULL)
		return err_set(e, ERR_NOMEM, NULL, "certificates: out of memory");
	c->conf = *conf;
	if (conf->ca != NULL) {
		c->ca = *conf->ca;
		c->conf.ca = &c->ca;
	}
	c->store = store;
	*out = c;
	return 0;
}

void certs_free(struct certs *c)
{
	free(c);
}

struct route_table certs_routes(struct certs *c)
{
	return (struct route_table){ certificate_rows, certificate_rows_n, c };
}

void certs_stats(const struct certs *c, struct certs_stats *out)
{
#define X(name, what) out->name = atomic_load(&c->counts.name);
	CERTS_COUNTERS(X)
#undef X
}

static int work_rotate(struct db *tx, void *arg, struct err *e)
{
	const int64_t *now_ms = arg;

	return ticket_keys_rotate(tx, *now_ms, e);
}

int certs_rotate_tickets(void *certs, int64_t now_ms, struct err *e)
{
	const struct certs *c = certs;
	bool due;

	if (ticket_keys_due(c->store, now_ms, &due, e) != 0)
		return -1;
	return due ? store_write(c->store, STORE_LOGGED, work_rotate, &now_ms, e) : 0;
}

/* ---- work -------------------------------------------------------------------------------------------------------- */

#define KIND_ISSUE "certificate"
#define KIND_OCSP  "ocsp"

static const struct schema_field fields[] = {
	{ .name = "certificate", .type = SCHEMA_STRING, .flags = SCHEMA_REQUIRED, .min = 1, .max = 64 },
};
static const struct schema args_schema = { "JobCertificate", fields, ARRAY_LEN(fields), false };

static const struct job_kind kinds[] = {
	{ KIND_ISSUE, JOB_DEFAULT, 12, 45 * 60 * 1000, 60 * 1000, 6 * 3600 * 1000, JOB_UNIQUE, PERM_PUBLIC,
		&args_schema, issue_job_run, "Gets a certificate from the certificate authority (ACME), or renews it" },
	{ KIND_OCSP, JOB_LOW, 1, 2 * 60 * 1000, 1000, 1000, JOB_UNIQUE, PERM_PUBLIC, &args_schema, ocsp_job_run,
		"Asks a certificate's authority what it says of it (OCSP), for relays to show" },
};

struct job_kinds certs_kinds(struct certs *c)
{
	return (struct job_kinds){ kinds, ARRAY_LEN(kinds), c };
}

static int enqueue_in(struct certs *c, struct db *tx, const struct job_order *like, const char *certificate_id,
	char *job_id, struct err *e)
{
	struct job_order o = *like;
	struct job_placed placed;
	json_t *args = json_pack("{s:s}", "certificate", certificate_id);
	int rc;

	if (args == NULL)
		return err_set(e, ERR_NOMEM, NULL, "certificate: out of memory");
	o.args = args;
	rc = jobs_enqueue_in(c->conf.jobs, tx, &o, &placed, e);
	json_decref(args);
	if (rc == 0 && job_id != NULL)
		(void)str_copy(job_id, RAND_ID_SIZE, placed.id);
	return rc;
}

int certs_issue_in(
	struct certs *c, struct db *tx, const char *certificate_id, const char *tenant_id, char *job_id, struct err *e)
{
	const struct job_order o = { .kind = KIND_ISSUE, .tenant_id = tenant_id };

	if (c->conf.jobs == NULL || c->conf.ca == NULL)
		return err_set(e, ERR_UNAVAILABLE, NULL, "no certificate authority is set (acme.url)");
	return enqueue_in(c, tx, &o, certificate_id, job_id, e);
}

int certs_ocsp_in(struct certs *c, struct db *tx, const char *certificate_id, const char *tenant_id, struct err *e)
{
	const struct job_order o = { .kind = KIND_OCSP, .tenant_id = tenant_id };

	return c->conf.jobs != NULL ? enqueue_in(c, tx, &o, certificate_id, NULL, e) : 0;
}

/* ---- by the clock ------------------------------------------------------------------------------------------------ */

#define DUE_MAX 50 /* looked at in one go */

struct due {
	struct certs *certs;
	int64_t now_ms;
	struct {
		char id[PROTO_ID_SIZE], tenant_id[PROTO_ID_SIZE];
	} of[DUE_MAX];
	size_t n;
	bool ocsp;
};

static int on_due(const char *id, const char *tenant_id, void *arg)
{
	struct due *d = arg;

	if (d->n == DUE_MAX)
		return 1;
	(void)str_copy(d->of[d->n].id, PROTO_ID_SIZE, id);
	(void)str_copy(d->of[d->n].tenant_id, PROTO_ID_SIZE, tenant_id);
	d->n++;
	return 0;
}

static int work_enqueue(struct db *tx, void *arg, struct err *e)
{
	const struct due *d = arg;

	for (size_t i = 0; i < d->n; i++)
		if ((d->ocsp ? certs_ocsp_in(d->certs, tx, d->of[i].id, d->of[i].tenant_id, e)
			     : certs_issue_in(d->certs, tx, d->of[i].id, d->of[i].tenant_id, NULL, e)) != 0)
			return -1;
	return 0;
}

static int find_due(struct due *d, struct err *e)
{
	struct db *db;
	int rc;

	if (store_read_begin(d->certs->store, &db, e) != 0)
		return -1;
	rc = d->ocsp ? certificate_ocsp_due(db, d->now_ms, DUE_MAX, on_due, d, e)
	             : order_due(db, d->now_ms, DUE_MAX, on_due, d, e);
	store_read_end(db);
	return rc;
}

static int start_due(struct certs *c, bool ocsp, int64_t now_ms, struct err *e)
{
	struct due d = { .certs = c, .now_ms = now_ms, .ocsp = ocsp };

	if (find_due(&d, e) != 0)
		return -1;
	return d.n > 0 ? store_write(c->store, STORE_LOGGED, work_enqueue, &d, e) : 0;
}

static int work_clean(struct db *tx, void *arg, struct err *e)
{
	const int64_t *now_ms = arg;
	unsigned n;

	return answer_clean(tx, *now_ms, DUE_MAX, &n, e);
}

static int clean_answers(struct certs *c, int64_t now_ms, struct err *e)
{
	struct db *db;
	bool any;
	int rc;

	if (store_read_begin(c->store, &db, e) != 0)
		return -1;
	rc = answer_any_ended(db, now_ms, &any, e);
	store_read_end(db);
	return rc == 0 && any ? store_write(c->store, STORE_LOGGED, work_clean, &now_ms, e) : rc;
}

int certs_tick(void *certs, int64_t now_ms, struct err *e)
{
	struct certs *c = certs;

	if (c->conf.jobs == NULL)
		return 0;
	if (c->conf.ca != NULL && start_due(c, false, now_ms, e) != 0)
		return -1;
	return start_due(c, true, now_ms, e) != 0 ? -1 : clean_answers(c, now_ms, e);
}
