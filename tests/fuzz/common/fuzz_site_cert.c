/* Certificates as people upload them: what is taken has names that fit and a key of a known kind. */
#include "common/crypto/site_cert.h"
#include "common/crypto/tls_cert.h"
#include "common/crypto/tls_server.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct site_cert_info info;
	char *pem = fuzz_string(data, size);
	struct tls_trust *trust;
	struct tls_cert *cert;

	if (pem == NULL)
		return 0;
	if (site_cert_inspect(pem, &info, NULL) == 0) {
		FUZZ_CHECK(info.n_names <= SITE_CERT_NAMES_MAX && info.key_type[0] != '\0');
		for (uint32_t i = 0; i < info.n_names; i++)
			FUZZ_CHECK(info.names[i][0] != '\0' && strlen(info.names[i]) < SITE_CERT_NAME_SIZE);
		FUZZ_CHECK(tls_server_trust(&trust, pem, NULL) == 0);
		tls_server_trust_unref(trust);
	}
	if (site_cert_check_key(pem, pem, NULL) == 0) { /* both in one text */
		FUZZ_CHECK(tls_cert_new(&cert, pem, pem, NULL) == 0);
		tls_cert_unref(cert);
	}
	free(pem);
	return 0;
}
