/*
 * lb_adaptive - adaptive_ai: the choice by requests in flight and probed latency, after "Load is not what you should balance:
 * introducing Prequal" (Wydrowski et al., NSDI'24).
 *
 * A worker keeps a few probes, answers to small requests that it sends by itself, away from any client's way. A choice looks
 * at these alone: a target is hot if more is in flight there than at most others; of the cold ones the fastest is taken,
 * if all are hot the one with the least in flight. So latency decides while nobody is crowded, and crowding when
 * somebody is. Probes are few, young and used a few times at most: each choice drops the oldest or the worst.
 *
 * Owner:  a worker's own part of a set; the sender of probes asks for them and reports here, on the worker's thread.
 */
#ifndef PORTWAY_RELAYD_LB_LB_ADAPTIVE_H
#define PORTWAY_RELAYD_LB_LB_ADAPTIVE_H

#include "relayd/lb/lb_set.h"

/* Whom to probe now, or NULL: as many probes are wanted as there were choices, and a few to begin with. */
struct upstream *lb_adaptive_probe(const struct lb_set *s, void *own, const struct lb_ask *ask);
/* A probe was answered. others: in flight there that are not this relay's, if the target says so; else 0. */
void lb_adaptive_probed(void *own, struct upstream *u, uint64_t latency_ns, uint32_t others, uint64_t now_ns);

#endif
