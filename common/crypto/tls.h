/*
 * tls - TLS contexts and sessions over OpenSSL: bytes in, bytes out; the transport belongs to the caller.
 *
 * Owner:  a context is immutable once made and shared by reference; a session belongs to one connection.
 * Thread: a context any; a session one thread at a time.
 */
#ifndef PORTWAY_CRYPTO_TLS_H
#define PORTWAY_CRYPTO_TLS_H

#include "common/base/macros.h"
#include "common/crypto/cert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tls_ctx;
struct tls_session;
struct buf;
struct err;
struct ssl_st; /* OpenSSL's SSL */

enum tls_peer { TLS_PEER_NONE, TLS_PEER_OPTIONAL, TLS_PEER_REQUIRED }; /* must the other side show a certificate? */

struct tls_conf {
	bool server;
	const char *cert_pem; /* chain, leaf first; with the CA at its end where clients pin that; NULL: none */
	const char *key_pem;
	bool by_name;       /* server: each session is given its certificates (tls_server.h), and there are none here */
	const char *ca_pem; /* trust anchors; NULL: none */
	bool system_cas;    /* client: those that this machine trusts, where there is no ca_pem */
	const char *ca_fingerprint; /* client: instead of ca_pem, the SHA-256 (hex) of the CA that must end the chain */
	enum tls_peer peer;         /* a client that was given a CA or a fingerprint always checks */
	unsigned min_version;       /* 12 or 13; 0: 13 */
	const char *server_name;    /* client: name to check and to send as SNI; NULL: chain only */
	const char *alpn;           /* client: what it offers, each with its length in front; alpn_n 0: nothing */
	size_t alpn_n;
	bool peer_is_relay; /* client: the server shows a relay's certificate (CERT_CLIENT), and no other will do */
	bool bulk;          /* sessions may begin bulk */
	/* Decides on a peer whose chain was good (revocation); may be NULL. Called on the handshaking thread. */
	bool (*accept_peer)(const struct cert_info *peer, void *arg);
	void *arg;
};

int tls_ctx_new(struct tls_ctx **out, const struct tls_conf *conf, struct err *e) MUST_CHECK;
struct tls_ctx *tls_ctx_ref(struct tls_ctx *c);
void tls_ctx_unref(struct tls_ctx *c);
/* A bare server SSL for libevent's bufferevent (which then owns it); only rest/ uses it. */
struct ssl_st *tls_ctx_ssl(struct tls_ctx *c);

/* The transport's ends: number of bytes, or TLS_AGAIN, TLS_CLOSED, TLS_FAILED. */
enum { TLS_AGAIN = -1, TLS_CLOSED = -2, TLS_FAILED = -3, TLS_BAD_PEER = -4 };
struct tls_io {
	ssize_t (*send)(void *arg, const void *p, size_t n);
	ssize_t (*recv)(void *arg, void *p, size_t n);
	void *arg;
};

int tls_session_new(struct tls_session **out, struct tls_ctx *c, const struct tls_io *io, struct err *e) MUST_CHECK;
void tls_session_free(struct tls_session *s);
/* Client, before the handshake: the name to check and to send, instead of the context's. */
int tls_session_expect(struct tls_session *s, const char *server_name) MUST_CHECK;
int tls_session_handshake(struct tls_session *s); /* 0 when done, or a TLS_ code */
/* The handshake failed because the peer's CA is not the pinned one: tls_session_reason() has both fingerprints. */
bool tls_session_met_other_ca(const struct tls_session *s);
ssize_t tls_session_read(struct tls_session *s, void *p, size_t n); /* > 0, or a TLS_ code */
/* From now on the transport is asked for n bytes at once, not for a record: for who moves many. Memory is held for
 * them only while part of a record is there. */
void tls_session_read_ahead(struct tls_session *s, size_t n);
/* Bytes have come from the transport that were not read yet: a read may find something without it. */
bool tls_session_has_more(const struct tls_session *s);
ssize_t tls_session_write(struct tls_session *s, const void *p, size_t n);

/*
 * For who moves much, with TLS 1.3 and a bulk context: after the handshake, before anything else was read or written, records
 * become this side's own, and are made and opened without a copy. Nothing but these three is called from then on, and what
 * does not move bytes. Keys are renewed in time. -1: no memory, or not such a session; tls_session_reason() says which.
 */
int tls_session_begin_bulk(struct tls_session *s) MUST_CHECK;
/* Appends records to out. -1: no memory. */
int tls_session_seal(struct tls_session *s, const uint8_t *p, size_t n, struct buf *out) MUST_CHECK;
struct tls_rooms {
	uint8_t *raw, *plain; /* for what comes, and what it holds; the caller's, not needed between calls */
	size_t raw_n;         /* at least TLS_RAW_MIN */
	size_t plain_n;       /* at least as much */
};
#define TLS_RAW_MIN 17408
/* As much as there is or fits; *end: > 0 if there may be more, or a TLS_ code. */
size_t tls_session_unseal(struct tls_session *s, const struct tls_rooms *r, ssize_t *end);

void tls_session_shutdown(struct tls_session *s); /* sends close_notify if the handshake was done */
/* 0 and the peer's leaf, -1 if it showed none or it was not verified. */
int tls_session_peer(struct tls_session *s, struct cert_info *out);
/* What was agreed on by ALPN (RFC 7301); *n is 0: nothing. Borrowed. */
const char *tls_session_alpn(const struct tls_session *s, size_t *n);
const char *tls_session_version(const struct tls_session *s); /* "TLSv1.3" */
/* Bytes that only the two ends of this session can know (RFC 8446 section 7.5), for a use that the label names. */
int tls_session_export(struct tls_session *s, const char *label, uint8_t *out, size_t n) MUST_CHECK;
/* The peer does not trust the CA of our certificate; known with the first read of a client. */
bool tls_session_untrusted(const struct tls_session *s);
/* Why the last call answered TLS_FAILED or TLS_BAD_PEER: a static or per-session string. */
const char *tls_session_reason(struct tls_session *s);

#endif
