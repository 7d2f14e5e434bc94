/* Access tokens as strangers send them: only what we signed is taken, and a taken token says the same when printed again. */
#include "common/crypto/jwt.h"
#include "common/crypto/key.h"
#include "tests/fuzz/fuzz.h"

/* The seeds are signed with this one. */
static const uint8_t seed[KEY_SEED_SIZE] = { 1, 2, 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct key *key;
	char *token = fuzz_string(data, size), *claims, *again;
	char kid[JWT_KID_MAX];

	if (token == NULL || (key == NULL && key_from_seed(&key, seed, NULL) != 0)) {
		free(token);
		return 0;
	}
	if (jwt_verify(key, token, &claims, NULL) == 0) {
		FUZZ_CHECK(jwt_kid(token, kid, NULL) == 0);
		again = jwt_sign(key, kid, claims, NULL); /* Ed25519 is deterministic */
		FUZZ_CHECK(again != NULL && strcmp(again, token) == 0);
		free(again);
		free(claims);
	}
	free(token);
	return 0;
}
