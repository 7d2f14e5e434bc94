/*
 * sm - checked moves of a state machine: a const table says which states may follow which.
 *
 *	static const struct sm_state dial_states[] = {
 *		[DIAL_IDLE] = { "idle", BIT(DIAL_CONNECTING) | BIT(DIAL_CLOSING) }, ...
 *	};
 * Only x_move() of the owning file writes the state; it calls sm_move().
 */
#ifndef PORTWAY_BASE_SM_H
#define PORTWAY_BASE_SM_H

#include "common/base/macros.h"

#include <assert.h>

struct sm_state {
	const char *name;
	unsigned next; /* BIT() of every state that may follow */
};

static inline void sm_move(const struct sm_state *table, int *state, int to)
{
	assert(table[*state].next & BIT(to));
	*state = to;
}

#endif
