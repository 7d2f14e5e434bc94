/*
 * watch - what the other controlds on the same database do: their commits, and messages from them.
 *
 * Where a database can have several controlds, a connection of its own listens. A commit of another one that appended to the
 * change log wakes the readers of changes_on_commit(), as a commit of one's own does; should a wake-up be lost, the end
 * of the log is looked at every second. Where there can be one controld only, nothing happens, and messages go nowhere.
 *
 * Messages go to all that listen, in the order of their commits, at most once. on_gap: some may have been lost, in either
 * direction; always once after the start.
 *
 * Owner:  app. Thread: watch_send() and watch_stats() any; the functions run on the watch's own.
 * Ends:   watch_free() sends what waits, if it can, and joins the thread.
 */
#ifndef PORTWAY_CONTROLD_STORE_WATCH_H
#define PORTWAY_CONTROLD_STORE_WATCH_H

#include "common/base/macros.h"
#include "controld/store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct watch;

#define WATCH_AWAY_MS       10000
#define WATCH_AWAY_AGAIN_MS 60000

struct watch_ops {
	void (*on_message)(void *owner, const char *from, const void *p, size_t n);
	void (*on_gap)(void *owner);
	/* The database cannot be reached from here for WATCH_AWAY_MS, and again every WATCH_AWAY_AGAIN_MS. */
	void (*on_away)(void *owner);
	/* Another one committed changes of these kinds, "user,mapping"; NULL: of any. */
	void (*on_kinds)(void *owner, const char *kinds);
};

/* self: id of this run, also in store_set_origin(); ops and self are borrowed. */
int watch_new(struct watch **out, struct store *store, const char *self, struct err *e) MUST_CHECK;
int watch_start(struct watch *w, const struct watch_ops *ops, void *owner, struct err *e) MUST_CHECK;
void watch_stop(struct watch *w); /* no function runs afterwards; again is fine */
void watch_free(struct watch *w);
/* Never waits. What cannot be sent within seconds is dropped, and told by on_gap. */
void watch_send(struct watch *w, const void *p, size_t n);
bool watch_shared(const struct watch *w); /* there may be other controlds */
/* Deletes messages that everybody has had. */
int watch_clean(struct store *store, int64_t now_ms, struct err *e) MUST_CHECK;

struct watch_stats {
	uint64_t sent, received, dropped, reconnects, wakes, missed; /* missed: found by looking, not by a wake-up */
};
void watch_stats(struct watch *w, struct watch_stats *out);

extern const struct sql_table watch_sql;

#endif
