/*
 * socks_proof - what is kept of a SOCKS5 password: an HMAC-SHA256 over the name and the password, under a salt.
 *
 * It is cheap on purpose: a relay checks it for each connection on a thread that forwards. What makes guessing it hopeless is
 * the password's length, which controld insists on (SOCKS_PASSWORD_MIN).
 */
#ifndef PORTWAY_CRYPTO_SOCKS_PROOF_H
#define PORTWAY_CRYPTO_SOCKS_PROOF_H

#include "common/crypto/seal.h"

#include <stdbool.h>

#define SOCKS_SALT_SIZE    16
#define SOCKS_PASSWORD_MIN 16
#define SOCKS_PASSWORD_MAX 255

void socks_proof_make(
	uint8_t out[SHA256_SIZE], const uint8_t salt[SOCKS_SALT_SIZE], const char *user, const char *password);
/* In a time that does not depend on where they differ. */
bool socks_proof_check(
	const uint8_t proof[SHA256_SIZE], const uint8_t salt[SOCKS_SALT_SIZE], const char *user, const char *password);

#endif
