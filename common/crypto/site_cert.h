/*
 * site_cert - certificates of web sites: what is in one that somebody brings, and the request for one that a CA is asked for.
 *
 * These come from other CAs, with keys of any usual kind; those of our own CA are in cert.h. PEM text in and out.
 */
#ifndef PORTWAY_CRYPTO_SITE_CERT_H
#define PORTWAY_CRYPTO_SITE_CERT_H

#include "common/base/macros.h"
#include "common/crypto/cert.h"
#include "common/crypto/seal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

#define SITE_CERT_NAMES_MAX 100
#define SITE_CERT_NAME_SIZE 254

struct site_cert_info {
	struct cert_info leaf;
	char issuer[128];  /* its CN, or its organisation */
	char key_type[24]; /* "RSA 2048", "ECDSA P-256", "Ed25519" */
	bool self_signed;
	bool must_staple;   /* RFC 7633 */
	char ocsp_url[256]; /* where its CA answers for it; "": nowhere */
	uint32_t chain_n;
	uint32_t n_names; /* DNS names, in lower case; none is possible */
	char names[SITE_CERT_NAMES_MAX][SITE_CERT_NAME_SIZE];
};

/*
 * Leaf first, each signed by the next. -1 with ERR_VALIDATION and the field "chain": no certificate, out of order, or too many names, or so
 * weak that no client takes it.
 */
int site_cert_inspect(const char *chain_pem, struct site_cert_info *out, struct err *e) MUST_CHECK;
/* The key is the leaf's, and strong enough. -1 with ERR_VALIDATION and the field "key". */
int site_cert_check_key(const char *chain_pem, const char *key_pem, struct err *e) MUST_CHECK;

/*
 * What its CA says of the leaf (RFC 6960), in DER: good, signed by who may, and not over. *until_ms: when it will be, at the latest a
 * week from now. The chain must hold who signed the leaf. -1 with ERR_VALIDATION and the field "ocsp"; 1 with the same, when the CA says
 * that it has revoked it.
 */
int site_cert_check_ocsp(
	const char *chain_pem, const void *der, size_t n, int64_t now_ms, int64_t *until_ms, struct err *e) MUST_CHECK;

/* What its CA is asked (RFC 6960), in DER, appended. The chain must hold who signed the leaf: -1 with ERR_VALIDATION and the field "chain". */
int site_cert_ocsp_request(const char *chain_pem, struct buf *der, struct err *e) MUST_CHECK;

/* A fresh ECDSA key, and the request (PKCS#10, DER, appended) for a certificate of these names. *key_pem: malloc'ed, the caller wipes and frees. */
int site_cert_request(const char *const *names, size_t n, char **key_pem, struct buf *der, struct err *e) MUST_CHECK;
/* The certificate that answers tls-alpn-01 (RFC 8737 section 3) for the SHA-256 of a key authorisation. Both malloc'ed PEM. */
int site_cert_challenge(const char *name, const uint8_t digest[SHA256_SIZE], int64_t now_ms, char **chain_pem,
	char **key_pem, struct err *e) MUST_CHECK;

#endif
