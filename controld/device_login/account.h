/*
 * account - an account at the service whose tokens we keep: sealed, for one tenant, each pair in the place of the one before.
 *
 *   active --the service takes the refresh token no more--> expired --a new login--> active
 *
 * A refresh token is good once: who refreshes takes the account first and knows the number of his taking; others wait for
 * what he gets. What was used up is remembered by its hash, so that who comes late with it gets the new pair.
 *
 * Thread: inside a transaction.
 */
#ifndef PORTWAY_CONTROLD_DEVICE_LOGIN_ACCOUNT_H
#define PORTWAY_CONTROLD_DEVICE_LOGIN_ACCOUNT_H

#include "common/base/macros.h"
#include "common/base/rand.h"
#include "controld/device_login/flow.h"
#include "controld/store/store.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

#define ACCOUNT_ID_MAX   64
#define ACCOUNT_NAME_MAX 64
#define UUID_SIZE        37

struct account {
	char id[RAND_ID_SIZE];
	char tenant_id[40];
	char account_id[ACCOUNT_ID_MAX + 1];
	char environment[SERVICE_NAME_SIZE];
	char access[SERVICE_TOKEN_MAX + 1], refresh[SERVICE_TOKEN_MAX + 1]; /* in the clear: to be wiped */
	char refresh_hash[TOKEN_HASH_SIZE];
	int64_t access_expires_ms, refresh_expires_ms;
	char profile_uuid[UUID_SIZE], profile_name[ACCOUNT_NAME_MAX + 1];
	char status[16];
	int64_t due_ms, failures, hold_until_ms, take, version, updated_ms;
};
void account_wipe(struct account *a);

/* A login came to its end: a new row, or new tokens in the one there is. a->id gets which. */
int account_put(struct db *tx, struct account *a, int64_t now_ms, struct err *e) MUST_CHECK;
/* By the service's id, of this tenant; by our id; by a refresh token, also one that was used up since `since_ms`. ERR_NOT_FOUND. */
int account_of_tenant(
	struct db *db, const char *tenant_id, const char *account_id, struct account *out, struct err *e) MUST_CHECK;
int account_get(struct db *db, const char *id, struct account *out, struct err *e) MUST_CHECK;
int account_by_refresh(
	struct db *db, const char *hash, int64_t since_ms, struct account *out, struct err *e) MUST_CHECK;

/* Takes it for a refresh, as it was read: 1 and a->take; 0 when somebody else is at it, or has been. */
int account_hold(struct db *tx, struct account *a, int64_t now_ms, int64_t until_ms, struct err *e) MUST_CHECK;
/* The new pair: 1; 0 when it was taken from us. */
int account_renew(struct db *tx, struct account *a, int64_t now_ms, struct err *e) MUST_CHECK;
/* It did not work; due_ms: when the background tries again. expired: it never will. */
int account_failed(struct db *tx, const struct account *a, bool expired, int64_t due_ms, const char *error,
	struct err *e) MUST_CHECK;
int account_select(struct db *tx, const struct account *a, struct err *e) MUST_CHECK;

/* The id of one that is due; 1, or 0 when none is. */
int account_due(struct db *db, int64_t now_ms, char id[RAND_ID_SIZE], struct err *e) MUST_CHECK;

extern const struct sql_table account_sql;
struct erasure;
extern const struct erasure account_erasure;

#endif
