/*
 * client_erase - how clients end: those of owners that are being deleted (the eraser calls) and anonymous ones that have
 * expired are switched off for good, and what is left of those goes once no mapping names them.
 *
 * Thread: inside a logged transaction, but for client_erase_due().
 */
#ifndef PORTWAY_CONTROLD_CLIENTS_CLIENT_ERASE_H
#define PORTWAY_CONTROLD_CLIENTS_CLIENT_ERASE_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/clients/client.h"
#include "controld/store/store.h"

#include <stdbool.h>
#include <stdint.h>

/* Off at once, with all its mappings; one row of the log. */
int client_erase_begin(struct db *tx, struct client *c, const struct client_actor *by, struct err *e) MUST_CHECK;

int client_erase_due(struct db *db, int64_t now_ms, bool *any, struct err *e) MUST_CHECK;
/* Does at most `limit` of what is due; *n gets how many. */
int client_erase_some(struct db *tx, unsigned limit, int64_t now_ms, unsigned *n, struct err *e) MUST_CHECK;

struct erasure;
extern const struct erasure client_erasure;

#endif
