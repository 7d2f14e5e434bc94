/*
 * lookout - targets that could not be reached: each is tried again until it answers, and the agent is told when one is away
 * and when it is there again.
 *
 * What connections find says how a target is; only one that is away is knocked at besides, so a service that works is left
 * alone. TCP only: UDP has nothing that answers a knock.
 *
 * Owner: the agent. Thread: the worker's.
 * Limit: LOOKOUT_MAX targets; one beyond is not followed. One that nobody asked for in 10 minutes is forgotten.
 */
#ifndef PORTWAY_CLIENT_AGENT_TARGET_LOOKOUT_H
#define PORTWAY_CLIENT_AGENT_TARGET_LOOKOUT_H

#include "common/base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOOKOUT_MAX 64

struct buf;
struct sessions;
struct worker;

/* Borrowed for the call. */
struct lookout_news {
	const char *host;
	uint16_t port;
	const char *why; /* it cannot be reached; NULL: it can */
};

/* never inside a call of the owner but lookout_heard() */
typedef void (*lookout_fn)(void *arg, const struct lookout_news *news);

struct lookout {
	struct worker *worker;
	const struct sessions *sessions; /* whose allow list holds here as well */
	struct list all;                 /* struct watched */
	size_t n;
	lookout_fn on_change;
	void *arg;
};

void lookout_init(
	struct lookout *l, struct worker *w, const struct sessions *sessions, lookout_fn on_change, void *arg);
void lookout_fini(struct lookout *l);
/* A connection found it like this; why NULL: it was reached. */
void lookout_heard(struct lookout *l, const char *host, uint16_t port, const char *why);
/* Tries it now, before anybody comes; it is told of either way, and not forgotten while it is away. */
void lookout_try(struct lookout *l, const char *host, uint16_t port);
/* The members of an array that is open: those that are away. */
void lookout_print(const struct lookout *l, struct buf *b);

#endif
