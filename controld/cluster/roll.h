/*
 * roll - which of the other controlds are alive: who has beaten since we looked last.
 *
 * Pure: no clock, no database. One is lost when its beat has stood still for ROLL_MISSES looks in a row; looks that could
 * not be made do not count, so that a database that is away makes nobody dead.
 *
 * Who is lost stays on the roll, silent, until its row goes: it may come back.
 *
 * Owner: cluster. Thread: one at a time.
 */
#ifndef PORTWAY_CONTROLD_CLUSTER_ROLL_H
#define PORTWAY_CONTROLD_CLUSTER_ROLL_H

#include "common/base/macros.h"
#include "common/base/rand.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ROLL_MISSES 5
#define ROLL_MAX    64 /* controlds; more are not watched */

struct roll {
	struct roll_entry {
		char id[RAND_ID_SIZE];
		int64_t beat;
		unsigned missed; /* looks in a row at the same beat */
		bool beats;      /* it was seen to: a row alone may be of one that was killed before we came */
		bool lost;
		uint64_t look; /* when its row was there last */
	} all[ROLL_MAX];
	size_t n;
	uint64_t look;
};

typedef void (*roll_lost_fn)(const char *id, void *arg);
void roll_begin(struct roll *r);                             /* of a look */
void roll_see(struct roll *r, const char *id, int64_t beat); /* each row that is there */
void roll_end(struct roll *r, roll_lost_fn lost, void *arg); /* told once: who has stood still, or left */
size_t roll_alive(const struct roll *r);

#endif
