/*
 * agents - the service behind tunnels through NAT: agents connect here, and streams to their targets are opened on their links.
 *
 * Owner:  engine. Thread: control thread, but for agents_find() and agents_tell(), which run on a worker.
 * Ends:   as every service (relayd/loop/service.h).
 */
#ifndef PORTWAY_RELAYD_TUNNEL_AGENTS_H
#define PORTWAY_RELAYD_TUNNEL_AGENTS_H

#include "common/base/macros.h"
#include "common/tunnel/frame.h"
#include "relayd/loop/service.h"

#include <stdbool.h>
#include <stdint.h>

struct agent_table;
struct agents;
struct client_gate;
struct client_states;
struct err;
struct mux;
struct task;
struct worker;

struct agents_conf {
	const char *listen;        /* address:port; borrowed */
	const char *proxies;       /* rules (common/net/allow.h): web servers in front that say who asks; borrowed */
	uint64_t handshakes_per_s; /* of the whole relay */
	uint64_t
		guests_max; /* connections that have not begun TLS, of one worker; and as many that have, and not greeted */
	uint32_t ping_ms;    /* for clients that set no heartbeat */
	uint32_t backoff_ms; /* longest that an agent waits between two attempts */
	uint32_t reserve;    /* links for one connection at a time that an agent has ready, for each worker */
	uint64_t links_max;  /* of one client, all its agents and workers together */
	/* Some came or went: agents_states() is another one. */
	void (*on_change)(void *arg);
	void *arg;
};

/* Each counts up; of one worker, or the sum of all. */
struct agent_counts {
	uint64_t accepted;       /* connections */
	uint64_t evicted;        /* that said nothing and gave way to others, or took too long */
	uint64_t junk;           /* that did not begin as a link does */
	uint64_t gave_up;        /* that ended before their turn had come */
	uint64_t crowded;        /* from an address that had its share of them */
	uint64_t delayed;        /* that waited for the rate of handshakes */
	uint64_t greeted;        /* links that came up */
	uint64_t refused;        /* whose greeting was refused */
	uint64_t over;           /* of these, as the client had links_max of them */
	uint64_t failed;         /* whose TLS or greeting failed */
	uint64_t taken_over;     /* instances that a later run took the place of */
	uint64_t links;          /* now */
	uint64_t streams;        /* opened; */
	uint64_t alone;          /* of these, on a link of their own */
	uint64_t not_alone;      /* that would have had one, and none was ready */
	uint64_t no_link;        /* streams that could not be: the client has no agent here */
	uint64_t visits;         /* streams that agents asked for, of mappings from their own machine; */
	uint64_t not_theirs;     /* and of others, which were refused */
	uint64_t failed_streams; /* whose agent did not reach the target; some were sent to another one */
	uint64_t lent;           /* bytes, now: that windows of streams from agents have grown by; */
	uint64_t short_of;       /* times that there was not enough of it left; */
	uint64_t narrowed;       /* and that some was taken back from an idle stream */
	uint64_t untold;         /* links whose coming or going is not in the log, as there were too many at once */
};

int agents_new(struct agents **out, struct service *service, const struct service_env *env,
	const struct agents_conf *conf, struct err *e) MUST_CHECK;
/* Who this relay is, from now on: PEM texts, copied. */
int agents_set_identity(struct agents *a, const char *node, const char *cert, const char *ca, const char *key,
	struct err *e) MUST_CHECK;
/* The agents that are here, for a report; items are borrowed until the next call. */
void agents_states(struct agents *a, struct client_states *out);
void agents_counts(const struct agents *a, struct agent_counts *out);

enum agents_answer {
	AGENTS_HERE, /* a link to open a stream on, now */
	AGENTS_WAIT, /* `wait` runs when it is worth asking again */
	AGENTS_DOWN, /* agents are here, and the target works at none of them */
	AGENTS_SHUT, /* the client's config does not let the port through */
	AGENTS_NONE, /* there is no such client, it may not, or no agent is here that was not tried */
};

#define AGENTS_TRIES_MAX 4
/* Agents that one connection was sent to in vain; the last one may still be at it. */
struct agents_tried {
	uint32_t agent[AGENTS_TRIES_MAX];
	uint8_t n;
};

/* A stream that somebody wants; all borrowed. */
struct agents_ask {
	const char *client, *mapping;
	uint16_t port; /* there */
	bool alone;    /* on a link of its own, if one is ready */
	struct task *wait;
	const struct agents_tried *tried;
};
struct agents_found {
	struct mux *link;
	uint32_t agent; /* for agents_tried, and agents_tell() */
	bool zip;       /* its client wants everything compressed */
	bool others;    /* if this one cannot reach the target, there is another to be asked */
};

/* Of this worker, for what belongs to tunnel/. */
struct agent_table *agents_table(struct agents *a, const struct worker *w);
/* What all connections of a client share on this relay; a reference. Any thread; NULL: out of memory. */
struct client_gate *agents_gate(struct agents *a, const char *client);
/* A link to an agent of a client. */
enum agents_answer agents_find(
	struct agents *a, const struct worker *w, const struct agents_ask *ask, struct agents_found *out);
/* Whether the last agent of ask->tried reached the target. */
void agents_tell(struct agents *a, const struct worker *w, const struct agents_ask *ask, bool reached);

#endif
