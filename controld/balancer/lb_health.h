/*
 * lb_health - what the relays say of backends, in memory: taken from their reports, answered to whoever asks, written down when it
 * changed (lb_standing.h).
 *
 * Of several controlds each writes what its own relays say. A backend that no list has is up where a relay is that tells lists.
 *
 * Thread: any (one lock inside).
 */
#ifndef PORTWAY_CONTROLD_BALANCER_LB_HEALTH_H
#define PORTWAY_CONTROLD_BALANCER_LB_HEALTH_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/store/store.h"
#include "proto/backend_state.h"

#include <stdint.h>

struct lb_healths;

int lb_healths_new(struct lb_healths **out, struct store *store, struct err *e) MUST_CHECK;
void lb_healths_free(struct lb_healths *h); /* NULL is fine */
/* The complete word of a node that is online; its like again costs nothing. */
int lb_healths_node(struct lb_healths *h, const char *node_id, const struct backend_states *list) MUST_CHECK;
/* It is offline, or gone: its word counts no more. */
void lb_healths_node_gone(struct lb_healths *h, const char *node_id);
/* Writes down what changed. A task of the janitor, not a shared one: arg is a struct lb_healths. */
int lb_healths_write(void *arg, int64_t now_ms, struct err *e) MUST_CHECK;

#endif
