/*
 * tls_record - records of TLS 1.3 in one direction (RFC 8446 section 5), from where their bytes lie to where they go: nothing
 * is copied. Keys come from a traffic secret, and from that the next one.
 *
 * Owner: tls_bulk.c embeds it. Thread: the session's. Private to common/crypto.
 * Ends:  tls_record_fini().
 */
#ifndef PORTWAY_CRYPTO_TLS_RECORD_H
#define PORTWAY_CRYPTO_TLS_RECORD_H

#include "common/base/macros.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TLS_RECORD_HEAD  5
#define TLS_RECORD_TAG   16
#define TLS_RECORD_BYTES 16384                                  /* of content, at most */
#define TLS_RECORD_ADDS  (TLS_RECORD_HEAD + 1 + TLS_RECORD_TAG) /* to its content, without padding */
#define TLS_RECORD_MAX   (TLS_RECORD_HEAD + TLS_RECORD_BYTES + 256)
#define TLS_SECRET_MAX   48

enum tls_record_type { TLS_RECORD_ALERT = 21, TLS_RECORD_HANDSHAKE = 22, TLS_RECORD_DATA = 23 };

struct tls_record {
	EVP_CIPHER_CTX *ctx;
	const EVP_CIPHER *cipher; /* an AEAD with a nonce of 12 bytes and a tag of 16 */
	const EVP_MD *digest;
	bool seals;
	uint8_t secret[TLS_SECRET_MAX];
	uint8_t iv[12];
	uint64_t number; /* of the next record with these keys */
};

/* secret: as long as the digest. -1: no memory. Of a zeroed one tls_record_fini() may be called in any case. */
int tls_record_init(struct tls_record *r, bool seals, const EVP_CIPHER *cipher, const EVP_MD *digest,
	const uint8_t *secret) MUST_CHECK;
void tls_record_fini(struct tls_record *r);
/* From now on the next keys (RFC 8446 section 7.2). */
int tls_record_renew(struct tls_record *r) MUST_CHECK;

/* n (at most TLS_RECORD_BYTES) to out, where there is room for TLS_RECORD_ADDS more. -1: not done. */
int tls_record_seal(
	struct tls_record *r, enum tls_record_type type, const uint8_t *p, size_t n, uint8_t *out) MUST_CHECK;
/* How long the record is that begins there, of which n bytes have come; 0: not known yet, -1: it is none. */
ssize_t tls_record_size(const uint8_t *p, size_t n);
/* A whole one to out, where there is room for as many bytes as it has: how many it held; -1: it is not genuine. */
ssize_t tls_record_open(struct tls_record *r, const uint8_t *p, size_t n, uint8_t *out, uint8_t *type) MUST_CHECK;

#endif
