/*
 * quick_watch - looks after the mapping of a quick command while its agent runs. The agent knows its links only: that a quota
 * is used up, that somebody has switched the mapping off or deleted it, that a relay cannot serve it, is said here, at once
 * where controld pushes news and within moments else. What is final ends the command, as Ctrl-C does.
 *
 * That controld is away is no news: the tunnel goes on without it.
 *
 * Owner: quick_run(). A thread of its own, with calls of its own; it reads of q what does not change any more.
 */
#ifndef PORTWAY_CLIENT_COMMANDS_QUICK_WATCH_H
#define PORTWAY_CLIENT_COMMANDS_QUICK_WATCH_H

#include "client/api/failure.h"
#include "common/base/macros.h"

struct quick;
struct quick_watch;

/* With the signals of the calling thread blocked, as the new one gets none. -1: q->f says why. */
int quick_watch_start(struct quick_watch **out, struct quick *q) MUST_CHECK;
/* Ends it (takes NULL). 0, or -1 and *f without a message: what it found was final, and was said. */
int quick_watch_stop(struct quick_watch *w, struct failure *f) MUST_CHECK;

#endif
