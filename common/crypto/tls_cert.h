/*
 * tls_cert - a certificate that a server shows: the chain, its key, and what its CA says of it (OCSP), read once.
 *
 * Owner:  references; immutable once made, but for the OCSP answer, which is put in before it is shared.
 * Thread: any.
 */
#ifndef PORTWAY_CRYPTO_TLS_CERT_H
#define PORTWAY_CRYPTO_TLS_CERT_H

#include "common/base/macros.h"

#include <stddef.h>
#include <stdint.h>

struct err;
struct tls_cert;

/* Clients that know one kind of key only are why a name has a certificate of each. */
enum tls_cert_kind { TLS_CERT_RSA, TLS_CERT_ECDSA, TLS_CERT_ED25519, TLS_CERT_KINDS };

#define TLS_CERT_OCSP_MAX (16 * 1024)

/* Leaf first; the key must be the leaf's. */
int tls_cert_new(struct tls_cert **out, const char *chain_pem, const char *key_pem, struct err *e) MUST_CHECK;
/* A response in DER, as the CA signed it, shown until then (ms since 1970); whether it is about this certificate is the caller's. */
int tls_cert_staple(struct tls_cert *c, const void *der, size_t n, int64_t until_ms) MUST_CHECK;
struct tls_cert *tls_cert_ref(struct tls_cert *c);
void tls_cert_unref(struct tls_cert *c); /* NULL is fine */
enum tls_cert_kind tls_cert_kind(const struct tls_cert *c);
int64_t tls_cert_not_after_ms(const struct tls_cert *c);

#endif
