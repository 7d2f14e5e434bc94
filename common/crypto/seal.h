/*
 * seal - secrets at rest and small hashes: AES-256-GCM with HKDF-derived keys, SHA-256, HMAC.
 *
 * A sealed blob is version(1) | nonce(12) | ciphertext | tag(16); the context string ("jwt-key", "snapshot") separates
 * uses of one master key and is authenticated, so a blob cannot be moved to another use.
 */
#ifndef PORTWAY_CRYPTO_SEAL_H
#define PORTWAY_CRYPTO_SEAL_H

#include "common/base/macros.h"

#include <stddef.h>
#include <stdint.h>

struct err;

#define SEAL_KEY_SIZE 32
#define SEAL_OVERHEAD 29
#define SHA256_SIZE   32

/* dst needs n + SEAL_OVERHEAD. */
int seal_wrap(uint8_t *dst, const uint8_t master[SEAL_KEY_SIZE], const char *context, const void *p, size_t n,
	struct err *e) MUST_CHECK;
/* dst needs n - SEAL_OVERHEAD; *out_n gets the length. ERR_CRYPTO when the key is wrong or the blob was changed. */
int seal_unwrap(uint8_t *dst, size_t *out_n, const uint8_t master[SEAL_KEY_SIZE], const char *context, const void *p,
	size_t n, struct err *e) MUST_CHECK;
/* Reads the 32-byte key file, or makes it (0600) if there is none. */
int seal_key_file(const char *path, uint8_t key[SEAL_KEY_SIZE], struct err *e) MUST_CHECK;
void seal_sha256(const void *p, size_t n, uint8_t out[SHA256_SIZE]);
void seal_hmac_sha256(const void *key, size_t key_n, const void *p, size_t n, uint8_t out[SHA256_SIZE]);
void seal_wipe(void *p, size_t n); /* not optimised away */

#endif
