/*
 * refusal - the last words to a client whose connection is not served: a small page, or a TLS alert.
 */
#ifndef PORTWAY_RELAYD_VHOST_REFUSAL_H
#define PORTWAY_RELAYD_VHOST_REFUSAL_H

#include "relayd/stream/farewell.h"
#include "relayd/vhost/opening.h"

#include <stdint.h>

struct refusal {
	const uint8_t *p;
	size_t n; /* 0: nothing is said */
};

/* Of an opening that leads nowhere; protocol: MAPPING_HTTP or MAPPING_TLS. OPENING_FOUND: but nobody has that name. */
struct refusal refusal_of_opening(uint8_t protocol, enum opening_kind kind);
/* Of a connection that its mapping could not serve. */
struct refusal refusal_of_farewell(uint8_t protocol, enum farewell why);

#endif
