/*
 * verdict - whether something that is tried from time to time is up: the first try decides alone, afterwards it takes
 * some in a row.
 *
 * Owner: whoever embeds it. Pure: time and tries are the caller's.
 */
#ifndef PORTWAY_NET_VERDICT_H
#define PORTWAY_NET_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

enum verdict_is { VERDICT_UNKNOWN, VERDICT_UP, VERDICT_DOWN };

struct verdict {
	uint8_t is;     /* enum verdict_is */
	uint32_t turns; /* results in a row that speak against it */
};

/* One result; rise and fall: how many in a row make it up, or down. True if that changed it. */
bool verdict_hear(struct verdict *v, bool good, uint32_t rise, uint32_t fall);

#endif
