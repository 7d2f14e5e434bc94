/*
 * lb_pool - backends that serve the same, and how requests are spread over them. The row of the table, its SQL, and how the API
 * prints it. What a caller may write is in lb_pool_input.h.
 *
 * A pool has no place of its own: it is on the relays of every group that a route leads to it from, and in the group `default`
 * while there is none, so that its backends are checked before anybody is sent to them.
 *
 * Owner: the caller, usually on the stack; lb_pool_fini() releases the settings.
 */
#ifndef PORTWAY_CONTROLD_BALANCER_LB_POOL_H
#define PORTWAY_CONTROLD_BALANCER_LB_POOL_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/balancer/lb_actor.h"
#include "controld/store/store.h"
#include "proto/msg.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define LB_POOL_NAME_MAX     64 /* characters of [A-Za-z0-9._-] */
#define LB_ALGORITHM_SIZE    24
#define LB_POOL_OBJECT_MAX   (256 * 1024) /* bytes of a printed pool without its backends */
#define LB_POOL_BACKENDS_MAX 1024

struct lb_pool {
	char id[PROTO_ID_SIZE];
	char tenant_id[PROTO_ID_SIZE];
	char user_id[PROTO_ID_SIZE]; /* "" when an API key of no user made it */
	char name[LB_POOL_NAME_MAX + 1];
	char algorithm[LB_ALGORITHM_SIZE];
	json_t *settings; /* values of lb_pool_knobs */
	int64_t version;  /* of the row */
	int64_t seq;      /* of its newest change in the log, its backends' among them */
	int64_t created_ms, updated_ms;
};

void lb_pool_fini(struct lb_pool *p);
/* NULL-terminated: what `algorithm` may be. */
extern const char *const lb_pool_algorithms[];

/* The members of the API's object that the row has, into an object that is open. */
void lb_pool_print(struct buf *b, const struct lb_pool *p);
/* Names of the members that differ, each after a comma. */
void lb_pool_diff(const struct lb_pool *a, const struct lb_pool *b, struct buf *fields);
/* Logs what was done to *p, as it stands now, and puts the number of that change into p->seq. */
int lb_pool_log(struct db *tx, struct lb_pool *p, const char *op, const char *fields, const struct lb_actor *by,
	struct err *e) MUST_CHECK;

/* ---- rows --------------------------------------------------------------------------------------------------------- */
/* By name, or by id; ERR_POOL_NOT_FOUND. *p is released by the caller on success. */
int lb_pool_get(struct db *db, const char *tenant_id, const char *name, struct lb_pool *p, struct err *e) MUST_CHECK;

/* Its id alone; ERR_POOL_NOT_FOUND. */
int lb_pool_id(
	struct db *db, const char *tenant_id, const char *name, char id[PROTO_ID_SIZE], struct err *e) MUST_CHECK;
/* Ids of those of a tenant (kind "tenant"); fn: 0 goes on. */
int lb_pool_ids_of(struct db *db, const char *kind, const char *id, int (*fn)(const char *id, void *arg), void *arg,
	struct err *e) MUST_CHECK;

struct lb_pool_filter {
	const char *tenant_id; /* "": all */
	const char *id;        /* "": all */
	const char *algorithm; /* "": any */
	const char *search;    /* beginning of the name; "": any */
	const char *after;     /* id of the last one seen */
	unsigned limit;
};
/* In the order of their ids. fn: 0 goes on, 1 stops. */
typedef int (*lb_pool_fn)(const struct lb_pool *p, void *arg);
int lb_pool_list(struct db *db, const struct lb_pool_filter *f, lb_pool_fn fn, void *arg, struct err *e) MUST_CHECK;
int lb_pool_count(struct db *db, const char *tenant_id, int64_t *n, struct err *e) MUST_CHECK;
/* The groups from which routes lead to it; fn: 0 goes on. */
int lb_pool_groups(
	struct db *db, const char *id, int (*fn)(const char *group_id, void *arg), void *arg, struct err *e) MUST_CHECK;
/* How many routes lead to it from that group. */
int lb_pool_routes_in(struct db *db, const char *id, const char *group_id, int64_t *n, struct err *e) MUST_CHECK;
/* One of the user's or the tenant's: 1 and *p, 0 when there is none left, -1. */
int lb_pool_find_owned(struct db *db, bool tenant, const char *owner, struct lb_pool *p, struct err *e) MUST_CHECK;

int lb_pool_insert(struct db *tx, const struct lb_pool *p, struct err *e) MUST_CHECK;
int lb_pool_update(struct db *tx, const struct lb_pool *p, struct err *e) MUST_CHECK;
/* With its backends, each with its own row in the log; no route must use it. (lb_pool_api.c) */
int lb_pool_remove(struct db *tx, struct lb_pool *p, const struct lb_actor *by, struct err *e) MUST_CHECK;
int lb_pool_delete(struct db *tx, const char *id, struct err *e) MUST_CHECK;
/* A new version because of something around it: its backends, the groups that it stands in. */
int lb_pool_touch(
	struct db *tx, struct lb_pool *p, const char *fields, const struct lb_actor *by, struct err *e) MUST_CHECK;

/* The groups that it stands in have changed: logged, so that relays hear of it. */
int lb_pool_moved(struct db *tx, const char *id, const struct lb_actor *by, struct err *e) MUST_CHECK;

extern const struct sql_table lb_pool_sql;

#endif
