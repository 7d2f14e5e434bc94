/*
 * tls_inside - what the files of TLS know of each other. Private to common/crypto.
 */
#ifndef PORTWAY_CRYPTO_TLS_INSIDE_H
#define PORTWAY_CRYPTO_TLS_INSIDE_H

#include "common/crypto/tls.h"

#include <openssl/ssl.h>
#include <stdatomic.h>

/*
 * Who keeps whom: every SSL holds a reference to the tls_ctx it was made from (released by OpenSSL when the
 * SSL goes), because the verify callback reads the pin and accept_peer from it.
 */
struct tls_ctx {
	atomic_uint refs;
	SSL_CTX *ssl;
	bool server;
	char *server_name;
	char pin[CERT_FINGERPRINT_SIZE]; /* "": anchors are in ssl's store */
	bool (*accept_peer)(const struct cert_info *peer, void *arg);
	void *arg;
};

struct tls_entry; /* see tls_server.c */

struct tls_session {
	SSL *ssl;
	struct tls_io io;
	struct tls_entry *entry;              /* until a server that has many names has shaken hands; else NULL */
	bool ended;                           /* the transport has no more bytes */
	bool broken;                          /* a fatal error: OpenSSL forbids SSL_shutdown() afterwards */
	bool untrusted;                       /* the peer's alert: it does not know the CA of our certificate */
	char other_ca[CERT_FINGERPRINT_SIZE]; /* of the peer, where another was pinned; "": it was not so */
	bool acme;                            /* only to show an answer to an ACME challenge */
	const char *reason;
	char text[192]; /* = reason, where it names something */
};

/* Whose it is. */
const struct tls_ctx *tls_ctx_of(const SSL *ssl);
/* NULL: none. false: no memory. */
bool tls_ctx_set_name(SSL *ssl, const char *name);
/* Makes a server whose sessions bring their certificates. */
int tls_server_init(SSL_CTX *ssl);
/* The handshake is over. */
void tls_server_leave(struct tls_session *s);

#endif
