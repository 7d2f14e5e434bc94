/*
 * standing - how an agent stands with the targets of mappings: what it says of those that it checks, and what streams came to.
 *
 * A target that the agent says is down gets no streams by this link. One that could not be reached lately is doubted: others
 * are asked before it, for longer with each failure. What nothing is known of is good, and costs nothing.
 *
 * Owner:  a link. Thread: its worker's. No clock of its own.
 * Limit:  STANDINGS_MAX mappings; of more than that nothing is kept but what they say they are when they are asked.
 */
#ifndef PORTWAY_RELAYD_TUNNEL_STANDING_H
#define PORTWAY_RELAYD_TUNNEL_STANDING_H

#include "common/base/map.h"
#include "common/tunnel/frame.h"

#include <stdbool.h>
#include <stdint.h>

#define STANDINGS_MAX 4096

/* Whom to prefer: the lower. */
enum standing_rank { STANDING_GOOD, STANDING_UNTOLD, STANDING_DOUBTED, STANDING_DOWN };

struct standing {
	char mapping[FRAME_ID_SIZE];
	bool checked; /* the agent was asked to check it, and */
	bool told;    /* has said, */
	bool down;    /* this, */
	char reason[FRAME_REASON_SIZE];
	unsigned failures; /* in a row */
	uint64_t doubted_until_ns;
};

struct standings {
	struct map by_mapping;
};

void standings_init(struct standings *all);
void standings_fini(struct standings *all);
enum standing_rank standings_rank(const struct standings *all, const char *mapping, uint64_t now_ns);
/* Those that are doubted, one after the other; *it is 0 at first. NULL: no more. */
const struct standing *standings_next_doubted(const struct standings *all, size_t *it, uint64_t now_ns);
/* NULL: nothing is known of it. */
const struct standing *standings_get(const struct standings *all, const char *mapping);

/* A stream did, or did not, get through to its target. */
void standings_reached(struct standings *all, const char *mapping);
void standings_failed(struct standings *all, const char *mapping, uint64_t now_ns);

/* From now on the agent says. False: there is no room for one more. */
bool standings_check(struct standings *all, const char *mapping);
/* Whether that is news; false as well for what it was not asked. */
bool standings_say(struct standings *all, const char *mapping, bool up, const char *reason);
void standings_forget(struct standings *all, const char *mapping);

#endif
