/*
 * parks - the calls that wait for a key to be woken or for their time to be over. What handlers see of it is park.h.
 *
 * Owner:  the server. Thread: any, but parks_new/free.
 */
#ifndef PORTWAY_CONTROLD_REST_PARKS_H
#define PORTWAY_CONTROLD_REST_PARKS_H

#include "common/base/macros.h"
#include "controld/rest/park.h"

#include <stdbool.h>
#include <stddef.h>

struct call;
struct err;
struct loop;

/* resume(call): hand it to a worker, which will finish it. Called without locks, on any thread. */
int parks_new(
	struct parks **out, struct loop *loop, size_t max, void (*resume)(struct call *c), struct err *e) MUST_CHECK;
/* Nothing waits any more: parks_close() came before, and what it resumed has ended. */
void parks_free(struct parks *p);
/*
 * A call whose reply asked to be parked. true: it waits, and may be running again already: do not touch it. false: it
 * must be finished now, because its key was woken meanwhile, there is no room, or the end is near.
 */
bool parks_add(struct parks *p, struct call *c);
/* Resumes all; from now on nothing waits. */
void parks_close(struct parks *p);

struct parks_stats {
	size_t waiting; /* now */
	uint64_t full;  /* how often a call had to be finished at once because too many waited */
};
void parks_stats(struct parks *p, struct parks_stats *out);

#endif
