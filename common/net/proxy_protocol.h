/*
 * proxy_protocol - the PROXY protocol, versions 1 and 2, both directions (haproxy.org proxy-protocol.txt).
 *
 * Pure: bytes in, bytes out. The caller decides whether a peer is trusted to send one.
 */
#ifndef PORTWAY_NET_PROXY_PROTOCOL_H
#define PORTWAY_NET_PROXY_PROTOCOL_H

#include "common/base/macros.h"
#include "common/net/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROXY_V1_MAX  107         /* with CRLF */
#define PROXY_V2_MAX  (16 + 4096) /* longest header that is accepted, TLVs included */
#define PROXY_OUT_MAX 128         /* longest header that is made here */

struct proxy_header {
	bool local;      /* LOCAL or UNKNOWN: use the real peer */
	bool dgram;      /* v2 said DGRAM */
	struct addr src; /* len 0 when local */
	struct addr dst;
};

/*
 * Reads a v1 or v2 header at the front of p. >0: its length in bytes, *h filled; 0: incomplete, read more;
 * -1: not a PROXY header or malformed.
 */
int proxy_parse(struct proxy_header *h, const uint8_t *p, size_t n) MUST_CHECK;
/* Writes a header; number of bytes (<= PROXY_OUT_MAX). Mixed families are both written as IPv6. */
size_t proxy_write_v1(uint8_t dst[PROXY_OUT_MAX], const struct addr *src, const struct addr *to);
size_t proxy_write_v2(uint8_t dst[PROXY_OUT_MAX], const struct addr *src, const struct addr *to, bool dgram);

#endif
