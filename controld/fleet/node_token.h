/*
 * node_token - a join token: lets one machine become one node, once, for a day. The database keeps a hash of the secret.
 *
 * The token names the node that it makes or binds again; what the relay calls itself does not count. A token that was
 * used answers once more to the same certificate request, so that a relay whose answer was lost is not locked out.
 */
#ifndef PORTWAY_CONTROLD_FLEET_NODE_TOKEN_H
#define PORTWAY_CONTROLD_FLEET_NODE_TOKEN_H

#include "common/base/macros.h"
#include "controld/fleet/node.h"
#include "controld/fleet/who.h"
#include "controld/store/store.h"
#include "proto/join.h"
#include "proto/msg.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct db;
struct err;

#define NODE_TOKEN_LIFE_MS     INT64_C(86400000)
#define NODE_TOKEN_LIFE_MAX_MS (INT64_C(30) * 86400000)

struct node_token {
	char id[PROTO_ID_SIZE];
	char node_id[PROTO_ID_SIZE];
	char node_name[PROTO_NAME_SIZE], group_name[PROTO_NAME_SIZE]; /* reading only */
	char created_by[64];
	int64_t created_ms, expires_ms, used_ms;
	char secret_hash[65];  /* hex */
	char request_hash[65]; /* hex; "" = not used */
};

/* Fills *t but node_id and expires_ms, which are the caller's; the secret leaves once, here. */
int node_token_create(
	struct db *tx, struct node_token *t, char secret[64], const struct who *who, struct err *e) MUST_CHECK;
int node_token_get(struct db *db, const char *id, struct node_token *out, struct err *e) MUST_CHECK; /* ERR_NOT_FOUND */
/* Which ones: members that are "" do not filter. */
struct node_token_filter {
	const char *after;  /* id of the last one seen */
	const char *node;   /* name or id */
	const char *status; /* "open", "used", "expired" */
	int64_t now_ms;
	unsigned limit;
};
typedef int (*node_token_fn)(const struct node_token *t, void *arg); /* 0 goes on */
/* In the order of their ids. */
int node_token_list(
	struct db *db, const struct node_token_filter *f, node_token_fn fn, void *arg, struct err *e) MUST_CHECK;
int node_token_delete(struct db *tx, const struct node_token *t, const struct who *who, struct err *e) MUST_CHECK;
/* With its node. */
int node_token_delete_of(struct db *tx, const char *node_id, struct err *e) MUST_CHECK;

/*
 * Checks what a relay showed. *again: it was used for this very request before. ERR_INVALID_TOKEN (one answer for a
 * wrong id, a wrong secret and a used token), ERR_TOKEN_EXPIRED.
 */
int node_token_check(struct db *db, const struct msg_join *m, int64_t now_ms, struct node_token *out, bool *again,
	struct err *e) MUST_CHECK;
int node_token_use(
	struct db *tx, const struct node_token *t, const struct msg_join *m, int64_t now_ms, struct err *e) MUST_CHECK;

json_t *node_token_json(const struct node_token *t); /* without the secret */

extern const struct sql_table node_token_sql;

#endif
