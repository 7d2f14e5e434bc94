/*
 * tls_cert_inside - a server's certificate as OpenSSL objects. Private to common/crypto.
 */
#ifndef PORTWAY_CRYPTO_TLS_CERT_INSIDE_H
#define PORTWAY_CRYPTO_TLS_CERT_INSIDE_H

#include "common/crypto/tls_cert.h"

#include <openssl/x509.h>
#include <stdatomic.h>

struct tls_cert {
	atomic_uint refs;
	enum tls_cert_kind kind;
	X509 *leaf;
	STACK_OF(X509) * between; /* leaf and root are not among them */
	EVP_PKEY *key;
	int64_t not_after_ms;
	int64_t ocsp_until_ms;
	size_t ocsp_n; /* 0: nothing to show */
	uint8_t *ocsp;
};

/* A private key of a kind that can be shown, in PEM; encrypted ones are refused, not asked for. */
EVP_PKEY *tls_cert_read_key(const char *pem, enum tls_cert_kind *kind, struct err *e);
/* PKCS#8; malloc'ed, the caller wipes and frees. */
char *tls_cert_key_pem(EVP_PKEY *key, struct err *e);

#endif
