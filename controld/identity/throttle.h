/*
 * throttle - slows guessing of passwords down: per address and account, exponentially, over all controlds.
 *
 * The first THROTTLE_FREE attempts are free; after each further one the pair waits THROTTLE_BASE_MS, twice that, and so
 * on up to THROTTLE_CAP_MS. A success or THROTTLE_FORGET_MS of quiet clears the pair. Attempts are counted before the
 * password is looked at, and in the database, so many at once gain nothing, and asking another controld neither. The table
 * has a fixed size: a pair takes the slot that its keyed hash says from whoever had it. Strangers can neither fill it nor
 * choose whom they push out.
 *
 * Owner: the identity service. Thread: any. Time is an argument, wall clock in milliseconds.
 */
#ifndef PORTWAY_CONTROLD_IDENTITY_THROTTLE_H
#define PORTWAY_CONTROLD_IDENTITY_THROTTLE_H

#include "common/base/macros.h"
#include "common/crypto/seal.h"
#include "controld/store/store.h"

#include <stdint.h>

#define THROTTLE_FREE      5
#define THROTTLE_BASE_MS   1000
#define THROTTLE_CAP_MS    (15 * 60 * 1000)
#define THROTTLE_FORGET_MS (60 * 60 * 1000)
#define THROTTLE_SLOTS     65536

struct throttle;
struct err;

/* The key is borrowed, the same for all controlds, and there before the first attempt. */
int throttle_new(struct throttle **out, struct store *store, const uint8_t key[SHA256_SIZE], struct err *e) MUST_CHECK;
void throttle_free(struct throttle *t);
/* Counts an attempt; *wait_ms is 0, or how long to wait, and then a refusal is counted. */
int throttle_attempt(struct throttle *t, const char *address, const char *account, int64_t now_ms, uint64_t *wait_ms,
	struct err *e) MUST_CHECK;
int throttle_succeed(struct throttle *t, const char *address, const char *account, struct err *e) MUST_CHECK;
uint64_t throttle_refusals(struct throttle *t); /* since the start */

extern const struct sql_table throttle_sql;

#endif
