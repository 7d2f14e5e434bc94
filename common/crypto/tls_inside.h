/*
 * tls_inside - what the files of TLS know of each other. Private to common/crypto.
 */
#ifndef PORTWAY_CRYPTO_TLS_INSIDE_H
#define PORTWAY_CRYPTO_TLS_INSIDE_H

#include "common/crypto/tls.h"
#include "common/crypto/tls_record.h"

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

/* See tls_bulk.c. */
struct tls_bulk {
	struct tls_record in, out;
	uint64_t renew_after; /* records: then there are new keys */
	bool answer;          /* the peer wants new keys of us, too */
	unsigned idle;        /* records without data that came one behind another */
	uint8_t *part;        /* of a record, or NULL; room for a whole one */
	size_t part_n;
};

struct tls_session {
	SSL *ssl;
	struct tls_bulk *bulk; /* NULL: records are OpenSSL's */
	uint8_t traffic
		[2][TLS_SECRET_MAX]; /* the client's and the server's secret, until bulk has them; of a bulk context */
	size_t traffic_n[2];
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
/* Sessions of this context are given their traffic secrets. */
void tls_bulk_prepare(SSL_CTX *ssl);
void tls_bulk_free(struct tls_session *s);
/* The handshake is over. */
void tls_server_leave(struct tls_session *s);

#endif
