#include "common/crypto/site_cert.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/cert_x509.h"
#include "common/crypto/crypto_err.h"
#include "common/crypto/tls_cert_inside.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#define FIELD_CHAIN "chain"
#define FIELD_KEY   "key"

enum { RSA_BITS_MIN = 2048 };

/* ---- what is in one ----------------------------------------------------------------------------------------------- */

static bool take_name(char dst[SITE_CERT_NAME_SIZE], const ASN1_STRING *s)
{
	const size_t n = (size_t)ASN1_STRING_length(s);
	const char *p = (const char *)ASN1_STRING_get0_data(s);

	if (n == 0 || n >= SITE_CERT_NAME_SIZE || memchr(p, '\0', n) != NULL)
		return false;
	for (size_t i = 0; i < n; i++)
		dst[i] = (char)(p[i] >= 'A' && p[i] <= 'Z' ? p[i] | 0x20 : p[i]);
	dst[n] = '\0';
	return true;
}

static int read_names(X509 *x, struct site_cert_info *out, struct err *e)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	int rc = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(all) && rc == 0; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);

		if (name->type != GEN_DNS)
			continue;
		if (out->n_names == SITE_CERT_NAMES_MAX)
			rc = err_set(e, ERR_VALIDATION, FIELD_CHAIN, "chain: the certificate has more than %d names",
				SITE_CERT_NAMES_MAX);
		else if (take_name(out->names[out->n_names], name->d.dNSName))
			out->n_names++;
	}
	GENERAL_NAMES_free(all);
	return rc;
}

static void read_issuer(X509 *x, struct site_cert_info *out)
{
	X509_NAME *issuer = X509_get_issuer_name(x);

	if (X509_NAME_get_text_by_NID(issuer, NID_commonName, out->issuer, sizeof out->issuer) <= 0 &&
		X509_NAME_get_text_by_NID(issuer, NID_organizationName, out->issuer, sizeof out->issuer) <= 0)
		out->issuer[0] = '\0';
	str_make_utf8(out->issuer);
}

static int read_key_type(X509 *x, struct site_cert_info *out, struct err *e)
{
	EVP_PKEY *key = X509_get0_pubkey(x);
	const int bits = key != NULL ? EVP_PKEY_get_bits(key) : 0;

	switch (key != NULL ? EVP_PKEY_get_base_id(key) : 0) {
	case EVP_PKEY_RSA:
		if (bits < RSA_BITS_MIN)
			return err_set(e, ERR_VALIDATION, FIELD_CHAIN,
				"chain: its RSA key has %d bits, at least %d are needed", bits, RSA_BITS_MIN);
		return str_fmt(out->key_type, sizeof out->key_type, "RSA %d", bits);
	case EVP_PKEY_EC:
		return str_fmt(out->key_type, sizeof out->key_type, "ECDSA P-%d", bits);
	case EVP_PKEY_ED25519:
		return str_copy(out->key_type, sizeof out->key_type, "Ed25519");
	default:
		return err_set(e, ERR_VALIDATION, FIELD_CHAIN, "chain: its key must be RSA, ECDSA or Ed25519");
	}
}

static void read_ocsp(X509 *x, struct site_cert_info *out)
{
	STACK_OF(OPENSSL_STRING) *urls = X509_get1_ocsp(x);
	TLS_FEATURE *features = X509_get_ext_d2i(x, NID_tlsfeature, NULL, NULL);

	if (sk_OPENSSL_STRING_num(urls) > 0 && strlen(sk_OPENSSL_STRING_value(urls, 0)) < sizeof out->ocsp_url)
		(void)str_copy(out->ocsp_url, sizeof out->ocsp_url, sk_OPENSSL_STRING_value(urls, 0));
	for (int i = 0; i < sk_ASN1_INTEGER_num(features); i++)
		out->must_staple |= ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features, i)) == TLSEXT_TYPE_status_request;
	X509_email_free(urls);
	sk_ASN1_INTEGER_pop_free(features, ASN1_INTEGER_free);
}

static int check_order(STACK_OF(X509) * chain, struct err *e)
{
	for (int i = 0; i + 1 < sk_X509_num(chain); i++)
		if (X509_check_issued(sk_X509_value(chain, i + 1), sk_X509_value(chain, i)) != X509_V_OK)
			return err_set(e, ERR_VALIDATION, FIELD_CHAIN,
				"chain: certificate %d is not signed by certificate %d; the site's own comes first",
				i + 1, i + 2);
	return 0;
}

int site_cert_inspect(const char *chain_pem, struct site_cert_info *out, struct err *e)
{
	STACK_OF(X509) *chain = cert_x509_read(chain_pem, NULL);
	X509 *leaf;
	int rc = -1;

	memset(out, 0, sizeof *out);
	if (chain == NULL)
		return err_set(e, ERR_VALIDATION, FIELD_CHAIN, "chain: holds no certificate in PEM");
	leaf = sk_X509_value(chain, 0);
	out->chain_n = (uint32_t)sk_X509_num(chain);
	out->self_signed = X509_self_signed(leaf, 0) == 1;
	if (cert_x509_info(leaf, &out->leaf) != 0)
		err_set(e, ERR_VALIDATION, FIELD_CHAIN,
			"chain: the certificate's name, serial or times cannot be read");
	else if (check_order(chain, e) == 0 && read_key_type(leaf, out, e) == 0 && read_names(leaf, out, e) == 0)
		rc = 0;
	read_issuer(leaf, out);
	read_ocsp(leaf, out);
	ERR_clear_error();
	cert_x509_free(chain);
	return rc;
}

/* Taken by the very call, at the very security level, that will show it to clients. */
int site_cert_check_key(const char *chain_pem, const char *key_pem, struct err *e)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	struct tls_cert *c = NULL;
	struct err why;
	int rc = 0;

	if (ctx == NULL)
		return crypto_err(e, ERR_NOMEM, "check a certificate");
	if (tls_cert_new(&c, chain_pem, key_pem, &why) != 0)
		rc = err_set(e, why.code == ERR_NOMEM ? ERR_NOMEM : ERR_VALIDATION, FIELD_KEY, "key: %s", why.msg);
	else if (SSL_CTX_use_cert_and_key(ctx, c->leaf, c->key, c->between, 1) != 1)
		rc = crypto_err(e, ERR_VALIDATION, "chain: no client would take it");
	tls_cert_unref(c);
	SSL_CTX_free(ctx);
	return rc;
}
