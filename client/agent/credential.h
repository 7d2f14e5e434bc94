/*
 * credential - who the agent is to a relay, and how it knows the relay: client id, secret or certificate, fingerprint of
 * controld's CA.
 *
 * A token is "<client id>.<secret>.<fingerprint>"; a secret is "pws_" and the base64url of an Ed25519 seed. The secret never
 * leaves the process: it signs what only the two ends of one TLS session know. So does the key of a certificate.
 *
 * Owner: one. Thread: one.
 */
#ifndef PORTWAY_CLIENT_AGENT_CREDENTIAL_H
#define PORTWAY_CLIENT_AGENT_CREDENTIAL_H

#include "common/base/macros.h"
#include "common/crypto/cert.h"
#include "common/tunnel/frame_hello.h"

struct err;
struct key;

struct credential {
	char client[FRAME_ID_SIZE];                 /* decimal */
	char ca_fingerprint[CERT_FINGERPRINT_SIZE]; /* lower case */
	struct key *key;
};

/* Texts may end in a line end, as files do. Errors never repeat them. */
int credential_from_token(struct credential *out, const char *token, struct err *e) MUST_CHECK;
int credential_from_parts(struct credential *out, const char *client, const char *secret, const char *fingerprint,
	struct err *e) MUST_CHECK;
/* A certificate that is registered for the client takes the place of a secret. */
struct credential_pem {
	const char *cert, *key;
};
int credential_from_certificate(struct credential *out, const char *client, const struct credential_pem *pem,
	const char *fingerprint, struct err *e) MUST_CHECK;
void credential_fini(struct credential *c); /* also of a zeroed one */
/* Signs a hello whose other fields are set. */
int credential_sign(
	const struct credential *c, struct frame_hello *h, const uint8_t exported[FRAME_EXPORTED]) MUST_CHECK;

#endif
