/*
 * lb_actor - who changes something of the balancer, for which request, when.
 */
#ifndef PORTWAY_CONTROLD_BALANCER_LB_ACTOR_H
#define PORTWAY_CONTROLD_BALANCER_LB_ACTOR_H

#include <stdint.h>

struct lb_actor {
	const char *name;
	const char *request_id; /* "" for none */
	int64_t now_ms;
};

#endif
