/*
 * watch - a list looked at again and again: what was there, what is new, changed, gone. It goes on through trouble of the
 * network, and ends when the credentials are refused, the reader goes away, or the one object that is watched is gone.
 */
#ifndef PORTWAY_CLIENT_RESOURCE_WATCH_H
#define PORTWAY_CLIENT_RESOURCE_WATCH_H

#include "client/resource/pages.h"
#include "common/base/macros.h"

#include <stdbool.h>
#include <stdint.h>

struct failure;
struct feed;
struct view;

/* Hands every object to fn: 0, fn's value, or -1 with *f. *complete: none was left out. */
typedef int (*watch_fetch_fn)(void *arg, pages_fn fn, void *fn_arg, bool *complete, struct failure *f);

struct watch_conf {
	watch_fetch_fn fetch;
	void *arg;
	struct view *view;    /* with events */
	struct feed *feed;    /* says when to look; NULL: only time does */
	uint64_t interval_ms; /* to look besides, while the feed is live */
	uint64_t blind_ms;    /* and while it is not */
	bool until_gone;      /* ends when nothing is left */
	unsigned rounds;      /* 0: for ever */
	const char *who;      /* begins a complaint */
};

/* 0 when it has come to its end; -1 with *f. */
int watch_run(const struct watch_conf *conf, struct failure *f) MUST_CHECK;

#endif
