/*
 * client_hello - the server name (SNI, RFC 6066) in the first bytes of a TLS connection, which stays encrypted.
 *
 * Pure: bytes in, answer out. The ClientHello may lie in any number of records (RFC 8446 5.1). It is looked at once it is whole,
 * so the answer does not depend on how the bytes came in.
 */
#ifndef PORTWAY_RELAYD_VHOST_CLIENT_HELLO_H
#define PORTWAY_RELAYD_VHOST_CLIENT_HELLO_H

#include "relayd/vhost/opening.h"

#define CLIENT_HELLO_MAX      (16 * 1024) /* of one message */
#define CLIENT_HELLO_WIRE_MAX (32 * 1024) /* with the heads of its records */

/* OPENING_MORE, _FOUND (out->host "": a name that nobody can have), _NO_HOST, _BAD, _ALIEN. out->want is set with MORE. */
enum opening_kind client_hello_read(struct opening *out, const uint8_t *p, size_t n);

#endif
