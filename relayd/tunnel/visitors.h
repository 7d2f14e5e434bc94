/*
 * visitors - who stands at the agents' door of one worker: whose turn it is, and who gives way when it is crowded. Pure.
 *
 * A handshake is real work, so there is a rate of them, and turns go round by address (an IPv6 /64 is one): who comes with a
 * thousand connections has the same share as an agent with one. Addresses from which an agent was let in lately come first, so
 * that those who are at home get in whatever strangers do; but every fourth turn is a stranger's, whatever those at home do. An
 * address may have a part of all places; beyond it, and when all are taken, those give way that have been silent longest.
 *
 * Owner: the door. Thread: the worker's.
 */
#ifndef PORTWAY_RELAYD_TUNNEL_VISITORS_H
#define PORTWAY_RELAYD_TUNNEL_VISITORS_H

#include "common/base/list.h"
#include "common/base/macros.h"
#include "common/base/map.h"

#include <stdbool.h>
#include <stdint.h>

struct addr;
struct friends;
struct visitor_source;

#define VISITORS_SHARE     8 /* one address has at most this part of the places, */
#define VISITORS_SHARE_MIN 4 /* or so many */
#define VISITORS_IN_A_ROW  3 /* turns of known addresses, before a stranger's */

struct visitor {
	struct list in_order;  /* the silent ones, oldest first */
	struct list in_source; /* the silent or the speaking ones of its address */
	struct visitor_source *source;
};

struct visitors {
	struct map sources;
	struct list silent;           /* visitors */
	struct list known, strangers; /* addresses with somebody who speaks, in the order of their turns */
	struct friends *friends;
	unsigned n, max;
	unsigned in_a_row; /* turns of known addresses while strangers waited */
};

void visitors_init(struct visitors *v, unsigned max, struct friends *friends);
void visitors_fini(struct visitors *v); /* they have all left */

/*
 * One more from there: true if it may come in, after *victim (if there is one) has left.
 */
bool visitors_may_enter(struct visitors *v, const struct addr *from, struct visitor **victim);
int visitors_enter(struct visitors *v, struct visitor *one, const struct addr *from) MUST_CHECK;
void visitors_leave(struct visitors *v, struct visitor *one);
/* It wants something, and waits for its turn. */
void visitors_speak(struct visitors *v, struct visitor *one);
/* Whose turn it is; its address is last from now on. NULL: nobody's. */
struct visitor *visitors_next(struct visitors *v);
bool visitors_waiting(const struct visitors *v);
struct visitor *visitors_oldest(struct visitors *v); /* of the silent; NULL: none */

#endif
