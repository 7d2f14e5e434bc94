/*
 * tls_server - sessions of a server that has many names: its certificate is chosen by the name that the client asks for (SNI).
 *
 * The context is made with tls_conf.by_name, once. What differs from name to name and from hour to hour comes with each session, so a new
 * certificate serves the next handshake, and costs nothing before.
 *
 * A session that resumes another (by a ticket, RFC 8446 section 2.2) is of the same realm and scope. Where clients show certificates, none
 * is resumed: what was believed then may be revoked now.
 *
 * Owner, thread: as tls.h says.
 */
#ifndef PORTWAY_CRYPTO_TLS_SERVER_H
#define PORTWAY_CRYPTO_TLS_SERVER_H

#include "common/crypto/tls.h"
#include "common/crypto/tls_store.h"

/* The realm of the certificates that answer ACME challenges (RFC 8737): for everybody's names. */
#define TLS_REALM_ACME "acme"

/* CAs that a client's certificate may come from. Owner: references. Thread: any; immutable. */
struct tls_trust;
int tls_server_trust(struct tls_trust **out, const char *ca_pem, struct err *e) MUST_CHECK;
struct tls_trust *tls_server_trust_ref(struct tls_trust *t);
void tls_server_trust_unref(struct tls_trust *t); /* NULL is fine */

struct tls_accept {
	struct tls_store *store; /* a reference is kept until the handshake is over; so of the next, and of clients */
	struct tls_store *challenges; /* what ACME challenges are answered with; NULL: nothing */
	const char *realm;            /* whose certificates */
	const char *scope;            /* tickets of one scope are not taken in another */
	struct tls_trust *clients;    /* NULL: clients are not asked for a certificate */
	bool client_required;         /* else one that shows none is let in */
	const char *alpn; /* what is spoken here, best first, each with its length in front; static. A client that */
	size_t alpn_n;    /* offers only others is refused, one that offers nothing is let in */
};

int tls_server_accept(struct tls_session **out, struct tls_ctx *c, const struct tls_accept *a, const struct tls_io *io,
	struct err *e) MUST_CHECK;
/* It came to see the answer to an ACME challenge, and is to be closed after the handshake. */
bool tls_server_is_challenge(const struct tls_session *s);
/* After a full handshake: the client showed a certificate that comes from one of these CAs. */
bool tls_server_client_is_of(struct tls_session *s, const struct tls_trust *t);

#endif
