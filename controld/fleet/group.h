/*
 * group - a group of relays: what is placed on it runs on each of them. The row of its table, its SQL, its JSON.
 *
 * The first start makes `default`, which cannot be deleted. A group goes only when nothing is placed on it and no node
 * is in it.
 */
#ifndef PORTWAY_CONTROLD_FLEET_GROUP_H
#define PORTWAY_CONTROLD_FLEET_GROUP_H

#include "common/base/macros.h"
#include "common/net/host_name.h"
#include "controld/fleet/who.h"
#include "controld/store/store.h"
#include "proto/msg.h"

#include <jansson.h>
#include <stdint.h>

struct db;
struct err;

#define GROUP_DEFAULT         "default"
#define GROUP_DESCRIPTION_MAX 256 /* characters; up to 4 bytes each */

struct group {
	char id[PROTO_ID_SIZE];
	char name[PROTO_NAME_SIZE];
	char description[4 * GROUP_DESCRIPTION_MAX + 1];
	char domain[HOST_NAME_SIZE]; /* where generated host names lie; "": nowhere */
	int64_t version;
	int64_t created_ms, updated_ms;
};

/* By id or name; ERR_NOT_FOUND. */
int group_get(struct db *db, const char *id_or_name, struct group *out, struct err *e) MUST_CHECK;
/* Which ones: members that are "" do not filter. */
struct group_query {
	const char *after; /* id of the last one seen */
	const char *name;  /* its beginning */
	unsigned limit;
};
typedef int (*group_fn)(const struct group *g, void *arg); /* 0 goes on */
/* In the order of their ids. */
int group_list(struct db *db, const struct group_query *f, group_fn fn, void *arg, struct err *e) MUST_CHECK;
/* Fills id, version and times. ERR_ALREADY_EXISTS on field "name". */
int group_create(struct db *tx, struct group *g, const struct who *who, struct err *e) MUST_CHECK;
/* Name, description and domain; raises the version. */
int group_update(struct db *tx, struct group *g, const struct who *who, struct err *e) MUST_CHECK;
int group_delete(struct db *tx, const struct group *g, const struct who *who, struct err *e) MUST_CHECK;
/* Makes `default` if there is none. */
int group_bootstrap(struct db *tx, const struct who *who, struct err *e) MUST_CHECK;

json_t *group_json(const struct group *g); /* as the API prints it */

extern const struct sql_table group_sql;

#endif
