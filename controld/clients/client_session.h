/*
 * client_session - one family of a client's refresh tokens, and what its access tokens stand on: identity/session.h for a
 * client instead of a user, with the same rules for tokens that are presented again.
 *
 * Operational rows. Ending one deletes it, and its tokens are worth nothing.
 */
#ifndef PORTWAY_CONTROLD_CLIENTS_CLIENT_SESSION_H
#define PORTWAY_CONTROLD_CLIENTS_CLIENT_SESSION_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/base/rand.h"
#include "controld/store/store.h"
#include "proto/msg.h"

#include <stdint.h>

#define CLIENT_SESSIONS_MAX 100 /* of one client; beyond it the oldest end */

struct client_session {
	char id[RAND_ID_SIZE];
	char tenant_id[PROTO_ID_SIZE];
	int64_t client_id;
	int64_t used; /* generation, see identity/session.h */
	int64_t created_ms, expires_ms;
};

int client_session_insert(struct db *tx, const struct client_session *s, struct err *e) MUST_CHECK;
/* 1 found (and not over), 0 not, -1. */
int client_session_find(
	struct db *db, const char *id, int64_t now_ms, struct client_session *out, struct err *e) MUST_CHECK;
int client_session_advance(struct db *tx, const struct client_session *s, struct err *e) MUST_CHECK;
/* Number of sessions ended, or -1. */
int client_session_end(struct db *tx, const char *id, struct err *e) MUST_CHECK;
int client_session_end_all(struct db *tx, int64_t client_id, struct err *e) MUST_CHECK;
int client_session_delete_expired(struct db *tx, int64_t now_ms, unsigned limit, struct err *e) MUST_CHECK;

extern const struct sql_table client_session_sql;

#endif
