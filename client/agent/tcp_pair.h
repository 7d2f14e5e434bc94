/*
 * tcp_pair - a stream of a link and a socket, and the bytes between them, each way by itself: an end is passed on as an
 * end, a reset as a reset.
 *
 * Owner:  a session embeds it. Thread: the worker's.
 * Ends:   on_end tells that it is over (both ways ended, or one broke); tcp_pair_close() lets go of both ends at once.
 */
#ifndef PORTWAY_CLIENT_AGENT_TCP_PAIR_H
#define PORTWAY_CLIENT_AGENT_TCP_PAIR_H

#include "common/uv/flow.h"
#include "common/uv/side.h"
#include "common/uv/worker.h"

#include <stdbool.h>

enum { PAIR_STREAM, PAIR_SOCKET };       /* sides */
enum { PAIR_TO_SOCKET, PAIR_TO_STREAM }; /* ways */

struct tcp_pair;
/* reset: one of the ends has not ended by itself. The owner closes the pair. */
typedef void (*tcp_pair_end_fn)(struct tcp_pair *p, bool reset);

struct tcp_pair {
	struct side side[2];
	struct flow flow[2];
	struct flow_way *ways; /* of each */
	struct worker *worker;
	tcp_pair_end_fn on_end;
	void (*on_opened)(struct tcp_pair *p); /* before it was started: the far end may be there; NULL: not asked */
	struct task task;                      /* another turn; after tcp_pair_close(): the owner's */
	bool flows;                            /* both ends are there, and bytes may pass */
};

void tcp_pair_init(struct tcp_pair *p, struct worker *w, struct flow_way ways[2], tcp_pair_end_fn on_end);
/* The socket; takes fd. -1: no memory for its events. */
int tcp_pair_set_socket(struct tcp_pair *p, int fd) MUST_CHECK;
/* From now on bytes pass. on_end may be called before it returns. */
void tcp_pair_start(struct tcp_pair *p);
void tcp_pair_close(struct tcp_pair *p, bool reset);

#endif
