/*
 * key - Ed25519 key pairs (RFC 8032): make, load, sign, verify.
 *
 * Owner: one; key_free() wipes it. Thread: a key may be used by several threads at once.
 */
#ifndef PORTWAY_CRYPTO_KEY_H
#define PORTWAY_CRYPTO_KEY_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct key;
struct err;

#define KEY_SEED_SIZE      32
#define KEY_PUBLIC_SIZE    32
#define KEY_SIGNATURE_SIZE 64

int key_generate(struct key **out, struct err *e) MUST_CHECK;
int key_from_seed(struct key **out, const uint8_t seed[KEY_SEED_SIZE], struct err *e) MUST_CHECK;
int key_from_public(struct key **out, const uint8_t pub[KEY_PUBLIC_SIZE], struct err *e) MUST_CHECK;
int key_from_pem(struct key **out, const char *pem, struct err *e) MUST_CHECK;
int key_from_public_pem(struct key **out, const char *pem, struct err *e) MUST_CHECK;
void key_free(struct key *k);
void key_public(const struct key *k, uint8_t pub[KEY_PUBLIC_SIZE]);
int key_seed(const struct key *k, uint8_t seed[KEY_SEED_SIZE]) MUST_CHECK; /* -1 for a public key */
/* PKCS#8 PEM, malloc'ed, caller wipes and frees; NULL for a public key. */
char *key_to_pem(const struct key *k);
int key_sign(const struct key *k, const void *msg, size_t n, uint8_t sig[KEY_SIGNATURE_SIZE]) MUST_CHECK;
bool key_verify(const struct key *k, const void *msg, size_t n, const uint8_t sig[KEY_SIGNATURE_SIZE]);

#endif
