/*
 * es256 - ECDSA keys on P-256 with SHA-256 (RFC 7518 section 3.4): what ACME accounts sign with.
 *
 * Owner: one; es256_free() wipes it. Thread: a key may be used by several threads at once.
 */
#ifndef PORTWAY_CRYPTO_ES256_H
#define PORTWAY_CRYPTO_ES256_H

#include "common/base/macros.h"

#include <stddef.h>
#include <stdint.h>

struct err;
struct es256;

#define ES256_SIGNATURE_SIZE  64
#define ES256_JWK_SIZE        160
#define ES256_THUMBPRINT_SIZE 44

int es256_generate(struct es256 **out, struct err *e) MUST_CHECK;
int es256_from_pem(struct es256 **out, const char *pem, struct err *e) MUST_CHECK;
void es256_free(struct es256 *k); /* NULL is fine */
/* PKCS#8; malloc'ed, the caller wipes and frees. */
char *es256_to_pem(const struct es256 *k, struct err *e) MUST_CHECK;
/* The public key, its members in the order that RFC 7638 hashes. */
int es256_jwk(const struct es256 *k, char dst[ES256_JWK_SIZE], struct err *e) MUST_CHECK;
int es256_thumbprint(const struct es256 *k, char dst[ES256_THUMBPRINT_SIZE], struct err *e) MUST_CHECK;
/* r and s, 32 bytes each, as JWS wants them. */
int es256_sign(
	const struct es256 *k, const void *msg, size_t n, uint8_t sig[ES256_SIGNATURE_SIZE], struct err *e) MUST_CHECK;

#endif
