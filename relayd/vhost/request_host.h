/*
 * request_host - the host that the first request of an HTTP/1 connection is for.
 *
 * Pure: bytes in, answer out. The head is looked at once it is whole, or REQUEST_HEAD_MAX bytes of it are there, so the answer
 * does not depend on how the bytes came in. It is strict where two readers could take the same bytes for different hosts
 * (RFC 9112 3.2, 5.1, 5.2): what it refuses, no service behind it has to make sense of.
 */
#ifndef PORTWAY_RELAYD_VHOST_REQUEST_HOST_H
#define PORTWAY_RELAYD_VHOST_REQUEST_HOST_H

#include "relayd/vhost/opening.h"

#define REQUEST_HEAD_MAX (8 * 1024)

/* OPENING_MORE, _FOUND (out->host "": a host that nobody can have), _BAD, _HTTP2. out->want is set with MORE. */
enum opening_kind request_host_read(struct opening *out, const uint8_t *p, size_t n);

#endif
