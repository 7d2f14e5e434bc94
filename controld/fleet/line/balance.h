/*
 * balance - relays that go over to another controld when this one has more than its share: after one was away all of its
 * relays are at the others, and would stay there.
 *
 * Nothing moves until the same controlds were there for `after_ms` and no crowd has come meanwhile, as it does from one that
 * has died and is not yet missed; then a few at a time, until the rest is near the share.
 * A relay that comes straight back cannot reach the others: it is not sent again, and when several did nobody is. Its
 * connections do not notice; it asks another controld for news.
 *
 * Pure: time is passed in, and what there is. Owner: the line. Thread: the fleet thread.
 */
#ifndef PORTWAY_CONTROLD_FLEET_LINE_BALANCE_H
#define PORTWAY_CONTROLD_FLEET_LINE_BALANCE_H

#include "common/base/macros.h"

#include <stddef.h>
#include <stdint.h>

#define BALANCE_STEP_MS 5000  /* between two steps */
#define BALANCE_AWAY_MS 10000 /* one that was sent away is not let in before */

struct balance {
	uint64_t after_ms; /* 0: never */
	size_t controlds;  /* that there were, this one among them, */
	size_t least;      /* relays that were here, the least */
	uint64_t since_ms; /* since then */
	uint64_t next_ms;
};

struct balance_view {
	size_t controlds;
	size_t here, online; /* relays that poll this one, and all that are online */
	size_t came_back;    /* of those that were sent away from here */
};

/* How many are to go now. */
size_t balance_step(struct balance *b, const struct balance_view *v, uint64_t now_ms);

#endif
