/*
 * mapping_cidrs - a list of address ranges as bodies have it: who may come in, what may be dialled.
 *
 * Owner: the struct that embeds it; the decoder mallocs the items. Zeroed, it is the empty list.
 */
#ifndef PORTWAY_PROTO_MAPPING_CIDRS_H
#define PORTWAY_PROTO_MAPPING_CIDRS_H

#include "common/net/cidr.h"

#include <stdint.h>

struct buf;
struct cursor;

#define MAPPING_CIDRS_MAX 256 /* entries of one list */

struct mapping_cidrs {
	struct cidr *items;
	uint32_t n;
};

void mapping_cidrs_put(struct buf *b, const struct mapping_cidrs *list);
/* Without memory, or with a range that is none, the cursor fails; what was read is released by mapping_cidrs_fini(). */
void mapping_cidrs_get(struct cursor *c, struct mapping_cidrs *list);
void mapping_cidrs_fini(struct mapping_cidrs *list);

#endif
