/*
 * game_session - a session of one profile at the service, that a game server runs on: its two tokens, sealed, kept alive in the
 * background until it is ended.
 *
 * Thread: inside a transaction.
 */
#ifndef PORTWAY_CONTROLD_DEVICE_LOGIN_GAME_SESSION_H
#define PORTWAY_CONTROLD_DEVICE_LOGIN_GAME_SESSION_H

#include "common/base/macros.h"
#include "controld/device_login/account.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

struct game_session {
	char id[RAND_ID_SIZE];
	char tenant_id[40];
	char account[RAND_ID_SIZE]; /* device_accounts.id; "": of an account that is not kept, and so is this */
	char profile_uuid[UUID_SIZE];
	char session[SERVICE_TOKEN_MAX + 1], identity[SERVICE_TOKEN_MAX + 1]; /* in the clear: to be wiped */
	int64_t expires_ms, due_ms, failures, version;
};
void game_session_wipe(struct game_session *s);

int game_session_insert(struct db *tx, struct game_session *s, int64_t now_ms, struct err *e) MUST_CHECK;
/* New tokens: 1; 0 when somebody else has written meanwhile, or it was ended. */
int game_session_renew(struct db *tx, struct game_session *s, int64_t now_ms, struct err *e) MUST_CHECK;
int game_session_failed(
	struct db *tx, const struct game_session *s, int64_t due_ms, const char *error, struct err *e) MUST_CHECK;
int game_session_end(struct db *tx, const char *id, struct err *e) MUST_CHECK;
/* An active one of this account: by its id, or "" and the newest of the profile. ERR_NOT_FOUND. */
int game_session_find(struct db *db, const char *account, const char *id, const char *profile_uuid,
	struct game_session *out, struct err *e) MUST_CHECK;
/* One that is due: 1, or 0 when none is. */
int game_session_due(struct db *db, int64_t now_ms, struct game_session *out, struct err *e) MUST_CHECK;
/* Those that ended or ran out before go. */
int game_session_prune(struct db *tx, int64_t before_ms, struct err *e) MUST_CHECK;

extern const struct sql_table game_session_sql;
struct erasure;
extern const struct erasure game_session_erasure;

#endif
