/*
 * nng_tls - nng's TLS transport (tls+tcp://) on our own TLS sessions: TLS 1.3, Ed25519, and the peer's identity.
 *
 * nng hands an engine a configuration piece by piece (PEM texts, mode); this glue builds a tls_ctx from it. What nng's
 * interface cannot say (a CA fingerprint, a revocation check) travels beside it, see nng_tls.c.
 *
 * Thread: nng_tls_register() once, before any other use of nng's TLS; the rest any.
 */
#ifndef PORTWAY_NNG_NNG_TLS_H
#define PORTWAY_NNG_NNG_TLS_H

#include "common/base/macros.h"
#include "common/crypto/cert.h"
#include "common/crypto/tls.h"

#include <nng/nng.h>

struct err;

int nng_tls_register(struct err *e) MUST_CHECK;

/*
 * Sets `conf` (copied) on a dialer or listener that is not started. After this call the context is fixed; a new
 * certificate needs a listener with a slot or, on the relay, a new link process.
 */
int nng_tls_set_dialer(nng_dialer d, const struct tls_conf *conf, struct err *e) MUST_CHECK;
int nng_tls_set_listener(nng_listener l, const struct tls_conf *conf, struct err *e) MUST_CHECK;

/*
 * What a listener's connections are made with; ref-counted. A change counts for those that come after it, and the others go
 * on with what they have: certificates of a listener change without closing it.
 */
struct nng_tls_slot;
int nng_tls_slot_new(struct nng_tls_slot **out, const struct tls_conf *conf, struct err *e) MUST_CHECK;
int nng_tls_slot_change(struct nng_tls_slot *s, const struct tls_conf *conf, struct err *e) MUST_CHECK;
void nng_tls_slot_unref(struct nng_tls_slot *s); /* takes NULL */
/*
 * Nobody is let in any more; when it returns, accept_peer is not running and will not be called again. nng_close() alone does not
 * say that: a handshake may outlive it. Changes ask whom nng_tls_slot_new() was told to ask. Takes NULL.
 */
void nng_tls_slot_shut(struct nng_tls_slot *s);
/* On a listener that is not started; it takes a reference of its own. */
int nng_tls_set_listener_slot(nng_listener l, struct nng_tls_slot *slot, struct err *e) MUST_CHECK;

/* A dialer's error when the peer does not trust the CA of its certificate. */
#define NNG_TLS_UNTRUSTED NNG_EPERM

/* The verified peer of a pipe: 0, or -1 when it showed no certificate. Also works in pipe callbacks. */
int nng_tls_peer(nng_pipe p, struct cert_info *out);

#endif
