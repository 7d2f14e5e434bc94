/*
 * report - MSG_REPORT, relay -> controld on the report line: heartbeat, state, and cumulative counters by boot.
 *
 * One message carries counters of one boot file (several messages if there are more or they do not fit). A boot's
 * reports are numbered from 1 and sent in order: number n + 1 is first sent when n was acknowledged as stored. A report
 * sent again has the same number. Values are totals since the boot, so storing one twice or skipping one changes
 * nothing once the next is stored.
 */
#ifndef PORTWAY_PROTO_REPORT_H
#define PORTWAY_PROTO_REPORT_H

#include "common/base/cursor.h"
#include "proto/backend_state.h"
#include "proto/client_state.h"
#include "proto/msg.h"
#include "proto/node_state.h"

#include <stdbool.h>

/* X(name, what): counters of one mapping, in the order of the wire and of the shared-mapped file. Append only. */
#define METER_COUNTERS(X)                                                                   \
	X(bytes_in, "bytes that clients sent in and the target's kernel took")              \
	X(bytes_out, "bytes that clients' kernel took from the target")                     \
	X(packets_in, "datagrams from clients passed on")                                   \
	X(packets_out, "datagrams passed back to clients")                                  \
	X(opened, "connections or sessions accepted")                                       \
	X(closed, "connections or sessions ended")                                          \
	X(refused_limit, "refused: connection or session limit of the mapping")             \
	X(refused_source, "refused: limit or rate of the source address")                   \
	X(refused_cidr, "refused: allow or deny list")                                      \
	X(refused_proxy, "refused: bad or missing PROXY header")                            \
	X(refused_dial, "target could not be reached or may not be dialled")                \
	X(refused_resource, "refused: descriptors, or a share of them, or memory")          \
	X(dropped_in, "datagrams from clients dropped (rate, queue, target's socket)")      \
	X(dropped_out, "datagrams to clients dropped (rate, queue, amplification)")         \
	X(timed_out, "ended by a time-out of ours, or to make room for a new session")      \
	X(reset, "connections ended by a reset of either side")                             \
	X(refused_down, "refused: no agent here has a target that works, no backend is up") \
	X(refused_quota, "refused or cut: the owner's quota is used up")                    \
	X(connected, "connections whose target was reached")                                \
	X(connect_us, "microseconds from dialling those targets until they were, in sum")   \
	X(refused_login, "refused: no login, or a wrong one (SOCKS5)")                      \
	X(refused_destination, "refused: where to is not on the mapping's list (SOCKS5)")   \
	X(refused_protocol, "refused: not what the mapping's protocol says (SOCKS5)")       \
	X(requests, "HTTP requests")                                                        \
	X(answers_2xx, "answers of 200 to 299")                                             \
	X(answers_3xx, "answers of 300 to 399")                                             \
	X(answers_4xx, "answers of 400 to 499")                                             \
	X(answers_5xx, "answers of 500 to 599")                                             \
	X(retries, "requests sent again, to another target")                                \
	X(answer_us, "microseconds from sending requests until their answers began, in sum")

enum meter_counter {
#define X(name, what) METER_##name,
	METER_COUNTERS(X)
#undef X
		METER_COUNTERS_N
};

struct meter_row {
	uint64_t slot; /* number of the allocation within the boot, never used for another object */
	char object[PROTO_ID_SIZE];
	uint64_t value[METER_COUNTERS_N];
};

#define NODE_AGENTS_SIZE 264 /* a host name, a port, and NUL */

struct node_load {
	char version[32];
	uint64_t uptime_s;
	uint32_t workers;
	uint32_t fds, fds_max; /* in use, hard limit */
	uint32_t connections;  /* TCP connections and UDP sessions now */
	uint32_t mappings;     /* objects that serve */
	uint32_t cpu_permille; /* of one core, since the last report */
	uint64_t rss_bytes;
	uint32_t loop_lag_us;          /* worst worker, since the last report */
	char agents[NODE_AGENTS_SIZE]; /* host:port where agents connect; "": it takes none */
	uint16_t http_port, tls_port;  /* where clients reach mappings by host name; 0: there is none */
	char name[PROTO_NAME_SIZE];    /* what the relay calls itself */
};
void node_load_put(struct buf *b, const struct node_load *l);
void node_load_get(struct cursor *c, struct node_load *l);

struct msg_report {
	char boot[PROTO_ID_SIZE]; /* whose counters; "" in a pure heartbeat */
	uint64_t number;
	bool last; /* the boot's process is dead and this is all that was left */
	struct node_load load;
	struct node_state state;
	struct client_states clients;
	struct backend_states backends;
	uint32_t n_rows;
	struct cursor rows; /* borrowed; walk a copy with msg_report_next() */
};

/* Writer: the head with its rows counted later; each row; end. */
void msg_report_begin(struct buf *b, const struct msg_report *head, size_t *count_at);
void msg_report_row(struct buf *b, const struct meter_row *row);
void msg_report_end(struct buf *b, size_t count_at, uint32_t n_rows);
int msg_report_decode(struct msg_report *m, const void *p, size_t n) MUST_CHECK; /* then msg_report_fini() */
bool msg_report_next(struct cursor *it, struct meter_row *out);
void msg_report_fini(struct msg_report *m); /* the lists */

struct msg_report_ack {
	char boot[PROTO_ID_SIZE];
	uint64_t stored; /* highest report number of this boot that is on disk */
	bool forget;     /* `last` was stored: the boot file may be removed */
};
void msg_report_ack_encode(const struct msg_report_ack *m, struct buf *b);
int msg_report_ack_decode(struct msg_report_ack *m, const void *p, size_t n) MUST_CHECK;

#endif
