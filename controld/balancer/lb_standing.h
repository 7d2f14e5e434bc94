/*
 * lb_standing - how backends are, on disk: what each relay says of them (operational), and one state for each backend, whose changes
 * are in the log: `backend`, `health_changed`.
 *
 * The state is the worst that a relay says; of two changes within LB_STANDING_GAP_MS the second waits until that time is over, and
 * then tells how often it went up and down meanwhile. Who comes back to what was logged last has not changed. One of which no relay
 * says anything is up if it was, or if somebody tells; else it is not known. An event of a backend that comes back says until when it
 * starts slowly.
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
/* SQL: what the API says of a backend, enum backend_state_kind: the worst that a relay says now, else what was logged last. */
#define LB_STANDING_STATE(id)                                                                                    \
	"COALESCE((SELECT s.state FROM lb_backend_standing s WHERE s.backend_id = " id " ORDER BY CASE s.state " \
	"WHEN 2 THEN 0 WHEN 3 THEN 1 WHEN 4 THEN 2 ELSE 3 END LIMIT 1), (SELECT h.state FROM lb_backend_health " \
	"h WHERE h.backend_id = " id "), 4)"

const char *lb_standing_name(enum backend_state_kind state); /* "healthy" */

/*
 * The complete word of a relay instead of its last one. touched() is told each backend that is or was in it: to be judged. Of backends
 * that are not there any more nothing is kept.
 */
int lb_standing_replace(struct db *tx, const char *node_id, const struct backend_state *items, size_t n,
	void (*touched)(void *arg, const char *backend_id), void *arg, struct err *e) MUST_CHECK;
struct lb_standing_now {
	int64_t now_ms;
	bool anybody; /* some relay tells: one of which it says nothing is up */
};
/* Logs it if its state has changed. *wait_ms: 0, or it has to be judged again after so long. In a logged transaction. */
int lb_standing_judge(struct db *tx, const char *backend_id, const struct lb_standing_now *now, int64_t *wait_ms,
	struct err *e) MUST_CHECK;
/* It is being deleted. */
int lb_standing_forget(struct db *tx, const char *backend_id, struct err *e) MUST_CHECK;
/* LB_STANDING_STATE: BACKEND_UNKNOWN where nothing is known. */
int lb_standing_get(struct db *db, const char *backend_id, enum backend_state_kind *out, struct err *e) MUST_CHECK;

extern const struct sql_table lb_standing_sql;
struct erasure;
extern const struct erasure lb_standing_erasure;

#endif
