/*
 * tenant - a wall around what belongs together: its struct, its rules, its rows.
 *
 * Every other table carries the id of a tenant. A tenant that is not active has no logins and no mappings on relays.
 */
#ifndef PORTWAY_CONTROLD_IDENTITY_TENANT_H
#define PORTWAY_CONTROLD_IDENTITY_TENANT_H

#include "common/base/macros.h"
#include "common/base/rand.h"
#include "common/net/cidr.h"
#include "controld/store/erasure.h"
#include "controld/store/store.h"

#include <jansson.h>
#include <stdint.h>

struct err;

#define TENANT_NAME_MAX       64 /* characters */
#define TENANT_DIAL_ALLOW_MAX 64 /* ranges */
#define TENANT_DEFAULT        "default"

struct tenant {
	char id[RAND_ID_SIZE];
	char name[4 * TENANT_NAME_MAX + 1];
	char status[16];
	char plan[16];                                        /* "": none, and so nothing is limited by it */
	char dial_allow[CIDR_STRLEN * TENANT_DIAL_ALLOW_MAX]; /* JSON array */
	int64_t max_users, max_requests_per_month;            /* 0: no limit */
	int64_t user_count;                                   /* reading only */
	int64_t version;
	int64_t created_ms, updated_ms;
};

/* A new active tenant without grants; its row is not written. */
void tenant_init(struct tenant *t, const char *name, int64_t now_ms);
/* Takes the members of a validated body. names (size bytes) gets those that changed, by comma. */
int tenant_apply(struct tenant *t, const json_t *body, char *names, size_t size, struct err *e) MUST_CHECK;
json_t *tenant_json(const struct tenant *t);
/* NULL-terminated: what `plan` may be. */
extern const char *const tenant_plans[];
/* Requests per hour that each token of a plan has; 0: no limit. */
uint64_t tenant_plan_per_hour(const char *plan);
/* ERR_CONFLICT when it has as many users as it may. */
int tenant_check_users(const struct tenant *t, struct err *e) MUST_CHECK;

/* scope: the tenant that asks, "" for the platform. ERR_TENANT_NOT_FOUND. */
int tenant_get(struct db *db, const char *scope, const char *id, struct tenant *out, struct err *e) MUST_CHECK;
/* 1 found, 0 not, -1. */
int tenant_find(struct db *db, const char *name, struct tenant *out, struct err *e) MUST_CHECK;
/* 1 when there is any, also one that goes; 0; -1. */
int tenant_any(struct db *db, struct err *e) MUST_CHECK;
int tenant_insert(struct db *tx, const struct tenant *t, struct err *e) MUST_CHECK;
/* Writes all columns and raises the version. */
int tenant_update(struct db *tx, struct tenant *t, int64_t now_ms, struct err *e) MUST_CHECK;
typedef int (*tenant_fn)(const struct tenant *t, void *arg);
int tenant_list(struct db *db, const char *scope, const char *status, const char *after, unsigned limit, tenant_fn fn,
	void *arg, struct err *e) MUST_CHECK;

/* The ranges that a tenant's users may have dialled by relays: at most max of them; *n gets the number. */
int tenant_dial_allow(struct db *db, const char *id, struct cidr *out, size_t max, size_t *n, struct err *e) MUST_CHECK;

/* Those that are being deleted. */
int tenant_leaving(struct db *db, unsigned limit, erase_leaving_fn fn, void *arg, struct err *e) MUST_CHECK;

extern const struct sql_table tenant_sql;
extern const struct erasure tenant_erasure; /* after its last account */

#endif
