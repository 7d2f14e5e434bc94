/*
 * session - one login: a family of refresh tokens, and what its access tokens stand on.
 *
 * A refresh token is "<session id>.<generation>.<mac>". The row keeps one number, used: the highest generation that was
 * presented (-1: none). So used + 1 is the newest one given out, and what a presented generation means follows:
 *
 *	g == used + 1   the newest: it becomes used, g + 1 is given out
 *	g == used       presented again, its successor never was: the same answer (a lost answer, two refreshes at once)
 *	g <  used       its successor was used: somebody has a copy. The session ends.
 *
 * Tokens are not stored: the mac is made with a key derived from the master key, so a copy of the database holds none.
 * Ending a session deletes its row, which ends its access tokens too.
 */
#ifndef PORTWAY_CONTROLD_IDENTITY_SESSION_H
#define PORTWAY_CONTROLD_IDENTITY_SESSION_H

#include "common/base/macros.h"
#include "common/base/rand.h"
#include "common/crypto/seal.h"
#include "controld/identity/identity.h"
#include "controld/store/store.h"

#include <stdint.h>

struct err;

#define SESSION_ADDRESS_SIZE 80
#define SESSION_TOKEN_SIZE   112
#define SESSIONS_MAX         1000 /* of one user; beyond it the oldest end */

struct session {
	char id[RAND_ID_SIZE];
	char tenant_id[RAND_ID_SIZE]; /* the tenant that it acts in */
	char user_id[RAND_ID_SIZE];
	char address[SESSION_ADDRESS_SIZE]; /* where the login came from */
	int64_t used;
	int64_t created_ms, expires_ms;
};

enum session_verdict { SESSION_NEW, SESSION_AGAIN, SESSION_REUSED, SESSION_UNKNOWN };
enum session_verdict session_judge(int64_t used, int64_t presented);

/* dst gets the token of that generation. */
void session_token_print(
	char dst[SESSION_TOKEN_SIZE], const uint8_t key[SHA256_SIZE], const char *id, int64_t generation);
/* 0 when we made it, else -1. */
int session_token_parse(
	const char *token, const uint8_t key[SHA256_SIZE], char id[RAND_ID_SIZE], int64_t *generation) MUST_CHECK;

int session_insert(struct db *tx, const struct session *s, struct err *e) MUST_CHECK;
/* 1 found (and not over), 0 not, -1. */
int session_find(struct db *db, const char *id, int64_t now_ms, struct session *out, struct err *e) MUST_CHECK;
/* Generation `used` was presented; the family lives until expires_ms. */
int session_advance(struct db *tx, const struct session *s, struct err *e) MUST_CHECK;
/* Number of sessions ended, or -1. */
int session_end(struct db *tx, const char *tenant_id, const char *id, struct err *e) MUST_CHECK;
/* All of a user but `keep` ("": none). Wherever they act: a user who is suspended is so in every tenant. */
int session_end_user(struct db *tx, const char *user_id, const char *keep, struct err *e) MUST_CHECK;
int session_end_tenant(struct db *tx, const char *tenant_id, struct err *e) MUST_CHECK;
int session_delete_expired(struct db *tx, int64_t now_ms, unsigned limit, struct err *e) MUST_CHECK;
/* 1 and a user who has more than max sessions, 0, -1. */
int session_crowd(struct db *db, unsigned max, char user_id[RAND_ID_SIZE], struct err *e) MUST_CHECK;
/* Ends all of a user's sessions but the newest. */
int session_trim(struct db *tx, const char *user_id, unsigned keep, struct err *e) MUST_CHECK;

/* Who a session stands for now. 0, or -1 with INVALID_TOKEN when it is over or its user or tenant is not active. */
int session_identity(struct db *db, const char *id, const char *tenant_id, int64_t now_ms, struct identity *out,
	struct err *e) MUST_CHECK;

extern const struct sql_table session_sql;
struct erasure;
extern const struct erasure session_erasure;

#endif
