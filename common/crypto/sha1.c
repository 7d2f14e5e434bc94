#include "common/crypto/sha1.h"

#include <openssl/evp.h>

int sha1(uint8_t out[SHA1_SIZE], const void *p, size_t n)
{
	return EVP_Digest(p, n, out, NULL, EVP_sha1(), NULL) == 1 ? 0 : -1;
}

void sha1_base64(char *out, const uint8_t *p, size_t n)
{
	EVP_EncodeBlock((unsigned char *)out, p, (int)n);
}
