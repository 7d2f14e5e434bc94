/*
 * acme_jws - requests to a certificate authority, signed (RFC 8555 section 6.2: flattened JWS with ES256).
 *
 * Pure over bytes.
 */
#ifndef PORTWAY_CONTROLD_ACME_ACME_JWS_H
#define PORTWAY_CONTROLD_ACME_ACME_JWS_H

#include "common/base/macros.h"

#include <stddef.h>

struct buf;
struct err;
struct es256;

/* What a signature covers besides the payload. */
struct acme_jws {
	const char *url;
	const char *nonce;
	const char *kid; /* what the CA calls the account; "": it is told the key itself */
};

/* payload: JSON, or "" for the reading of something (POST-as-GET). Appends to out. */
int acme_jws_sign(struct buf *out, const struct es256 *key, const struct acme_jws *about, const char *payload,
	struct err *e) MUST_CHECK;
/* The value of externalAccountBinding (section 7.3.4): secret is base64url, as CAs give it. ERR_VALIDATION: it is not. */
int acme_jws_bind(struct buf *out, const struct es256 *key, const char *url, const char *kid, const char *secret,
	struct err *e) MUST_CHECK;
/* token "." thumbprint (section 8.1); dst of size bytes. */
int acme_jws_authorize(char *dst, size_t size, const struct es256 *key, const char *token, struct err *e) MUST_CHECK;

#endif
