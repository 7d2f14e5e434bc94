/*
 * throttle - slows guessing of passwords down: per address and account, exponentially.
 *
 * The first THROTTLE_FREE attempts are free; after each further one the pair waits THROTTLE_BASE_MS, twice that, and so
 * on up to THROTTLE_CAP_MS. A success or THROTTLE_FORGET_MS of quiet clears the pair. Attempts are counted before the
 * password is looked at, so many at once gain nothing. The table has a fixed size; when it is full the oldest pair of a
 * bucket makes room.
 *
 * Owner: the identity service. Thread: any (one lock inside). Time is an argument, monotonic milliseconds.
 */
#ifndef PORTWAY_CONTROLD_IDENTITY_THROTTLE_H
#define PORTWAY_CONTROLD_IDENTITY_THROTTLE_H

#include "common/base/macros.h"

#include <stdint.h>

#define THROTTLE_FREE      5
#define THROTTLE_BASE_MS   1000
#define THROTTLE_CAP_MS    (15 * 60 * 1000)
#define THROTTLE_FORGET_MS (60 * 60 * 1000)

struct throttle;
struct err;

int throttle_new(struct throttle **out, struct err *e) MUST_CHECK;
void throttle_free(struct throttle *t);
/* Counts an attempt and answers 0, or answers how many milliseconds to wait and counts a refusal. */
uint64_t throttle_attempt(struct throttle *t, const char *address, const char *account, uint64_t now_ms) MUST_CHECK;
void throttle_succeed(struct throttle *t, const char *address, const char *account);
uint64_t throttle_refusals(struct throttle *t); /* since the start */

#endif
