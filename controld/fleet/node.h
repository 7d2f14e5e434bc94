/*
 * node - one relay as the database knows it: name, group, standing, and when it was last heard of. SQL and JSON.
 *
 * A join token makes the node (pending), joining makes it `joined`, deleting a joined one makes it `revoked`: its
 * certificates are refused from then on, its name and counters stay, and a new token may bind it again. Deleting one
 * that is pending or revoked removes it.
 */
#ifndef PORTWAY_CONTROLD_FLEET_NODE_H
#define PORTWAY_CONTROLD_FLEET_NODE_H

#include "common/base/macros.h"
#include "common/base/rand.h"
#include "common/net/addr.h"
#include "controld/fleet/who.h"
#include "controld/store/store.h"
#include "proto/msg.h"

#include <stdbool.h>
#include <stdint.h>

struct db;
struct err;
struct group;

enum node_standing { NODE_PENDING, NODE_JOINED, NODE_REVOKED };

struct node {
	char id[PROTO_ID_SIZE];
	char name[PROTO_NAME_SIZE];
	char group_id[PROTO_ID_SIZE], group_name[PROTO_NAME_SIZE];
	enum node_standing standing;
	int64_t placed_seq; /* change that put it into its group */
	int64_t version;
	int64_t created_ms, updated_ms, joined_ms;
	int64_t seen_ms; /* as last written down, 0 = never; this and the rest is operational */
	bool online;
	char address[ADDR_STRLEN];
	char relay_version[32];
	char controld_id[RAND_ID_SIZE]; /* that has it, or had it last; "" none */
	int64_t cert_not_after_ms;      /* of its newest good certificate; 0 = none */
};

typedef int (*node_fn)(const struct node *n, void *arg); /* 0 goes on */

/* By id or name; ERR_NODE_NOT_FOUND. */
int node_get(struct db *db, const char *id_or_name, struct node *out, struct err *e) MUST_CHECK;
/* Which ones: members that are "" do not filter. */
struct node_filter {
	const char *after; /* id of the last one seen */
	const char *group; /* name or id */
	const char *name;  /* its beginning */
	unsigned limit;
};
/* In the order of their ids. */
int node_list(struct db *db, const struct node_filter *f, node_fn fn, void *arg, struct err *e) MUST_CHECK;

/* A pending node of this name; fills *n. ERR_ALREADY_EXISTS on field "name". */
int node_create(struct db *tx, struct node *n, const char *name, const struct group *g, const struct who *who,
	struct err *e) MUST_CHECK;
/* Name and, if g is not NULL, group. */
int node_update(struct db *tx, struct node *n, const struct group *g, const struct who *who, struct err *e) MUST_CHECK;
/* It has joined; certificates that it had before are refused from now on. */
int node_bind(struct db *tx, struct node *n, const struct who *who, struct err *e) MUST_CHECK;
/* Revokes a joined node, removes another one. */
int node_delete(struct db *tx, struct node *n, const struct who *who, struct err *e) MUST_CHECK;

/* n->controld_id has the node from now on; the event "online" in the change log if it was not online. */
int node_come(struct db *tx, const struct node *n, const struct who *who, struct err *e) MUST_CHECK;
/* Operational: what that one heard of it, if it still has it. */
int node_seen(struct db *tx, const struct node *n, struct err *e) MUST_CHECK;
/*
 * n->controld_id has it no more: offline, and the event, if that one still had it. Of another controld than oneself it is
 * believed only when that one is not alive.
 */
int node_gone(struct db *tx, const struct node *n, const char *self, const struct who *who, struct err *e) MUST_CHECK;

const char *node_standing_name(enum node_standing s);

extern const struct sql_table node_sql;

#endif
