/*
 * key_evp - the OpenSSL object inside a key, for the certificate and TLS code. Private to common/crypto.
 */
#ifndef PORTWAY_CRYPTO_KEY_EVP_H
#define PORTWAY_CRYPTO_KEY_EVP_H

#include <openssl/evp.h>

struct key;

/* Borrowed; lives as long as the key. */
EVP_PKEY *key_evp(const struct key *k);

#endif
