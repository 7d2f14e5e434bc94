/*
 * writer - the one thread that writes to a database: a queue of functions, several of them in one commit.
 *
 *	BEGIN;  SAVEPOINT; fn; RELEASE;  SAVEPOINT; fn; ROLLBACK TO;  ...  COMMIT;  then everybody is answered
 *
 * While one commit waits for the disk the next functions gather, so a group is as large as the load asks for. Logged
 * and operational functions wait in lines of their own and are taken in turn: a flood of reports cannot starve the API.
 *
 * Owner:  store. Thread: writer_run() any but the writer's own.
 * Ends:   writer_free() does what is queued, then joins the thread.
 */
#ifndef PORTWAY_CONTROLD_STORE_WRITER_H
#define PORTWAY_CONTROLD_STORE_WRITER_H

#include "controld/store/db.h"
#include "controld/store/store.h"

struct writer;

struct writer_conf {
	unsigned group_max;
	unsigned queue_max;
	uint64_t wait_ms;
};

/* Takes db in every case. */
int writer_new(struct writer **out, struct db *db, const struct writer_conf *conf, struct err *e) MUST_CHECK;
void writer_free(struct writer *w);
int writer_run(struct writer *w, enum store_class class, store_fn fn, void *arg, struct err *e) MUST_CHECK;
/* fn(last sequence) on the writer's thread, or on writer_tell()'s, after each commit that appended to the change log, before the answers. */
void writer_on_commit(struct writer *w, void (*fn)(int64_t last_seq, void *arg), void *arg);
/* After it has returned, the function registered with this arg is not called any more. */
void writer_off_commit(struct writer *w, const void *arg);
/* Calls those functions: another program has committed. */
void writer_tell(struct writer *w, int64_t last_seq);
/* Adds to the counters of *out. */
void writer_stats(struct writer *w, struct store_stats *out);
/* The last commit found no room on the disk. */
bool writer_disk_full(struct writer *w);

#endif
