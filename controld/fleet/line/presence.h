/*
 * presence - writes down who was heard of and who came or went: events into the change log, last-seen rows beside it,
 * at most every PRESENCE_MS and all in one transaction.
 *
 * What cannot be written (a full disk) is tried again; meanwhile at most PRESENCE_EVENTS_MAX events are kept.
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
struct node;
struct pool;
struct presence;
struct roster;
struct store;

#define PRESENCE_MS         5000
#define PRESENCE_EVENTS_MAX 8192

int presence_new(struct presence **out, struct store *store, struct pool *worker, struct mailbox *mailbox,
	struct roster *roster, struct err *e) MUST_CHECK;
void presence_free(struct presence *p);
/* The node came (n->online) or went; written as soon as may be. */
void presence_event(struct presence *p, const struct node *n);
/* About once a second. */
void presence_tick(struct presence *p, uint64_t now_ms);
uint64_t presence_lost(const struct presence *p); /* events that found no room */

#endif
