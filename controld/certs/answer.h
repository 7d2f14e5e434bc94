/*
 * answer - what relays answer a CA that asks whether a name is served here: a row while an order is under way, logged, so that it comes to
 * the relays as everything else does.
 *
 * Owner: the caller. Thread: inside a transaction.
 */
#ifndef PORTWAY_CONTROLD_CERTS_ANSWER_H
#define PORTWAY_CONTROLD_CERTS_ANSWER_H

#include "common/base/macros.h"
#include "controld/store/reseal.h"
#include "controld/store/store.h"
#include "proto/acme_conf.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

/* Of this certificate, for one challenge: the same token gives the same row. *seq: the change that relays have to have seen. */
struct answer {
	const char *certificate_id, *tenant_id;
	const char *token; /* of the challenge, whatever its kind */
	const struct acme_conf *conf;
};
int answer_put(struct db *tx, const struct answer *a, int64_t now_ms, int64_t *seq, struct err *e) MUST_CHECK;
/* All of one certificate. */
int answer_clear(struct db *tx, const char *certificate_id, int64_t now_ms, struct err *e) MUST_CHECK;
/* Whether the end of any has come; and those go, at most limit, *n gets how many. */
int answer_any_ended(struct db *db, int64_t now_ms, bool *any, struct err *e) MUST_CHECK;
int answer_clean(struct db *tx, int64_t now_ms, unsigned limit, unsigned *n, struct err *e) MUST_CHECK;

extern const struct sql_table answer_sql;
extern const char answer_stale[], answer_reseal[];
#define ANSWER_SEALED_FOR "certificate-answer:"

#endif
