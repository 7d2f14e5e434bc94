/*
 * cert_x509 - certificates as OpenSSL objects: reading PEM, taking out what a cert_info says. Private to
 * common/crypto.
 */
#ifndef PORTWAY_CRYPTO_CERT_X509_H
#define PORTWAY_CRYPTO_CERT_X509_H

#include "common/crypto/cert.h"

#include <openssl/x509.h>

/* Every certificate of a PEM text, in order; at least one. The caller frees with cert_x509_free(). */
STACK_OF(X509) * cert_x509_read(const char *pem, struct err *e);
void cert_x509_free(STACK_OF(X509) * chain); /* takes NULL */
/* SHA-256 over the DER, in lower-case hex. */
int cert_x509_fingerprint(const X509 *x, char dst[CERT_FINGERPRINT_SIZE]) MUST_CHECK;
int cert_x509_info(X509 *x, struct cert_info *out) MUST_CHECK;

#endif
