/*
 * client_seen - when each client was last seen, on disk: what is answered for clients that no relay has now.
 *
 * Operational rows: nothing is logged.
 */
#ifndef PORTWAY_CONTROLD_CLIENTS_CLIENT_SEEN_H
#define PORTWAY_CONTROLD_CLIENTS_CLIENT_SEEN_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/clients/client_status.h"
#include "controld/store/store.h"

#include <stdint.h>

/* Writes down the signs of life that are due. */
int client_seen_write(struct store *store, struct client_statuses *statuses, int64_t now_ms, struct err *e) MUST_CHECK;
/* 0 and what is known now: from the relays, else last_seen from the disk. statuses NULL: from the disk alone. */
int client_seen_live(
	struct db *db, struct client_statuses *statuses, int64_t id, struct client_live *out, struct err *e) MUST_CHECK;
int client_seen_delete(struct db *tx, int64_t id, struct err *e) MUST_CHECK;

#endif
