/*
 * jwt - compact JWS (RFC 7515) with EdDSA (RFC 8037) only: no other alg is ever accepted, "none" least of all.
 *
 * Pure over bytes: claims are JSON text made and read by the caller.
 */
#ifndef PORTWAY_CRYPTO_JWT_H
#define PORTWAY_CRYPTO_JWT_H

#include "common/base/macros.h"

#include <stddef.h>

struct key;
struct err;

#define JWT_MAX     4096 /* bytes of a token that is looked at */
#define JWT_KID_MAX 64

/* header {"alg":"EdDSA","kid":kid,"typ":"JWT"}; malloc'ed, NULL on error. */
char *jwt_sign(const struct key *k, const char *kid, const char *claims_json, struct err *e);
/* Reads the kid without trusting it; 0 or -1 when this is not one of our tokens (alg, typ, crit, shape). */
int jwt_kid(const char *token, char kid[JWT_KID_MAX], struct err *e) MUST_CHECK;
/* Checks the signature; *claims_json is malloc'ed. Times and audience are the caller's business. */
int jwt_verify(const struct key *k, const char *token, char **claims_json, struct err *e) MUST_CHECK;

#endif
