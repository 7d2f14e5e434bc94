/*
 * feed - the news that something has changed, pushed by controld (GET /api/v1/events), for commands that look again then.
 *
 * It says that there is something to look for, not what: who looks sees it all, whatever was missed while the stream was away.
 * Where there is no stream (an older controld, no right to it, too many) only time passes, and commands look as often as that.
 *
 * Owner: the command; one thread. The stream is begun by the first feed_wait(), and again whenever it ends.
 */
#ifndef PORTWAY_CLIENT_API_FEED_H
#define PORTWAY_CLIENT_API_FEED_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stdint.h>

struct api;
struct err;
struct feed;

/* kinds: of objects, "mapping,client"; "" all; NULL: there is no stream, only time passes. Borrows a. */
int feed_open(struct feed **out, struct api *a, const char *kinds, struct err *e) MUST_CHECK;
void feed_close(struct feed *f); /* takes NULL */

/*
 * Until something has changed (true), or the time is over: live_ms while the stream stands, blind_ms while it does not. f may be
 * NULL: then blind_ms pass.
 */
bool feed_wait(struct feed *f, uint64_t live_ms, uint64_t blind_ms);
/* Until the time is over, whatever has changed; the next feed_wait() tells of it. */
void feed_pause(struct feed *f, uint64_t ms);
/* From any thread: ends the waiting there is, and all that comes. */
void feed_interrupt(struct feed *f);

#endif
