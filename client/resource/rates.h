/*
 * rates - how fast the counters of mappings rise between two looks at them; the busiest first.
 *
 * Owner: the command. Time is given, so that tests have it in their hands.
 */
#ifndef PORTWAY_CLIENT_RESOURCE_RATES_H
#define PORTWAY_CLIENT_RESOURCE_RATES_H

#include "common/base/macros.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct rates;

struct rates_total {
	size_t tunnels, active, failed; /* by status */
	int64_t connections;
	int64_t in, out, opened; /* per second */
};

int rates_new(struct rates **out) MUST_CHECK; /* -1: no memory */
void rates_free(struct rates *r);

/* One look: begin, each mapping as the API prints it, end. What was not added is forgotten. */
void rates_begin(struct rates *r, uint64_t now_ms);
int rates_add(struct rates *r, const json_t *mapping) MUST_CHECK; /* -1: no memory */
void rates_end(struct rates *r);

const struct rates_total *rates_total(const struct rates *r);
size_t rates_count(const struct rates *r);
/* The mapping with "rate": {"in", "out", "opened"} (per second) and "connect_us" (to the target, on average); borrowed until the next begin. */
const json_t *rates_at(const struct rates *r, size_t i);

#endif
