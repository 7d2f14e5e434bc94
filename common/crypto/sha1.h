/*
 * sha1 - only for the handshake of WebSockets (RFC 6455 section 4.2.2), where it is no protection but a proof of having understood.
 *
 * Thread: any; no state.
 */
#ifndef PORTWAY_CRYPTO_SHA1_H
#define PORTWAY_CRYPTO_SHA1_H

#include "common/base/macros.h"

#include <stddef.h>
#include <stdint.h>

#define SHA1_SIZE 20

int sha1(uint8_t out[SHA1_SIZE], const void *p, size_t n) MUST_CHECK;
/* Standard base64 with padding (RFC 4648 section 4); out: 4 bytes for each 3 begun, and NUL. */
void sha1_base64(char *out, const uint8_t *p, size_t n);

#endif
