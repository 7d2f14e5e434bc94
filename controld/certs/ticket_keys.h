/*
 * ticket_keys - what TLS tickets are sealed with, on all relays: a new key every TICKET_KEY_STEP, told one step before it begins.
 *
 * A key seals for one step and opens for one more, so a ticket is good for at least a step. While controld is away for less than a step
 * relays have what they need; later they give no tickets, and every handshake is a whole one.
 */
#ifndef PORTWAY_CONTROLD_CERTS_TICKET_KEYS_H
#define PORTWAY_CONTROLD_CERTS_TICKET_KEYS_H

#include "common/base/macros.h"
#include "controld/store/store.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

#define TICKET_KEY_STEP_MS INT64_C(43200000) /* 12 h */

/* Whether the key after the next one is to be made, or one has ended. */
int ticket_keys_due(struct store *s, int64_t now_ms, bool *due, struct err *e) MUST_CHECK;
/* In a logged transaction; any number of times. */
int ticket_keys_rotate(struct db *tx, int64_t now_ms, struct err *e) MUST_CHECK;

#endif
