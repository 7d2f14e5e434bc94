/*
 * spares - links to a relay that stand ready for one connection each: for each of the relay's lanes as many as it asks for.
 *
 * Owner:  relay embeds it. Thread: the worker's.
 * Ends:   as the relay's other links: spares_retire() or spares_close(), and spares_are_over() after on_change.
 */
#ifndef PORTWAY_CLIENT_AGENT_RELAY_SPARES_H
#define PORTWAY_CLIENT_AGENT_RELAY_SPARES_H

#include "common/base/list.h"

#include <stdbool.h>

struct relay;

struct spares {
	struct list uplinks; /* ready, in use, or on their way */
	unsigned failures;   /* in a row */
};

void spares_init(struct spares *s);
/* New ones for those that were taken or lost, as the relay's ordinary links ask for. */
void spares_settle(struct relay *r);
void spares_greet_again(struct spares *s);
void spares_retire(struct spares *s, const char *why);
void spares_close(struct spares *s, const char *why);
bool spares_are_over(const struct spares *s);
/* Ready ones, and those in use. */
void spares_count(const struct spares *s, unsigned *ready, unsigned *busy);

#endif
