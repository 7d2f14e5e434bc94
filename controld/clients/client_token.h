/*
 * client_token - what stands in a client's access token, and what a client gets for a session.
 *
 * A client's token opens the rows of PERM_CLIENT and nothing else. It is good as long as its session lives and its client
 * and the client's owner are switched on.
 */
#ifndef PORTWAY_CONTROLD_CLIENTS_CLIENT_TOKEN_H
#define PORTWAY_CONTROLD_CLIENTS_CLIENT_TOKEN_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/base/rand.h"
#include "controld/clients/client.h"
#include "controld/clients/client_session.h"

#include <stdint.h>

struct identity;
struct identity_service;

#define CLIENT_ACCESS_MS  (INT64_C(24) * 3600 * 1000)
#define CLIENT_REFRESH_MS (INT64_C(7) * 86400 * 1000)

struct client_token {
	int64_t client_id;
	char tenant_id[PROTO_ID_SIZE];
	char session_id[RAND_ID_SIZE];
	char jti[PROTO_ID_SIZE];
	int64_t expires_s;
};

/* A session of this client, not written yet. */
void client_session_make(struct client_session *s, const struct client *c, int64_t now_ms);
/* The pair for a session, as JSON: token, refresh_token, expires_at, client_id, token_id. */
int client_token_grant(struct identity_service *identity, const struct client *c, const struct client_session *s,
	int64_t now_ms, struct buf *b, struct err *e) MUST_CHECK;
/* Claims that we have signed. INVALID_TOKEN or TOKEN_EXPIRED. */
int client_token_parse(
	struct client_token *t, const char *claims, const char *issuer, int64_t now_s, struct err *e) MUST_CHECK;
/* Whether its session lives and its client is switched on: the client, or INVALID_TOKEN. */
int client_token_client(
	struct db *db, const struct client_token *t, int64_t now_ms, struct client *out, struct err *e) MUST_CHECK;
/* An identity_client_fn; self is the identity service. */
int client_token_resolve(void *self, struct db *db, const char *claims, struct identity *out, int64_t *expires_ms,
	struct err *e) MUST_CHECK;

#endif
