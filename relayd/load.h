/*
 * load - how busy this relay is, for heartbeats and metrics.
 *
 * Owner: app. Thread: control thread.
 */
#ifndef PORTWAY_RELAYD_LOAD_H
#define PORTWAY_RELAYD_LOAD_H

#include "proto/report.h"

struct load {
	uint64_t started_ms; /* monotonic */
	uint64_t looked_ns;  /* monotonic: when the CPU time was last read */
	uint64_t cpu_ns;
	uint32_t cpu_permille;
};

void load_init(struct load *l);
/* The share of one core since the last call; shorter than a tenth of a second, it repeats the last answer. */
uint32_t load_cpu_permille(struct load *l);
uint64_t load_uptime_s(const struct load *l);
uint64_t load_rss_bytes(void);
uint64_t load_cpu_ns(void); /* of the whole process since its start */

#endif
