/*
 * sessions - everything that relays have made this agent connect to: who may come in, how many, and what passed.
 *
 * Owner: the agent. Thread: the worker's.
 */
#ifndef PORTWAY_CLIENT_AGENT_TARGET_SESSIONS_H
#define PORTWAY_CLIENT_AGENT_TARGET_SESSIONS_H

#include "common/base/list.h"
#include "common/base/macros.h"
#include "common/net/rate.h"
#include "common/uv/flow.h"
#include "common/uv/slab.h"
#include "common/uv/stock.h"

#include <stdbool.h>
#include <stdint.h>

struct allow;
struct frame_open;
struct agent_session;
struct tunnel_link;
struct udp_batch;
struct worker;

struct sessions_limits {
	uint64_t streams, udp_sessions;
	uint64_t dial_timeout_ms, udp_idle_ms;
};

/* X(name, text): counters, as the status prints them. */
#define SESSIONS_COUNTERS(X)                                                 \
	X(BYTES_IN, "bytes_in")   /* to targets */                           \
	X(BYTES_OUT, "bytes_out") /* from targets */                         \
	X(DATAGRAMS_IN, "datagrams_in")                                      \
	X(DATAGRAMS_OUT, "datagrams_out")                                    \
	X(DROPPED, "datagrams_dropped")                                      \
	X(TCP, "tcp_opened")                                                 \
	X(UDP, "udp_opened")                                                 \
	X(RESET, "tcp_reset") /* by either end */                            \
	X(DENIED, "refused_not_allowed")                                     \
	X(FULL, "refused_limit")                                             \
	X(LEAVING, "refused_leaving")                                        \
	X(NOT_REACHED, "target_not_reached")                                 \
	X(VISIT_IN, "visit_bytes_in")   /* to who came in at this machine */ \
	X(VISIT_OUT, "visit_bytes_out") /* from him */                       \
	X(VISITS, "visits_opened")                                           \
	X(VISIT_FAILED, "visits_not_served")                                 \
	X(VISIT_DROPPED, "visit_datagrams_dropped")

enum sessions_counter {
#define X(name, text) SESSIONS_##name,
	SESSIONS_COUNTERS(X)
#undef X
		SESSIONS_COUNTERS_N
};

enum { WAY_IN, WAY_OUT }; /* to the target, from it */

struct sessions_ops {
	/* A session of this link has ended. */
	void (*on_ended)(void *arg, struct tunnel_link *l);
	/* A TCP target was dialled; why NULL: it was reached. */
	void (*on_dialled)(void *arg, const char *host, uint16_t port, const char *why);
};

struct sessions {
	struct worker *worker;
	const struct sessions_ops *ops;
	void *arg;
	struct allow *allow;
	struct sessions_limits limits;
	bool closed; /* none may come in any more */
	struct list tcp;
	struct list udp; /* the one that was silent longest first */
	uint64_t n_tcp, n_udp;
	struct slab tcp_slab, udp_slab;
	struct udp_batch *batch; /* NULL: there was no datagram yet */
	struct flow_way way[2];
	struct rate rate; /* none: limits are the relay's */
	struct stock stock;
	uint64_t told_ns; /* of the last refusal that was logged; */
	uint64_t untold;  /* those since then were only counted */
	uint64_t *cells;  /* = counters */
	uint64_t counters[SESSIONS_COUNTERS_N];
};

void sessions_init(struct sessions *all, struct worker *w, const struct sessions_ops *ops, void *arg);
/* They have all ended. */
void sessions_fini(struct sessions *all);
void sessions_set_limits(struct sessions *all, const struct sessions_limits *limits);
/* Takes the reference. Sessions to what is not allowed any more are cut. */
void sessions_set_allow(struct sessions *all, struct allow *allow);
/* From now on the relay is told to ask another agent. */
void sessions_close(struct sessions *all);
void sessions_cut_all(struct sessions *all);
uint64_t sessions_now(const struct sessions *all);

/* tunnel_link_ops.on_open */
void sessions_open(struct sessions *all, struct tunnel_link *l, uint32_t id, const struct frame_open *o);

/* ---- for a session ------------------------------------------------------------------------------------------------ */
const struct allow *sessions_allow(const struct sessions *all);
const struct sessions_limits *sessions_limits(const struct sessions *all);
void sessions_enter(struct sessions *all, struct agent_session *s);
void sessions_leave(struct sessions *all, struct agent_session *s);
void sessions_count(struct sessions *all, enum sessions_counter c);
/* Counts what could not be had, and logs it: once a second at most, as strangers decide how often it happens. */
void sessions_note(struct sessions *all, enum sessions_counter c, const char *host, uint16_t port, const char *reason);
const char *sessions_counter_name(enum sessions_counter c);

#endif
