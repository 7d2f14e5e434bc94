/*
 * nng_handshakes - TLS connections of nng that have not finished their handshake, and an end for those that never will.
 *
 * nng 1.5 gives the negotiation of a connection 10 s, but its time-out does not reach a TLS session that waits for the
 * peer's first bytes: a stranger who says nothing would keep its descriptor for ever. The engine (nng_tls.c) enters each
 * connection here; whoever listens sheds, about once a second.
 *
 * Owner: nng owns the connections; an entry is part of one. Thread: any.
 */
#ifndef PORTWAY_NNG_NNG_HANDSHAKES_H
#define PORTWAY_NNG_NNG_HANDSHAKES_H

#include "common/base/list.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct nng_handshake {
	struct list link; /* unlinked: never begun, finished and found to be, or shed */
	void *stream;     /* nng's */
	uint64_t since_ms;
	atomic_bool done;
};

void nng_handshake_begin(struct nng_handshake *h, void *stream);
/* May be called with nng's lock of the connection held. */
void nng_handshake_done(struct nng_handshake *h);
/* nng frees the connection; h may also be all zero. */
void nng_handshake_end(struct nng_handshake *h);

/* Closes those begun before that time (monotonic), and of the others the oldest ones beyond `most`. Answers how many. */
size_t nng_handshakes_shed(uint64_t before_ms, size_t most);

#endif
