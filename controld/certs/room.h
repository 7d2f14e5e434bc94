/*
 * room - the inside of struct certs. For the files of this folder only.
 */
#ifndef PORTWAY_CONTROLD_CERTS_ROOM_H
#define PORTWAY_CONTROLD_CERTS_ROOM_H

#include "controld/acme/acme_client.h"
#include "controld/certs/certificate.h"
#include "controld/certs/certs.h"

#include <stdatomic.h>

struct certs {
	struct certs_conf conf; /* conf.ca is the one below, or NULL */
	struct acme_ca ca;
	struct store *store;
	struct {
#define X(name, what) atomic_uint_fast64_t name;
		CERTS_COUNTERS(X)
#undef X
	} counts;
};

/* Queues the work for one certificate, in the caller's transaction; job_id (RAND_ID_SIZE) may be NULL. */
int certs_issue_in(struct certs *c, struct db *tx, const char *certificate_id, const char *tenant_id, char *job_id,
	struct err *e) MUST_CHECK;
int certs_ocsp_in(
	struct certs *c, struct db *tx, const char *certificate_id, const char *tenant_id, struct err *e) MUST_CHECK;

/* issue_job.c, ocsp_job.c */
int issue_job_run(void *feature, struct job_run *r, struct err *e);
int ocsp_job_run(void *feature, struct job_run *r, struct err *e);

/* certificate_api.c */
extern const struct route certificate_rows[];
extern const size_t certificate_rows_n;
/* certificate_placed.c, ticket_keys.c */
extern const struct sql_table certificate_placed_sql, ticket_keys_sql;

#endif
