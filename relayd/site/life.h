/*
 * life - the end of a thing that workers hold: when the last one lets go, the control thread frees it.
 *
 * A reference is one worker's, or the control thread's; who works with the thing on that worker is counted by the thing itself,
 * without atomics. So a request costs none.
 *
 * Owner: the service has one struct lives; things embed a struct life. Thread: life_unref() any; the rest: control thread.
 */
#ifndef PORTWAY_RELAYD_SITE_LIFE_H
#define PORTWAY_RELAYD_SITE_LIFE_H

#include "common/base/list.h"

#include <stdint.h>
#include <uv.h>

struct lives {
	uv_mutex_t lock;
	struct list over; /* under lock */
	uv_async_t *wake; /* sent when something is over; lives_reap() is called then. NULL: nobody waits */
};

struct life {
	struct lives *lives;
	uint32_t refs; /* atomic */
	struct list link;
	void (*free)(struct life *l);
};

void lives_init(struct lives *ls);
void lives_fini(struct lives *ls);
/* Frees what is over. */
void lives_reap(struct lives *ls);

/* refs: how many there are to begin with. */
void life_init(struct life *l, struct lives *lives, uint32_t refs, void (*free)(struct life *l));
void life_unref(struct life *l);

#endif
