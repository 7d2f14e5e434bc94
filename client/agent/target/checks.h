/*
 * checks - the targets that relays want to be watched: each is tried from time to time, and every link that asked is told when
 * it goes down or comes up. What several links and relays ask alike is tried once.
 *
 * Owner: the agent. Thread: the worker's.
 * Limit: CHECKS_MAX wishes of all links; what comes beyond is not watched, and its relay goes on without.
 */
#ifndef PORTWAY_CLIENT_AGENT_TARGET_CHECKS_H
#define PORTWAY_CLIENT_AGENT_TARGET_CHECKS_H

#include "common/base/list.h"

#include <stdbool.h>
#include <stddef.h>

#define CHECKS_MAX 4096

struct buf;
struct frame_check;
struct sessions;
struct tunnel_link;
struct worker;

struct checks {
	struct worker *worker;
	const struct sessions *sessions; /* whose allow list holds here as well */
	struct list all;                 /* struct check */
	size_t n_wishes;
};

void checks_init(struct checks *all, struct worker *w, const struct sessions *sessions);
void checks_fini(struct checks *all);
/* A CHECK frame of this link. */
void checks_take(struct checks *all, struct tunnel_link *l, const struct frame_check *c);
/* It is going: it is told nothing any more. */
void checks_leave(struct checks *all, const struct tunnel_link *l);
/* The members of an array that is open. */
void checks_print(const struct checks *all, struct buf *b);

#endif
