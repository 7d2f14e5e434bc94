/*
 * flow - a device login under way: what we know of the code that was given out, and how fast it may be asked about.
 *
 *   begun --asked about--> pending --the person agreed--> done (the account is known; asked again, it is told again)
 *     '-- denied, its time is over: deleted
 *
 * Thread: inside a transaction.
 */
#ifndef PORTWAY_CONTROLD_DEVICE_LOGIN_FLOW_H
#define PORTWAY_CONTROLD_DEVICE_LOGIN_FLOW_H

#include "common/base/macros.h"
#include "common/base/rand.h"
#include "common/crypto/seal.h"
#include "controld/device_login/account_service.h"
#include "controld/store/store.h"

#include <stdint.h>

struct err;

#define TOKEN_HASH_SIZE (2 * SHA256_SIZE + 1)
void token_hash(char dst[TOKEN_HASH_SIZE], const char *token);

#define FLOW_SLOWER_MS 5000 /* what "slow_down" adds, RFC 8628 3.5 */

struct flow {
	char hash[TOKEN_HASH_SIZE];
	char tenant_id[40]; /* "": begun without a key */
	char environment[SERVICE_NAME_SIZE];
	int64_t interval_ms, next_poll_ms, expires_ms;
	char account[RAND_ID_SIZE]; /* device_accounts.id, or "" */
};

int flow_insert(struct db *tx, const struct flow *f, struct err *e) MUST_CHECK;
/* 1, or 0 when there is none, or its time is over. */
int flow_get(struct db *db, const char *hash, int64_t now_ms, struct flow *out, struct err *e) MUST_CHECK;
/* The turn to ask the service: 1, and the next one is an interval later; 0: too early, and the interval is longer now. */
int flow_take_turn(struct db *tx, struct flow *f, int64_t now_ms, struct err *e) MUST_CHECK;
/* The service itself wants it slower. */
int flow_slow_down(struct db *tx, const char *hash, struct err *e) MUST_CHECK;
int flow_done(struct db *tx, const char *hash, const char *account, struct err *e) MUST_CHECK;
int flow_delete(struct db *tx, const char *hash, struct err *e) MUST_CHECK;
int flow_prune(struct db *tx, int64_t now_ms, struct err *e) MUST_CHECK;

extern const struct sql_table flow_sql;
struct erasure;
extern const struct erasure flow_erasure;

#endif
