/*
 * polls - the parked polls: one per relay, answered when the relay has something newer, when it is asked something, or
 * after wait_ms. A newer poll of the same relay frees the older at once.
 *
 * Snapshots that take more than one small message go to few relays at a time; the others wait, parked, for their turn,
 * and are told to come back later when their wait ends first.
 *
 * A request is a handle of the caller's: it leaves by `answer` or `drop`, exactly once, also when the relay is forgotten
 * or all is freed.
 *
 * Owner: fleet. Thread: the fleet thread. No sockets; time is passed in (monotonic ms).
 */
#ifndef PORTWAY_CONTROLD_FLEET_LINE_POLLS_H
#define PORTWAY_CONTROLD_FLEET_LINE_POLLS_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct asks;
struct buf;
struct err;
struct model;
struct msg_poll;
struct polls;

struct polls_ops {
	void (*answer)(void *owner, void *request, const struct buf *message);
	void (*drop)(void *owner, void *request);
};

struct polls_conf {
	uint64_t wait_ms;       /* 25000 */
	uint32_t snapshots_max; /* at once; 4 */
	uint64_t fetch_ms;      /* a relay has this long to ask for its next page; 10000 */
	uint64_t
		behind_max; /* a relay whose revision is older by this many changes is moved on though nothing is new */
	const struct polls_ops *ops;
	void *owner;
};

int polls_new(
	struct polls **out, const struct polls_conf *c, struct model *m, struct asks *a, struct err *e) MUST_CHECK;
void polls_free(struct polls *p);

/* Where the relay is placed (node.placed_seq); before its first request, and when it changes. */
struct polls_place {
	const char *node;
	const char *group;
	uint64_t placed;
};
void polls_request(
	struct polls *p, const struct polls_place *where, const struct msg_poll *m, void *request, uint64_t now_ms);
bool polls_is_parked(const struct polls *p, const char *node);
/* The model has moved: answers whoever has something newer. */
void polls_wake(struct polls *p, uint64_t now_ms);
/* The relay may have something: it is asked, or placed elsewhere. where->group NULL: placed as before. */
void polls_wake_node(struct polls *p, const struct polls_place *where, uint64_t now_ms);
/* The connection that brought this request is gone. */
void polls_lost(struct polls *p, const char *node, const void *request, uint64_t now_ms);
/* The relay is revoked. */
void polls_forget(struct polls *p, const char *node, uint64_t now_ms);
/* Answers what has waited long enough; when to call again. */
uint64_t polls_tick(struct polls *p, uint64_t now_ms);

struct polls_stats {
	uint64_t parked;   /* now */
	uint64_t fetching; /* snapshots now */
	uint64_t deltas, snapshots, pages, nothings, laters, superseded, bytes;
};
void polls_stats(const struct polls *p, struct polls_stats *out);

#endif
