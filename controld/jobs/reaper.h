/*
 * reaper - gives back the jobs of controlds that have died.
 *
 * A holder lives as long as its beat rises; how long it has not is told by our own clock, so clocks are never compared.
 * Where there can be one controld only, whoever else holds something is dead.
 *
 * Owner, thread: the keeper.
 */
#ifndef PORTWAY_CONTROLD_JOBS_REAPER_H
#define PORTWAY_CONTROLD_JOBS_REAPER_H

#include "common/base/macros.h"
#include "common/base/rand.h"
#include "controld/store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define REAPER_HOLDERS_MAX 64

struct reaper {
	struct reaper_seen {
		char holder[RAND_ID_SIZE];
		int64_t beat;
		uint64_t since_ms;
		bool there; /* at the last look */
	} seen[REAPER_HOLDERS_MAX];
	size_t n;
};

struct reaper_conf {
	struct store *store;
	const char *self;
	bool shared;
	uint64_t lease_ms;
};

/* *given_back: how many jobs. now_ms: monotonic. */
int reaper_look(
	struct reaper *r, const struct reaper_conf *c, uint64_t now_ms, unsigned *given_back, struct err *e) MUST_CHECK;
/* Gives back jobs of this holder that `mine` does not claim, with its lease. */
int reaper_give_back(struct store *store, const char *holder, bool (*mine)(const char *id, int64_t lease, void *arg),
	void *arg, unsigned *given_back, struct err *e) MUST_CHECK;

#endif
