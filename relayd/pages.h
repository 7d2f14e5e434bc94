/*
 * pages - what the admin address says: /metrics for Prometheus, /health and /ready as JSON.
 *
 * Pure over a view that app fills when a page is asked for. Thread: control thread.
 */
#ifndef PORTWAY_RELAYD_PAGES_H
#define PORTWAY_RELAYD_PAGES_H

#include "proto/report.h"
#include "relayd/filter/access_log.h"
#include "relayd/http/http_conf.h"
#include "relayd/loop/service.h"
#include "relayd/loop/workers.h"
#include "relayd/tunnel/agents.h"
#include "relayd/uplink.h"
#include "relayd/vhost/front.h"

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct meter;

struct pages_view {
	struct node_load load;
	struct service_stats services;
	struct worker_looks looks;
	struct agent_counts agents;
	struct access_log_counts access_log;
	struct pages_front {
		const char *name;
		bool open; /* the relay has it */
		struct front_counts counts;
	} fronts[FRONTS_N];
	struct http_counts http; /* of routes */
	struct uplink_state uplink;
	struct proto_revision revision;
	uint64_t objects, refusals;
	uint64_t cpu_ns;
	uint64_t series_max; /* mappings with series of their own */
	const struct meter *meter;
	bool takes_agents, has_snapshot, draining, snapshot_not_saved;
};

void pages_metrics(const struct pages_view *v, struct buf *out);
unsigned pages_health(const struct pages_view *v, struct buf *out); /* the HTTP status */
unsigned pages_ready(const struct pages_view *v, struct buf *out);

#endif
