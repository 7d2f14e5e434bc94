#include "common/crypto/cert_x509.h"

#include "common/base/str.h"
#include "common/crypto/crypto_err.h"

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

/* A chain of ours has two certificates, one from elsewhere a handful. */
enum { CERT_CHAIN_MAX = 16 };

STACK_OF(X509) * cert_x509_read(const char *pem, struct err *e)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	STACK_OF(X509) *chain = sk_X509_new_null();
	X509 *x;

	while (bio != NULL && chain != NULL && sk_X509_num(chain) < CERT_CHAIN_MAX &&
		(x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
		if (sk_X509_push(chain, x) == 0)
			X509_free(x);
	BIO_free(bio);
	if (sk_X509_num(chain) < 1) {
		cert_x509_free(chain);
		crypto_err(e, ERR_CRYPTO, "read a certificate");
		return NULL;
	}
	ERR_clear_error(); /* the end of the text was reported as an error */
	return chain;
}

void cert_x509_free(STACK_OF(X509) * chain)
{
	sk_X509_pop_free(chain, X509_free);
}

int cert_x509_fingerprint(const X509 *x, char dst[CERT_FINGERPRINT_SIZE])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned n;

	if (X509_digest(x, EVP_sha256(), md, &n) != 1)
		return -1;
	str_hex(dst, md, n);
	return 0;
}

static int cert_time(const ASN1_TIME *t, int64_t *ms)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(t, &tm) != 1)
		return -1;
	*ms = (int64_t)timegm(&tm) * 1000;
	return 0;
}

static int cert_serial(X509 *x, char *dst, size_t size)
{
	BIGNUM *bn = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
	char *hex = bn != NULL ? BN_bn2hex(bn) : NULL;
	int rc = hex != NULL ? str_copy(dst, size, hex) : -1;

	OPENSSL_free(hex);
	BN_free(bn);
	return rc;
}

/* A name that is missing is "", one with a NUL inside or too long is refused: it could pass for another. */
static int cert_cn(X509 *x, char dst[CERT_NAME_MAX])
{
	X509_NAME *subject = X509_get_subject_name(x);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	unsigned char *utf8;
	int n, rc;

	dst[0] = '\0';
	if (at < 0)
		return 0;
	n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	if (n < 0)
		return -1;
	rc = memchr(utf8, '\0', (size_t)n) != NULL ? -1 : str_copy(dst, CERT_NAME_MAX, (const char *)utf8);
	OPENSSL_free(utf8);
	return rc;
}

int cert_x509_info(X509 *x, struct cert_info *out)
{
	struct cert_info info;
	int rc = 0;

	if (cert_cn(x, info.cn) != 0 || cert_serial(x, info.serial, sizeof info.serial) != 0 ||
		cert_x509_fingerprint(x, info.fingerprint) != 0 ||
		cert_time(X509_get0_notBefore(x), &info.not_before_ms) != 0 ||
		cert_time(X509_get0_notAfter(x), &info.not_after_ms) != 0)
		rc = -1;
	ERR_clear_error();
	if (rc == 0)
		*out = info;
	return rc;
}
