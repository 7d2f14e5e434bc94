/*
 * gate - what all connections (or sessions) of one mapping share over the workers: who may come in, the rates, the meter.
 *
 * Owner:  a port. Thread: enter/leave by any worker; init, set and fini by the control thread, fini when no worker holds
 *         the port any more. The limits themselves come with the call, from the configuration that the worker runs.
 */
#ifndef PORTWAY_RELAYD_LIMIT_GATE_H
#define PORTWAY_RELAYD_LIMIT_GATE_H

#include "common/base/macros.h"
#include "common/net/rate.h"
#include "common/uv/fd_budget.h"
#include "relayd/meter/meter.h"

#include <stdbool.h>
#include <stdint.h>

struct addr;
struct mapping_conf;
struct source;
struct source_table;

enum gate_way { GATE_IN, GATE_OUT }; /* from clients to the target, and back */

struct gate {
	struct meter_slot slot;
	uint32_t now;                 /* atomic: connections in */
	struct fd_share fds;          /* of the process's descriptors, for its connections */
	struct rate rate[2];          /* enum gate_way */
	struct source_table *sources; /* NULL until a limit asks for it */
};

/* One that came in, or is about to, so that it can leave. */
struct gate_pass {
	bool in;
	struct source *source; /* NULL: without a limit on sources */
};

void gate_init(struct gate *g);
void gate_fini(struct gate *g);
/* The limits of a new configuration, before any worker has it. */
void gate_set(struct gate *g, const struct mapping_conf *conf, uint64_t now_ns);

/* By the allow and deny lists alone. */
bool gate_lists(const struct mapping_conf *conf, const struct addr *source);
/* Counts the connection as opened, or as refused by reason. */
bool gate_enter(struct gate *g, unsigned worker, const struct mapping_conf *conf, const struct addr *source,
	uint64_t now_ns, struct gate_pass *pass) MUST_CHECK;
/*
 * The same in two steps, for who can make room in between: who it is, then a place. Each counts a refusal; who does not
 * take the second step calls gate_leave().
 */
bool gate_admit(struct gate *g, unsigned worker, const struct mapping_conf *conf, const struct addr *source,
	uint64_t now_ns, struct gate_pass *pass) MUST_CHECK;
bool gate_take_place(struct gate *g, unsigned worker, const struct mapping_conf *conf, uint64_t now_ns,
	struct gate_pass *pass) MUST_CHECK;
bool gate_is_full(const struct gate *g, const struct mapping_conf *conf);
/* Counts it as closed if it was in; any pass is fine. */
void gate_leave(struct gate *g, unsigned worker, uint64_t now_ns, struct gate_pass *pass);
uint32_t gate_now(const struct gate *g);

#endif
