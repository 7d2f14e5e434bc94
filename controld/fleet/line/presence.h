/*
 * presence - writes down who was heard of and who came or went: events into the change log, last-seen rows beside it,
 * at most every PRESENCE_MS and all in one transaction.
 *
 * Each node's row says which controld has it, and only that one writes there: two controlds make one event of what both
 * of them see, and one that was away for a while writes nothing old. What cannot be written (a full disk) is tried again; meanwhile at most PRESENCE_EVENTS_MAX events are kept.
 *
 * Owner:  fleet. Thread: the fleet thread; the transaction runs on the worker.
 * Ends:   presence_free(), when the worker has ended.
 */
#ifndef PORTWAY_CONTROLD_FLEET_LINE_PRESENCE_H
#define PORTWAY_CONTROLD_FLEET_LINE_PRESENCE_H

#include "common/base/macros.h"

#include <stdint.h>

struct err;
struct mailbox;
struct pool;
struct presence;
struct roster;
struct roster_node;
struct store;

#define PRESENCE_MS         5000
#define PRESENCE_EVENTS_MAX 8192

struct presence_conf {
	struct store *store;
	struct pool *worker;
	struct mailbox *mailbox;
	struct roster *roster;
	const char *self; /* controlds.id; borrowed */
};
int presence_new(struct presence **out, const struct presence_conf *c, struct err *e) MUST_CHECK;
void presence_free(struct presence *p);
/* The node has gone; written as soon as may be. That one has come is in the roster's claims. */
void presence_offline(struct presence *p, const struct roster_node *n);
/* About once a second. */
void presence_tick(struct presence *p, uint64_t now_ms);
uint64_t presence_lost(const struct presence *p); /* events that found no room */

#endif
