/*
 * bus - how the fleet reaches the other controlds on its database: an interface, wired by app.
 *
 * A message goes to all others that are alive, in order, at most once; what was lost is noticed (fleet_peer(...GAP)) and
 * asked for again.
 */
#ifndef PORTWAY_CONTROLD_FLEET_BUS_H
#define PORTWAY_CONTROLD_FLEET_BUS_H

#include <stddef.h>

struct fleet_bus {
	void (*send)(void *self, const void *p, size_t n); /* any thread, never waits; NULL: there are no others */
	void *self;
};

#endif
