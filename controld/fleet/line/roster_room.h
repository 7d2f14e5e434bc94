/*
 * roster_room - the inside of the roster: what roster.c (rows, questions, what the line hears, walks) and roster_peers.c
 * (what other controlds say) share. Private to the two; what is called here has the lock.
 */
#ifndef PORTWAY_CONTROLD_FLEET_LINE_ROSTER_ROOM_H
#define PORTWAY_CONTROLD_FLEET_LINE_ROSTER_ROOM_H

#include "common/base/buf.h"
#include "common/base/map.h"
#include "controld/fleet/line/roster.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct roster_entry {
	struct roster_node node;
	struct roster_serials refused;
	uint64_t heard_ms; /* monotonic; of the last word, or when we began to wait for the first */
	bool awaited;      /* online here, or was when it was written down or its controld was lost */
	struct buf state;  /* encoded, for the other controlds */
	uint64_t confirmed_ms;
	uint64_t told_ms; /* when the others were to be told of its load; 0: it reports to one of them, or never did */
	bool dirty;       /* to be written down */
	bool sent_away;   /* by this controld, and no other has had it since */
	uint64_t closed_ms; /* ... and it is not admitted before */
};

struct roster {
	pthread_mutex_t lock;
	uint64_t offline_ms;
	struct map nodes; /* by id */
	size_t online, claims;
};

void roster_set_online(struct roster *r, struct roster_entry *n, bool online);
void roster_take_state(struct roster_entry *n, const struct node_state *s);
void roster_take_load(struct roster_entry *n, const struct node_load *load, int64_t seen_ms);

#endif
