/*
 * opening - what the first bytes of a connection say about whom it is for.
 */
#ifndef PORTWAY_RELAYD_VHOST_OPENING_H
#define PORTWAY_RELAYD_VHOST_OPENING_H

#include "common/net/host_name.h"

#include <stddef.h>
#include <stdint.h>

enum opening_kind {
	OPENING_MORE,    /* cannot be said yet */
	OPENING_FOUND,   /* for opening.host */
	OPENING_NO_HOST, /* it names no host */
	OPENING_BAD,     /* against the rules of the protocol */
	OPENING_ALIEN,   /* another protocol altogether */
	OPENING_HTTP2,   /* without TLS, by prior knowledge */
};

struct opening {
	char host[HOST_NAME_SIZE]; /* "": nobody's: an address, or a name that no mapping can hold */
	size_t want;               /* MORE: with fewer bytes than so many the answer will be the same */
};

#endif
