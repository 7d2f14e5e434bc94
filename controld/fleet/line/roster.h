/*
 * roster - the nodes as controld knows them right now: who may come in, who is online, what each runs and reports.
 *
 * Filled from the rows (roster_put, again whenever the change log names the node), kept alive by what the line hears.
 * A node is online from its first word on and offline offline_ms after its last. What a node said before this process
 * started is not known: it is not online then, but if it was when it was written down, it has offline_ms to come back
 * before that makes an event.
 *
 * Of several controlds on one database the one that a node polls has it *here*; it alone says how the node stands, and
 * the others take its word (roster_peer_state). The first poll brings a node here, wherever it was. Who has it is told as
 * lost has what it had awaited: each node has offline_ms to turn up elsewhere.
 *
 * Owner:  fleet.
 * Thread: the fleet thread changes it, any reads copies (one lock inside). Time is passed in.
 */
#ifndef PORTWAY_CONTROLD_FLEET_LINE_ROSTER_H
#define PORTWAY_CONTROLD_FLEET_LINE_ROSTER_H

#include "common/base/macros.h"
#include "common/base/rand.h"
#include "controld/fleet/line/asks.h"
#include "controld/fleet/node.h"
#include "proto/node_state.h"
#include "proto/report.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cert_info;
struct err;
struct roster;

/* A copy of what is known about one node. */
struct roster_node {
	struct node row;         /* seen_ms, online, address and relay_version as they are now */
	bool known;              /* heard of since this process started; the rest means nothing before */
	bool here;               /* it polls this controld */
	bool claim;              /* that is not written down yet */
	char peer[RAND_ID_SIZE]; /* if it is not here: the controld that has it, or had it last; "": none */
	struct proto_revision applied;
	uint64_t serial;
	uint64_t wanted;  /* newest revision that concerns it */
	uint32_t refused; /* objects that cannot work there */
	bool loaded;      /* it has reported its load */
	struct node_load load;
};

struct roster_serials { /* serial numbers of certificates, cert_info.serial */
	char (*items)[48];
	size_t n;
};

int roster_new(struct roster **out, uint64_t offline_ms, struct err *e) MUST_CHECK;
void roster_free(struct roster *r);
/* The row as it is now, and which of its certificates are refused (copied). */
int roster_put(struct roster *r, const struct node *row, const struct roster_serials *refused, uint64_t now_ms,
	struct err *e) MUST_CHECK;
void roster_remove(struct roster *r, const char *id);
/* Of all nodes; malloc'ed. */
int roster_ids(struct roster *r, char (**out)[PROTO_ID_SIZE], size_t *n, struct err *e) MUST_CHECK;

/* ---- any thread --------------------------------------------------------------------------------------------------- */
bool roster_admits(struct roster *r, const struct cert_info *cert, uint64_t now_ms);
bool roster_get(struct roster *r, const char *id, struct roster_node *out); /* whether there is such a node */
/* The nodes online in a group ("" = all groups), or this one node of it; malloc'ed. */
int roster_online(struct roster *r, const char *group, const char *node, struct asks_node **out, size_t *n,
	struct err *e) MUST_CHECK;
/* *n: nodes of a group that are online, or were and may come back. fn, with the lock held: each that has not confirmed seq. */
void roster_behind(struct roster *r, const char *group, uint64_t seq, void (*fn)(const char *name, void *arg),
	void *arg, size_t *n);
/* The port for host names that one of the online nodes of a group (node "": any) tells; 0: none. */
uint16_t roster_shared_port(struct roster *r, const char *group, const char *node, bool tls);
/* Those that have joined, and how many of them are online. */
void roster_count(struct roster *r, size_t *nodes, size_t *online);

/* ---- what the line hears ------------------------------------------------------------------------------------------ */
/* A word of the node, which is here from now on; true when it was offline until now. */
bool roster_heard(struct roster *r, const char *id, const char *address, uint64_t now_ms, int64_t wall_ms);
/* How it stands. ROSTER_OLD: a newer word is there already, and nothing changes. */
enum roster_took { ROSTER_OLD, ROSTER_SAME, ROSTER_NEW };
enum roster_took roster_state(struct roster *r, const char *id, const struct node_state *s, uint64_t now_ms);
/* Its report. Whether the others are to be told: where it is reached or what it runs is new, or it was long ago. */
bool roster_load(struct roster *r, const char *id, const struct node_load *load, uint64_t now_ms, int64_t wall_ms);

/* Sets `wanted` of every node that has joined; fn only looks up. */
void roster_want(struct roster *r, uint64_t (*fn)(const struct node *row, void *arg), void *arg);
uint64_t roster_lag(const struct roster_node *n); /* how far it is behind, in numbers of the change log */

/* ---- what other controlds say ------------------------------------------------------------------------------------- */
/* Another controld has it, and is alive as far as we know. */
bool roster_is_elsewhere(struct roster *r, const char *id);
/* The node is at that controld, and stands so. False when it is not that one's business. */
bool roster_peer_state(struct roster *r, const char *id, const char *peer, bool online, const struct node_state *s);
/* Somebody else heard it, who has it not. */
void roster_peer_heard(struct roster *r, const char *id, uint64_t now_ms);
/* It reports to another one. at: its address; "": not known there. */
void roster_peer_load(struct roster *r, const char *id, const char *at, int64_t seen_ms, const struct node_load *load);
void roster_peer_lost(struct roster *r, const char *peer, uint64_t now_ms);
/* Nobody was listening until now: that was no silence, and each node has offline_ms to be heard, here or by another. */
void roster_forgive(struct roster *r, uint64_t now_ms);
/* There are other controlds than before: who could not reach one of those may reach these. */
void roster_may_leave_again(struct roster *r);
/* How many are here, how many are online in all, how many that were sent away from here came straight back. */
void roster_spread(struct roster *r, size_t *here, size_t *online, size_t *came_back);
/* Some of those that are here are not admitted before until_ms (monotonic); their ids, at most `most`. The same one is not
 * chosen again before another controld has had it. */
size_t roster_send_away(struct roster *r, uint64_t until_ms, char (*ids)[PROTO_ID_SIZE], size_t most);
/* Calls fn with the lock held: it only copies. state: encoded. */
typedef void (*roster_state_fn)(const char *id, bool online, const void *state, size_t n, void *arg);
void roster_states(struct roster *r, const char *id, roster_state_fn fn, void *arg); /* NULL: all that are here */
bool roster_has_claims(struct roster *r);
typedef void (*roster_fn)(const struct roster_node *n, void *arg);
void roster_loads(struct roster *r, roster_fn fn, void *arg); /* for each that reports here; without the lock */
/* Calls fn, without the lock, for each node that has just gone offline. */
void roster_tick(struct roster *r, uint64_t now_ms, roster_fn fn, void *arg);
/* Calls fn, without the lock, for each node that was heard of or went offline since the last call. */
void roster_flush(struct roster *r, roster_fn fn, void *arg);

#endif
