/*
 * anonymous - the door for those without an account: a client of a tenant of their own, within what the settings give.
 *
 * Off unless the settings open it. Whoever comes gets a client with a secret and tokens; it ends by itself, on the relays
 * as well, and what is left goes with the next clean-up.
 */
#ifndef PORTWAY_CONTROLD_CLIENTS_ANONYMOUS_H
#define PORTWAY_CONTROLD_CLIENTS_ANONYMOUS_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stdint.h>

struct anonymous;
struct err;
struct route_table;
struct store;

#define ANONYMOUS_TENANT "anonymous"

struct anonymous_conf {
	bool enabled;
	uint32_t per_hour;        /* clients that one address may make in an hour */
	uint32_t clients_max;     /* of all at once */
	uint32_t connections_max; /* of one client, on each relay */
	uint64_t bandwidth;       /* bytes/s of one client, on each relay */
	uint64_t lifetime_ms;
};

/* The tenant of those who come, if the door is open and there is none yet. */
int anonymous_bootstrap(const struct anonymous_conf *conf, struct store *store, struct err *e) MUST_CHECK;

#endif
