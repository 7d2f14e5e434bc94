/*
 * nng_close - closing a socket of nng 1.5, which can wait for ever when a TLS connection of it is just being made.
 *
 * Thread: any but nng's own.
 */
#ifndef PORTWAY_NNG_NNG_CLOSE_H
#define PORTWAY_NNG_NNG_CLOSE_H

#include "common/base/macros.h"

#include <nng/nng.h>
#include <stdint.h>

/* 0: closed, nng knows nothing of it any more. -1: not within that time; it and all that its callbacks use must stay as
 * they are until the process ends. */
int nng_close_within(nng_socket socket, uint64_t ms) MUST_CHECK;

#endif
