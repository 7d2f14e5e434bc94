/*
 * token - what stands in an access token, and whether its words still hold.
 *
 * Pure: JSON text in and out; signing is signing_key.h, whether the session still lives is resolver.h.
 * A token's jti is "<session id>.<random>", so that a token names its session.
 */
#ifndef PORTWAY_CONTROLD_IDENTITY_TOKEN_H
#define PORTWAY_CONTROLD_IDENTITY_TOKEN_H

#include "common/base/macros.h"
#include "common/base/rand.h"
#include "controld/identity/identity.h"

#include <stdint.h>

#define TOKEN_JTI_SIZE 40

struct err;

struct token {
	char user_id[40];
	char tenant_id[40];
	char username[260];
	char jti[TOKEN_JTI_SIZE];
	enum role role; /* as it was when the token was made: for people; the resolver reads the membership */
	bool system_admin;
	int64_t issued_s, expires_s; /* seconds since 1970 */
};

/* A fresh jti for a session. */
void token_jti(char jti[TOKEN_JTI_SIZE], const char *session_id);
/* The session that a jti names; 0 or -1. */
int token_session(const char *jti, char session_id[RAND_ID_SIZE]) MUST_CHECK;

/* Claims as JSON, malloc'ed; NULL for no memory. */
char *token_print(const struct token *t, const char *issuer);
/* Claims that are a client's, who is no user: clients/ reads them. */
bool token_is_client(const char *claims);
/* 0, or -1 with INVALID_TOKEN or TOKEN_EXPIRED. */
int token_parse(struct token *t, const char *claims, const char *issuer, int64_t now_s, struct err *e) MUST_CHECK;

#endif
