/* Certificates and requests as a joining relay sends them: a request that is taken becomes a certificate with our name. */
#include "common/crypto/cert.h"
#include "common/crypto/key.h"
#include "tests/fuzz/fuzz.h"

static const uint8_t seed[KEY_SEED_SIZE] = { 1, 2, 3 };

struct authority {
	struct key *key;
	char *ca;
};

static const struct authority *authority(void)
{
	static struct authority a;

	if (a.key == NULL) {
		FUZZ_CHECK(key_from_seed(&a.key, seed, NULL) == 0);
		a.ca = cert_make_ca(a.key, "Fuzz CA", 1800000000000, 10, NULL);
		FUZZ_CHECK(a.ca != NULL);
	}
	return &a;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct authority *a = authority();
	char *pem = fuzz_string(data, size), *cert;
	uint8_t pub[KEY_PUBLIC_SIZE];
	struct cert_info info;
	struct key *key;

	if (pem == NULL)
		return 0;
	if (key_from_public_pem(&key, pem, NULL) == 0)
		key_free(key);
	if (cert_public_key(pem, pub, NULL) == 0) {
		FUZZ_CHECK(key_from_public(&key, pub, NULL) == 0);
		FUZZ_CHECK(cert_is_for(pem, key));
		key_free(key);
	}
	if (cert_inspect(pem, &info, NULL) == 0)
		FUZZ_CHECK(strlen(info.cn) < sizeof info.cn && strlen(info.fingerprint) == CERT_FINGERPRINT_SIZE - 1);
	cert = cert_issue_request(a->ca, a->key, pem, "node_1", CERT_CLIENT, 1800000000000, 1, NULL);
	if (cert != NULL) {
		FUZZ_CHECK(cert_inspect(cert, &info, NULL) == 0);
		FUZZ_CHECK(strcmp(info.cn, "node_1") == 0);
	}
	free(cert);
	free(pem);
	return 0;
}
