/*
 * site_pki - certificates as web servers have them, for tests: RSA and ECDSA leaves of one CA, and clients' certificates.
 *
 * Made with OpenSSL itself, not with our own code, so that both are not wrong alike.
 */
#ifndef PORTWAY_TESTS_SITE_PKI_H
#define PORTWAY_TESTS_SITE_PKI_H

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct site_cert {
	X509 *x;
	EVP_PKEY *k;
	char *chain, *key; /* PEM */
};

enum site_kind { SITE_RSA, SITE_ECDSA, SITE_ED25519 };

static inline char *site_bio_text(BIO *bio)
{
	char *data;
	long n = BIO_get_mem_data(bio, &data);
	char *s = strndup(data, (size_t)n);

	BIO_free(bio);
	return s;
}

static inline bool site_ext(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;
	bool ok;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = ext != NULL && X509_add_ext(x, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return ok;
}

/* names: "DNS:a.example,DNS:*.b", or NULL. by: NULL for a CA. days may be negative: it has ended. */
static inline void site_make(struct site_cert *c, enum site_kind kind, const char *cn, const char *names,
	const struct site_cert *by, int days)
{
	static long serial = 1000;
	BIO *chain = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_mem());
	X509_NAME *name;

	c->k = kind == SITE_RSA     ? EVP_RSA_gen(2048)
	       : kind == SITE_ECDSA ? EVP_EC_gen("P-256")
	                            : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	c->x = X509_new();
	X509_set_version(c->x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(c->x), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(c->x), -90000L * (days < 0 ? 30 : 1));
	X509_gmtime_adj(X509_getm_notAfter(c->x), 86400L * days);
	X509_set_pubkey(c->x, c->k);
	name = X509_get_subject_name(c->x);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(c->x, by != NULL ? X509_get_subject_name(by->x) : name);
	if (by == NULL && !site_ext(c->x, c->x, NID_basic_constraints, "critical,CA:TRUE"))
		abort();
	if (names != NULL && !site_ext(c->x, by != NULL ? by->x : c->x, NID_subject_alt_name, names))
		abort();
	if (X509_sign(c->x, by != NULL ? by->k : c->k, kind == SITE_ED25519 && by == NULL ? NULL : EVP_sha256()) <= 0)
		abort();
	PEM_write_bio_X509(chain, c->x);
	PEM_write_bio_PrivateKey(key, c->k, NULL, NULL, 0, NULL, NULL);
	c->chain = site_bio_text(chain);
	c->key = site_bio_text(key);
}

static inline void site_free(struct site_cert *c)
{
	X509_free(c->x);
	EVP_PKEY_free(c->k);
	free(c->chain);
	free(c->key);
}

#endif
