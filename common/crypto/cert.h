/*
 * cert - X.509 certificates (RFC 5280) of controld's own CA: make the CA, request, issue, inspect.
 *
 * All certificates are Ed25519. A relay's node id is the subject CN, and a URI name "portway:node:<id>".
 * Strings handed out are malloc'ed PEM; the caller frees.
 */
#ifndef PORTWAY_CRYPTO_CERT_H
#define PORTWAY_CRYPTO_CERT_H

#include "common/base/macros.h"
#include "common/crypto/key.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

#define CERT_FINGERPRINT_SIZE 65 /* hex of SHA-256 over the DER, and NUL */
#define CERT_NAME_MAX         64

enum cert_role { CERT_SERVER, CERT_CLIENT }; /* controld's fleet listener, a relay */

/* Self-signed CA for `days`. */
char *cert_make_ca(const struct key *k, const char *name, int64_t now_ms, unsigned days, struct err *e);
/*
 * Another certificate for the CA `subject_pem`, signed by the CA that it follows: who trusts that one trusts the new one's
 * leaves by way of it. Both carry the same name, so that it counts as self-issued and no path grows (RFC 5280 section 4.2.1.9).
 * Ends with the CA that signs.
 */
char *cert_cross(
	const char *issuer_pem, const struct key *issuer_key, const char *subject_pem, int64_t now_ms, struct err *e);
/* PKCS#10 request (RFC 2986) with CN = name. */
char *cert_request(const struct key *k, const char *name, struct err *e);
/* Issues for a request whose signature holds; CN and names come from the arguments, never from the request. */
char *cert_issue_request(const char *ca_pem, const struct key *ca_key, const char *request_pem, const char *cn,
	enum cert_role role, int64_t now_ms, unsigned days, struct err *e);
/* Issues for a key we hold. dns_names: NULL-terminated list of DNS names or IPs, or NULL. */
char *cert_issue(const char *ca_pem, const struct key *ca_key, const struct key *subject, const char *cn,
	const char *const *dns_names, enum cert_role role, int64_t now_ms, unsigned days, struct err *e);

struct cert_info {
	char cn[CERT_NAME_MAX];
	char serial[48]; /* hex */
	char fingerprint[CERT_FINGERPRINT_SIZE];
	int64_t not_before_ms;
	int64_t not_after_ms;
};
/* The first certificate of a PEM text. */
int cert_inspect(const char *pem, struct cert_info *out, struct err *e) MUST_CHECK;
/* Whether one of the certificates of a PEM text has this fingerprint. */
bool cert_contains(const char *pem, const char *fingerprint);
/* Its public key, which must be Ed25519. */
int cert_public_key(const char *pem, uint8_t pub[KEY_PUBLIC_SIZE], struct err *e) MUST_CHECK;
/* Whether it is for this key. */
bool cert_is_for(const char *pem, const struct key *k);

#endif
