/*
 * tls_store - the certificates of a server with many names, each within a realm, and the keys of its tickets.
 *
 * A realm is who a name belongs to, so that nobody's certificate is shown for a name of somebody else. For a name: those of that very
 * name, else those of the wildcard one label above it (RFC 6125 section 6.4.3); of several of one kind, the one that ends last.
 *
 * Owner:  references. It is filled by one thread and never changed once it is shared: a change is another store.
 * Thread: any.
 */
#ifndef PORTWAY_CRYPTO_TLS_STORE_H
#define PORTWAY_CRYPTO_TLS_STORE_H

#include "common/base/macros.h"
#include "common/crypto/tls_cert.h"

#include <stddef.h>
#include <stdint.h>

struct err;
struct tls_store;

#define TLS_STORE_TICKET_KEYS 8
#define TLS_TICKET_NAME       16
#define TLS_TICKET_KEY        32

/* Everybody who has it opens every ticket sealed with it (RFC 5077 section 4). */
struct tls_ticket_key {
	uint8_t name[TLS_TICKET_NAME];
	uint8_t cipher[TLS_TICKET_KEY]; /* AES-256-CBC */
	uint8_t mac[TLS_TICKET_KEY];    /* HMAC-SHA256 */
	int64_t from_ms, until_ms;      /* seals from then, opens until then; wall clock */
};

/* One of a name's certificates of each kind; NULL: none. */
struct tls_choice {
	struct tls_cert *of[TLS_CERT_KINDS];
};

int tls_store_new(struct tls_store **out, struct err *e) MUST_CHECK;
struct tls_store *tls_store_ref(struct tls_store *s);
void tls_store_unref(struct tls_store *s); /* NULL is fine */
/* name in lower case, or "*." and one. Takes a reference of the certificate. -1: out of memory. */
int tls_store_add(struct tls_store *s, const char *realm, const char *name, struct tls_cert *c) MUST_CHECK;
/* -1: there are TLS_STORE_TICKET_KEYS already. */
int tls_store_add_ticket_key(struct tls_store *s, const struct tls_ticket_key *k) MUST_CHECK;

/* Borrowed; NULL: no certificate of this name. */
const struct tls_choice *tls_store_find(const struct tls_store *s, const char *realm, const char *name);
/* The one that seals now: the latest that has begun; NULL: none. */
const struct tls_ticket_key *tls_store_sealing(const struct tls_store *s, int64_t now_ms);
/* The one of that name that still opens; NULL: none. */
const struct tls_ticket_key *tls_store_opening(
	const struct tls_store *s, const uint8_t name[TLS_TICKET_NAME], int64_t now_ms);

#endif
