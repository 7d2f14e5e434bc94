/*
 * certificate - what relays show to visitors of a tenant's web sites: the row of the table, its SQL, and how the API prints it.
 *
 * The private key is sealed in the database for its row, and is never printed. It is read where relays are told of it, and nowhere else.
 *
 * Owner: the caller; certificate_fini() wipes the key and releases the texts.
 */
#ifndef PORTWAY_CONTROLD_CERTS_CERTIFICATE_H
#define PORTWAY_CONTROLD_CERTS_CERTIFICATE_H

#include "common/base/macros.h"
#include "common/crypto/site_cert.h"
#include "controld/certs/order.h"
#include "controld/store/reseal.h"
#include "controld/store/store.h"
#include "proto/cert_conf.h"
#include "proto/msg.h"

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct erasure;
struct err;

#define CERTIFICATE_NAME_MAX      64
#define CERTIFICATE_OCSP_NEVER_MS INT64_MAX /* it names nobody to ask */
#define CERTIFICATE_NAMES_SIZE    (CERT_NAMES_MAX * HOST_NAME_SIZE)

struct certificate {
	char id[PROTO_ID_SIZE];
	char tenant_id[PROTO_ID_SIZE];
	char user_id[PROTO_ID_SIZE]; /* "" when an API key of no user brought it */
	char name[CERTIFICATE_NAME_MAX + 1];
	char *names; /* that it is good for, as patterns of host names, by comma */
	char *chain; /* PEM, leaf first; "": there is none yet */
	char *key;   /* PEM; NULL where it was not asked for */
	char *ocsp;  /* what its CA says of it, DER in base64url; "": nothing */
	int64_t ocsp_until_ms;
	char issuer[128], key_type[24], serial[48], fingerprint[CERT_FINGERPRINT_SIZE];
	int64_t not_before_ms, not_after_ms;
	bool must_staple;    /* it is of no use without what its CA says of it */
	char ocsp_url[256];  /* where its CA says it; "": nowhere */
	int64_t ocsp_due_ms; /* when to ask next */
	int64_t ocsp_failures;
	char ocsp_error[256];
	int64_t revoked_ms; /* since when it is known that its CA has taken it back; 0: it has not */
	struct order order; /* where it comes from; read with it, but written apart (order.h) */
	int64_t version;    /* of the row */
	int64_t seq;        /* of its newest change in the log */
	int64_t created_ms, updated_ms;
};

void certificate_fini(struct certificate *c);

/*
 * Takes over chain and key if they are a certificate that can be shown: they belong together, it has not ended, and it names hosts.
 * -1: *e says what is wrong, by field; *c is as it was.
 */
int certificate_take(
	struct certificate *c, const char *chain, const char *key, int64_t now_ms, struct err *e) MUST_CHECK;
/* Its names are those that it is wanted for; there is no chain yet. names: as host_name_take() writes them, by comma. */
int certificate_want(struct certificate *c, const char *names, struct err *e) MUST_CHECK;
/* Relays can show it. */
bool certificate_is_ready(const struct certificate *c);
/* A response of its CA, in DER. -1 with the field "ocsp": it is about another certificate, not signed by its CA, or over; 1: it is revoked. */
int certificate_take_ocsp(struct certificate *c, const void *der, size_t n, int64_t now_ms, struct err *e) MUST_CHECK;
/* Each of its names; fn: 0 goes on. */
int certificate_each_name(const struct certificate *c, int (*fn)(const char *name, void *arg), void *arg);

/* ---- rows --------------------------------------------------------------------------------------------------------- */
int certificate_insert(struct db *tx, const struct certificate *c, struct err *e) MUST_CHECK;
/* The whole of it, key included. */
int certificate_update(struct db *tx, const struct certificate *c, struct err *e) MUST_CHECK;
int certificate_delete(struct db *tx, const char *id, struct err *e) MUST_CHECK;
/* tenant_id "": of any. ERR_NOT_FOUND. */
int certificate_get(struct db *db, const char *tenant_id, const char *id, bool with_key, struct certificate *out,
	struct err *e) MUST_CHECK;
typedef int (*certificate_fn)(const struct certificate *c, void *arg); /* 0 goes on */
/* By id, after this one; tenant_id "": of all; name "": of any. Without keys. */
struct certificate_filter {
	const char *tenant_id, *name, *after;
	unsigned limit;
};
int certificate_list(
	struct db *db, const struct certificate_filter *f, certificate_fn fn, void *arg, struct err *e) MUST_CHECK;
/* When its CA was to be asked: what came of it; operational. */
int certificate_update_ocsp(struct db *tx, const struct certificate *c, struct err *e) MUST_CHECK;
/* Ids of those whose CA is to be asked, at most limit; fn runs no statement. */
int certificate_ocsp_due(struct db *db, int64_t now_ms, unsigned limit,
	int (*fn)(const char *id, const char *tenant_id, void *arg), void *arg, struct err *e) MUST_CHECK;
int certificate_count(struct db *db, const char *tenant_id, int64_t *n, struct err *e) MUST_CHECK;

/* As the API prints it. */
void certificate_print(struct buf *b, const struct certificate *c, int64_t now_ms);
#define CERTIFICATE_OP_FAILED  "issue_failed" /* logged with c->order.error */
#define CERTIFICATE_OP_REVOKED "revoked"      /* by its CA */
/* Logs what was done to *c, as it stands now, and puts the number of that change into c->seq. */
struct change;
int certificate_log(struct db *tx, struct certificate *c, struct change *how, struct err *e) MUST_CHECK;

extern const struct sql_table certificate_sql;
extern const struct erasure certificate_erasure;
extern const struct sealed_column certificate_sealed[];
extern const size_t certificate_sealed_n;

#endif
