/*
 * lb_adaptive - adaptive_ai: the choice by requests in flight and probed latency, after "Load is not what you should balance:
 * introducing Prequal" (Wydrowski et al., NSDI'24).
 *
 * A worker keeps a few probes, answers to small requests that are sent for it (relayd/http/exchange_probe.c), away from any
 * client's way. A choice looks at these alone: a target is hot if more is in flight there than at most others; of the cold ones
 * the fastest is taken, if all are hot the one with the least in flight. So latency decides while nobody is crowded, and
 * crowding when somebody is. Probes are few (16) and young (a second); where there are more targets, they are used a few times
 * at most, and for every second that is answered the oldest or the worst goes, by turns. One is sent for each choice, but no
 * more than 1,000 a second: then each may be used more often, by how many choices there were for one.
 *
 * Owner:  a worker's own part of a set; the sender of probes asks for them and reports here, on the worker's thread.
 */
#ifndef PORTWAY_RELAYD_LB_LB_ADAPTIVE_H
#define PORTWAY_RELAYD_LB_LB_ADAPTIVE_H

#include "relayd/lb/lb_set.h"

#define LB_PROBE_APART_NS UINT64_C(20000000) /* between two probes of a worker to one target */

/* A worker's probe of one target: one at a time. */
struct lb_probing {
	bool out; /* it is waited for */
	uint64_t sent_ns;
};

/* Whom to probe now, or NULL: as many probes are wanted as there were choices, and a few to begin with. */
struct upstream *lb_adaptive_probe(const struct lb_set *s, void *own, const struct lb_ask *ask);
/* A probe was answered. others: in flight there that are not this relay's, if the target says so; else 0. */
void lb_adaptive_probed(void *own, struct upstream *u, uint64_t latency_ns, uint32_t others, uint64_t now_ns);
/* A probe is out for so long already: what comes later cannot be better. */
void lb_adaptive_waits(void *own, struct upstream *u, uint64_t waited_ns, uint64_t now_ns);
/* A probe failed: what was known of that target counts no more. */
void lb_adaptive_lost(void *own, const struct upstream *u);

/* May one be sent to it now? No: one is out, or was a moment ago. */
static inline bool lb_probing_may(const struct lb_probing *p, uint64_t now_ns)
{
	return !p->out && (p->sent_ns == 0 || now_ns - p->sent_ns >= LB_PROBE_APART_NS);
}

#endif
