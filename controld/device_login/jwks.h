/*
 * jwks - a set of public keys as a service publishes it (RFC 7517), and tokens that are checked against it: Ed25519 alone
 * (RFC 8037). Foreign bytes: what is not understood is passed over or refused, never trusted.
 *
 * Thread: any; no clock, no calls.
 */
#ifndef PORTWAY_CONTROLD_DEVICE_LOGIN_JWKS_H
#define PORTWAY_CONTROLD_DEVICE_LOGIN_JWKS_H

#include "common/base/macros.h"
#include "common/crypto/key.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define JWKS_BYTES_MAX 65536
#define JWKS_KEYS_MAX  32
#define JWKS_KID_MAX   128
#define JWKS_TOKEN_MAX 8192
#define JWKS_SKEW_S    60 /* how far clocks may be apart */

struct jwks {
	struct jwks_key {
		char kid[JWKS_KID_MAX + 1]; /* "": it has none */
		uint8_t x[KEY_PUBLIC_SIZE];
	} keys[JWKS_KEYS_MAX];
	size_t n;
};

/* Keys that are not for Ed25519 signatures are passed over. A set without any is good, too. ERR_PROTOCOL. */
int jwks_parse(struct jwks *out, const char *text, size_t n, struct err *e) MUST_CHECK;
/* By the kid of a token; "" finds the only key there is. NULL: unknown. */
const struct jwks_key *jwks_find(const struct jwks *set, const char *kid);

/* The kid that a token names, "" for none, untrusted. ERR_INVALID_TOKEN: no such token that this could check. */
int jwks_token_kid(const char *token, char kid[JWKS_KID_MAX + 1], struct err *e) MUST_CHECK;
/* Signature, exp and nbf. *claims is a new reference. ERR_INVALID_TOKEN, ERR_TOKEN_EXPIRED. */
int jwks_check(const struct jwks_key *k, const char *token, int64_t now_s, json_t **claims, struct err *e) MUST_CHECK;
/* The claims of a token that nobody checked, or NULL: only for what came straight from who made it. */
json_t *jwks_unchecked(const char *token);

#endif
