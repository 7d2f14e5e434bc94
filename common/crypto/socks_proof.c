#include "common/crypto/socks_proof.h"

#include <string.h>

void socks_proof_make(
	uint8_t out[SHA256_SIZE], const uint8_t salt[SOCKS_SALT_SIZE], const char *user, const char *password)
{
	char both[2 * 256] = "";
	size_t n = strnlen(user, 255), m = strnlen(password, SOCKS_PASSWORD_MAX);

	memcpy(both, user, n); /* a NUL stands between the two, which neither holds */
	memcpy(both + n + 1, password, m);
	seal_hmac_sha256(salt, SOCKS_SALT_SIZE, both, n + 1 + m, out);
	seal_wipe(both, sizeof both);
}

bool socks_proof_check(
	const uint8_t proof[SHA256_SIZE], const uint8_t salt[SOCKS_SALT_SIZE], const char *user, const char *password)
{
	uint8_t made[SHA256_SIZE];
	unsigned differs = 0;

	socks_proof_make(made, salt, user, password);
	for (size_t i = 0; i < sizeof made; i++)
		differs |= (unsigned)(made[i] ^ proof[i]);
	return differs == 0;
}
