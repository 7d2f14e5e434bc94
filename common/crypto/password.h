/*
 * password - argon2id (RFC 9106) through libsodium. Slow on purpose (tens of ms, 19 MiB): worker threads only.
 */
#ifndef PORTWAY_CRYPTO_PASSWORD_H
#define PORTWAY_CRYPTO_PASSWORD_H

#include "common/base/macros.h"

#include <stdbool.h>

struct err;

#define PASSWORD_HASH_SIZE 128
#define PASSWORD_MIN       8   /* characters a person must choose */
#define PASSWORD_MAX       256 /* bytes; longer is refused before hashing */

int password_hash(char dst[PASSWORD_HASH_SIZE], const char *password, struct err *e) MUST_CHECK;
bool password_verify(const char *hash, const char *password);
/* Takes as long as a verify; for users that do not exist. */
void password_verify_dummy(const char *password);

#endif
