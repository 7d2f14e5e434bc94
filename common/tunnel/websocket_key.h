/*
 * websocket_key - the question and answer in a WebSocket's handshake (RFC 6455 section 4): no protection, a proof of having understood.
 *
 * Thread: any; no state.
 */
#ifndef PORTWAY_TUNNEL_WEBSOCKET_KEY_H
#define PORTWAY_TUNNEL_WEBSOCKET_KEY_H

#include "common/base/macros.h"

#include <stddef.h>

#define WEBSOCKET_KEY  25 /* of 16 bytes in base64, with NUL */
#define WEBSOCKET_SIGN 29 /* of SHA-1 in base64, with NUL */

/* A new one, as a client names it in Sec-WebSocket-Key. */
void websocket_key_make(char key[WEBSOCKET_KEY]);
/* What the server has to answer in Sec-WebSocket-Accept. -1: this is no key. */
int websocket_key_sign(char out[WEBSOCKET_SIGN], const char *key, size_t n) MUST_CHECK;

#endif
