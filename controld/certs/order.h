/*
 * order - how a certificate comes from a CA by itself (ACME): what is wanted, the order under way, and what went wrong; the row beside the
 * certificate's, and its SQL.
 *
 * It is written down at the CA's answer that there is an order, with the key that the certificate will have: whoever goes on with it, after
 * whatever death, goes on with that order and that key.
 *
 * Owner: the caller; no heap. Thread: inside a transaction.
 */
#ifndef PORTWAY_CONTROLD_CERTS_ORDER_H
#define PORTWAY_CONTROLD_CERTS_ORDER_H

#include "common/base/macros.h"
#include "controld/acme/acme_reply.h"
#include "controld/store/reseal.h"
#include "controld/store/store.h"
#include "proto/acme_conf.h"

#include <stdint.h>

struct buf;
struct err;

#define ORDER_WAITING_SIZE 512
#define ORDER_ERROR_SIZE   256

struct order {
	char certificate_id[PROTO_ID_SIZE]; /* "": the certificate comes from its owner */
	char tenant_id[PROTO_ID_SIZE];
	enum acme_type challenge;
	char url[ACME_URL_SIZE];
	int64_t due_ms, failures, error_ms;
	char error[ORDER_ERROR_SIZE];
	char waiting[ORDER_WAITING_SIZE];
};

const char *order_challenge_name(enum acme_type t);
int order_challenge_parse(const char *s, enum acme_type *out) MUST_CHECK;

int order_insert(struct db *tx, const struct order *o, struct err *e) MUST_CHECK;
int order_delete(struct db *tx, const char *certificate_id, struct err *e) MUST_CHECK;
/* From the columns ORDER_COLUMNS of a query that begin at col; *o is zeroed where the row is missing (LEFT JOIN). */
#define ORDER_COLUMNS \
	"o.certificate_id, o.tenant_id, o.challenge, o.url, o.due_ms, o.failures, o.error_ms, o.error, o.waiting"
#define ORDER_COLUMNS_N 9
void order_load(struct order *o, struct query *q, int col);

/* There is an order at the CA: its key (PEM) and its request (DER). url "": there is none any more. */
int order_placed(struct db *tx, const char *certificate_id, const char *url, const char *key_pem, const struct buf *der,
	struct err *e) MUST_CHECK;
/* Of the order under way: *key_pem is malloc'ed, the caller wipes and frees; the request is appended. ERR_NOT_FOUND. */
int order_request(struct db *db, const char *certificate_id, char **key_pem, struct buf *der, struct err *e) MUST_CHECK;
/* It came to an end; the next one is wanted then. */
int order_done(struct db *tx, const char *certificate_id, int64_t due_ms, struct err *e) MUST_CHECK;
/* o->error, waiting and due_ms; one failure more. */
int order_failed(struct db *tx, const struct order *o, struct err *e) MUST_CHECK;
int order_wait(struct db *tx, const char *certificate_id, const char *waiting, struct err *e) MUST_CHECK;
/* It is wanted now. */
int order_want(struct db *tx, const char *certificate_id, int64_t now_ms, struct err *e) MUST_CHECK;
/* Those that are due, at most limit; fn runs no statement. */
typedef int (*order_fn)(const char *certificate_id, const char *tenant_id, void *arg); /* 0 goes on */
int order_due(struct db *db, int64_t now_ms, unsigned limit, order_fn fn, void *arg, struct err *e) MUST_CHECK;

extern const struct sql_table order_sql;
extern const char order_stale[], order_reseal[];
#define ORDER_SEALED_FOR "certificate-order:"

#endif
