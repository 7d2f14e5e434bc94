/*
 * user - a person who may log in: the struct, its rules, its rows and those of memberships.
 *
 * An account belongs to one tenant, whose administrators manage it; a membership gives it a role there and perhaps in
 * other tenants. Deleting sets the status "deleting": the account is gone for everybody at once and its names are free.
 */
#ifndef PORTWAY_CONTROLD_IDENTITY_USER_H
#define PORTWAY_CONTROLD_IDENTITY_USER_H

#include "common/base/macros.h"
#include "common/base/rand.h"
#include "common/crypto/password.h"
#include "controld/identity/identity.h"
#include "controld/store/erasure.h"
#include "controld/store/store.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct err;

#define USER_EMAIL_MAX    254 /* characters, RFC 5321 */
#define USER_USERNAME_MAX 64
#define USER_NAME_MAX     128

struct user {
	char id[RAND_ID_SIZE];
	char tenant_id[RAND_ID_SIZE];
	char email[USER_EMAIL_MAX + 1];
	char username[USER_EMAIL_MAX + 1]; /* the email when none was given */
	char password_hash[PASSWORD_HASH_SIZE];
	char first_name[4 * USER_NAME_MAX + 1];
	char last_name[4 * USER_NAME_MAX + 1];
	char status[16];
	enum role role; /* of the membership that was read */
	bool system_admin;
	int64_t version;
	int64_t created_ms, updated_ms, last_login_ms;
};

/* An active viewer without names; its rows are not written. */
void user_init(struct user *u, const char *tenant_id, int64_t now_ms);
/* Takes the members of a validated body, but for the password; names (size bytes) gets those that changed, by comma. */
void user_apply(struct user *u, const json_t *body, char *names, size_t size);
/* Whether `who` may make or change an account that has this role and flag: nobody lifts others above himself. */
bool user_may_manage(const struct identity *who, enum role role, bool system_admin);
json_t *user_json(const struct user *u);

/* scope: the tenant that asks, "" for the platform. ERR_USER_NOT_FOUND. */
int user_get(struct db *db, const char *scope, const char *id, struct user *out, struct err *e) MUST_CHECK;
/* By email or username, for a login: 1 found, 0 not, -1. */
int user_find(struct db *db, const char *account, struct user *out, struct err *e) MUST_CHECK;
/* Writes the account and its membership. ERR_ALREADY_EXISTS names email or username. */
int user_insert(struct db *tx, const struct user *u, struct err *e) MUST_CHECK;
/* Writes all columns and the membership's role, and raises the version. */
int user_update(struct db *tx, struct user *u, int64_t now_ms, struct err *e) MUST_CHECK;
int user_touch_login(struct db *tx, const char *tenant_id, const char *id, int64_t now_ms, struct err *e) MUST_CHECK;

/* Members that are "" do not filter. */
struct user_filter {
	const char *scope, *tenant_id, *status, *role, *email, *username;
	const char *search; /* beginning of email, username, first or last name */
	const char *after;  /* id of the last one seen */
	unsigned limit;
};
typedef int (*user_fn)(const struct user *u, void *arg);
int user_list(struct db *db, const struct user_filter *f, user_fn fn, void *arg, struct err *e) MUST_CHECK;

/*
 * The membership that a login acts in: of active tenants, the one asked for, or the only one. ERR_FORBIDDEN when there
 * is none, ERR_VALIDATION on tenant_id when there are several and none was named. Sets tenant_id and role of *u.
 */
int user_enter(struct db *db, struct user *u, const char *tenant_id, struct err *e) MUST_CHECK;

/* Those that are being deleted. */
int user_leaving(struct db *db, unsigned limit, erase_leaving_fn fn, void *arg, struct err *e) MUST_CHECK;

extern const struct sql_table user_sql;
/* The account and its memberships; of a tenant: its accounts are switched off, and then leave one by one. */
extern const struct erasure user_erasure;

#endif
