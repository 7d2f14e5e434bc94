/*
 * source - where a stranger comes from, as far as shares are counted by it: an IPv4 address, or the /64 of an IPv6 one.
 */
#ifndef PORTWAY_CONTROLD_FLEET_LINE_SOURCE_H
#define PORTWAY_CONTROLD_FLEET_LINE_SOURCE_H

#include "common/net/addr.h"

#include <stdbool.h>
#include <stdint.h>

struct source {
	uint8_t key[9]; /* family, then the address or the first half of it; compared as bytes */
};

struct source source_of(const struct addr *from);
/* This machine: a proxy here shows every stranger with an address of ours, so shares do not hold. */
bool source_is_here(const struct addr *from);

#endif
