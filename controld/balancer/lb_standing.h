/*
 * lb_standing - how backends are, on disk: what each relay says of them (operational), and one state for each backend, whose changes
 * are in the log: `backend`, `health_changed`.
 *
 * The state is the worst that a relay says; of two changes within LB_STANDING_GAP_MS the second waits until that time is over, and
 * then tells how often it went up and down meanwhile. Who comes back to what was logged last has not changed.
 */
#ifndef PORTWAY_CONTROLD_BALANCER_LB_STANDING_H
#define PORTWAY_CONTROLD_BALANCER_LB_STANDING_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/store/store.h"
#include "proto/backend_state.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LB_STANDING_GAP_MS 10000

const char *lb_standing_name(enum backend_state_kind state); /* "healthy" */

/*
 * The complete word of a relay instead of its last one. touched() is told each backend that is or was in it: to be judged. Of backends
 * that are not there any more nothing is kept.
 */
int lb_standing_replace(struct db *tx, const char *node_id, const struct backend_state *items, size_t n,
	void (*touched)(void *arg, const char *backend_id), void *arg, struct err *e) MUST_CHECK;
/* Logs it if its state has changed. *wait_ms: 0, or it has to be judged again after so long. In a logged transaction. */
int lb_standing_judge(
	struct db *tx, const char *backend_id, int64_t now_ms, int64_t *wait_ms, struct err *e) MUST_CHECK;
/* It is being deleted. */
int lb_standing_forget(struct db *tx, const char *backend_id, struct err *e) MUST_CHECK;
/* 0 and BACKEND_UNKNOWN where nothing is known. */
int lb_standing_get(struct db *db, const char *backend_id, enum backend_state_kind *out, struct err *e) MUST_CHECK;

extern const struct sql_table lb_standing_sql;
struct erasure;
extern const struct erasure lb_standing_erasure;

#endif
