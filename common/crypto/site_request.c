#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/rand.h"
#include "common/crypto/crypto_err.h"
#include "common/crypto/site_cert.h"
#include "common/crypto/tls_cert_inside.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

enum { DAY_S = 86400, CHALLENGE_DAYS = 7, SERIAL_BYTES = 16 };
#define OID_ACME_IDENTIFIER "1.3.6.1.5.5.7.1.31"

static bool push_dns(GENERAL_NAMES *names, const char *dns)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();

	if (name == NULL || text == NULL || ASN1_STRING_set(text, dns, -1) != 1) {
		ASN1_IA5STRING_free(text);
		GENERAL_NAME_free(name);
		return false;
	}
	GENERAL_NAME_set0_value(name, GEN_DNS, text);
	if (sk_GENERAL_NAME_push(names, name) > 0)
		return true;
	GENERAL_NAME_free(name);
	return false;
}

/* Built name by name, not from a text: a comma in a name must not become a second name. */
static GENERAL_NAMES *dns_names(const char *const *list, size_t n)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	bool ok = names != NULL;

	for (size_t i = 0; ok && i < n; i++)
		ok = push_dns(names, list[i]);
	if (ok)
		return names;
	GENERAL_NAMES_free(names);
	return NULL;
}

/* ---- a request ---------------------------------------------------------------------------------------------------- */

static bool add_names(X509_REQ *req, const char *const *list, size_t n)
{
	STACK_OF(X509_EXTENSION) *exts = sk_X509_EXTENSION_new_null();
	GENERAL_NAMES *names = dns_names(list, n);
	bool ok = exts != NULL && names != NULL && X509V3_add1_i2d(&exts, NID_subject_alt_name, names, 0, 0) == 1 &&
	          X509_REQ_add_extensions(req, exts) == 1;

	GENERAL_NAMES_free(names);
	sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
	return ok;
}

static bool put_der(X509_REQ *req, struct buf *der)
{
	unsigned char *p = NULL;
	int n = i2d_X509_REQ(req, &p);

	if (n > 0)
		buf_put(der, p, (size_t)n);
	OPENSSL_free(p);
	return n > 0 && !der->failed;
}

/* No subject: CAs take the names from the extension (RFC 8555 section 7.4). */
int site_cert_request(const char *const *names, size_t n, char **key_pem, struct buf *der, struct err *e)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509_REQ *req = X509_REQ_new();
	bool ok = key != NULL && req != NULL && X509_REQ_set_version(req, X509_REQ_VERSION_1) == 1 &&
	          X509_REQ_set_pubkey(req, key) == 1 && add_names(req, names, n) &&
	          X509_REQ_sign(req, key, EVP_sha256()) > 0 && put_der(req, der);

	if (!ok)
		crypto_err(e, ERR_CRYPTO, "make a certificate request");
	else if ((*key_pem = tls_cert_key_pem(key, e)) == NULL)
		ok = false;
	X509_REQ_free(req);
	EVP_PKEY_free(key);
	return ok ? 0 : -1;
}

/* ---- the answer to a challenge ------------------------------------------------------------------------------------ */

/* A critical extension that holds the digest as an OCTET STRING. */
static bool add_identifier(X509 *x, const uint8_t digest[SHA256_SIZE])
{
	uint8_t der[2 + SHA256_SIZE] = { V_ASN1_OCTET_STRING, SHA256_SIZE };
	ASN1_OBJECT *oid = OBJ_txt2obj(OID_ACME_IDENTIFIER, 1);
	ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
	X509_EXTENSION *ext = NULL;
	bool ok;

	memcpy(der + 2, digest, SHA256_SIZE);
	if (oid != NULL && value != NULL && ASN1_OCTET_STRING_set(value, der, sizeof der) == 1)
		ext = X509_EXTENSION_create_by_OBJ(NULL, oid, 1, value);
	ok = ext != NULL && X509_add_ext(x, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	ASN1_OCTET_STRING_free(value);
	ASN1_OBJECT_free(oid);
	return ok;
}

static bool set_frame(X509 *x, EVP_PKEY *key, int64_t now_ms)
{
	const time_t now = (time_t)(now_ms / 1000);
	uint8_t serial[SERIAL_BYTES];
	BIGNUM *bn;
	bool ok;

	rand_bytes(serial, sizeof serial);
	serial[0] = (uint8_t)((serial[0] & 0x3f) | 0x40); /* positive, and never zero */
	bn = BN_bin2bn(serial, sizeof serial, NULL);
	ok = bn != NULL && X509_set_version(x, X509_VERSION_3) == 1 &&
	     BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x)) != NULL && X509_set_pubkey(x, key) == 1 &&
	     ASN1_TIME_set(X509_getm_notBefore(x), now - DAY_S) != NULL &&
	     ASN1_TIME_set(X509_getm_notAfter(x), now + CHALLENGE_DAYS * DAY_S) != NULL &&
	     X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
		     (const unsigned char *)"ACME challenge", -1, -1, 0) == 1 &&
	     X509_set_issuer_name(x, X509_get_subject_name(x)) == 1;
	BN_free(bn);
	return ok;
}

static char *x509_pem(X509 *x)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data, *pem = NULL;

	if (bio != NULL && PEM_write_bio_X509(bio, x) == 1) {
		long n = BIO_get_mem_data(bio, &data);
		pem = strndup(data, (size_t)n);
	}
	BIO_free(bio);
	return pem;
}

int site_cert_challenge(const char *name, const uint8_t digest[SHA256_SIZE], int64_t now_ms, char **chain_pem,
	char **key_pem, struct err *e)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	GENERAL_NAMES *names = dns_names(&name, 1);
	char *chain = NULL;
	bool ok = key != NULL && x != NULL && names != NULL && set_frame(x, key, now_ms) &&
	          X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, 0) == 1 && add_identifier(x, digest) &&
	          X509_sign(x, key, EVP_sha256()) > 0 && (chain = x509_pem(x)) != NULL;

	GENERAL_NAMES_free(names);
	if (!ok)
		crypto_err(e, ERR_CRYPTO, "make an answer to an ACME challenge");
	else if ((*key_pem = tls_cert_key_pem(key, e)) == NULL)
		ok = false;
	X509_free(x);
	EVP_PKEY_free(key);
	if (!ok) {
		free(chain);
		return -1;
	}
	*chain_pem = chain;
	return 0;
}
