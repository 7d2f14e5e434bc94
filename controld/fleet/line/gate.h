/*
 * gate - how often strangers may try to join: a token bucket per address and one for all. IPv6 counts by /64; this
 * machine itself only counts in all.
 *
 * Owner: fleet. Thread: the fleet thread. Time is passed in.
 */
#ifndef PORTWAY_CONTROLD_FLEET_LINE_GATE_H
#define PORTWAY_CONTROLD_FLEET_LINE_GATE_H

#include "common/base/macros.h"
#include "common/net/addr.h"

#include <stdbool.h>
#include <stdint.h>

struct err;
struct gate;

#define GATE_ADDRESSES_MAX 4096 /* remembered at once; beyond that new ones wait */

struct gate_conf {
	uint32_t per_address; /* joins per second and at once */
	uint32_t total;
};

int gate_new(struct gate **out, const struct gate_conf *c, uint64_t now_ns, struct err *e) MUST_CHECK;
void gate_free(struct gate *g);
/* Whether this address may try now; if not, *retry_ms says when. */
bool gate_admits(struct gate *g, const struct addr *from, uint64_t now_ns, uint32_t *retry_ms);

#endif
