/*
 * upkeep - what is done to a whole database from outside: lock, copy, restore, erase. What `controld db` calls.
 *
 * All of it works on the URL, not on an open store. Restoring and erasing are only for who holds the lock.
 */
#ifndef PORTWAY_CONTROLD_STORE_UPKEEP_H
#define PORTWAY_CONTROLD_STORE_UPKEEP_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

typedef int (*upkeep_progress_fn)(uint64_t done, uint64_t total, void *arg);

/*
 * Who serves from a database holds it together with the others that the database can have, and who changes it as a
 * whole has it alone; ERR_LOCKED when that cannot be. Ends with the program, too.
 */
struct upkeep_lock;
int upkeep_lock(struct upkeep_lock **out, const char *url, bool alone, struct err *e) MUST_CHECK;
void upkeep_unlock(struct upkeep_lock *l); /* takes NULL */
/*
 * A consistent copy as one file, whole or not at all; others may be using the database meanwhile. Of either database it
 * is an SQLite file, which can be restored to either. Samples are not part of it.
 */
int upkeep_backup(const char *url, const char *file, upkeep_progress_fn fn, void *arg, struct err *e) MUST_CHECK;
/*
 * Replaces the database by a copy that was checked: every page, and that this program knows its migrations. The
 * restored one gets a new log id, so that relays and readers of the change log start afresh.
 */
int upkeep_restore(const char *url, const char *file, upkeep_progress_fn fn, void *arg, struct err *e) MUST_CHECK;
/* Removes the database, or its samples; 0 as well when there is none. */
int upkeep_erase(const char *url, bool samples, struct err *e) MUST_CHECK;

struct upkeep_copy {
	const char *from, *from_samples; /* URLs; they are the same where one database holds both */
	const char *to, *to_samples;
	bool replace; /* what is in the target goes; otherwise it must be empty */
	upkeep_progress_fn progress;
	/* Of every table that arrived, compared: rows and digest (hex). */
	void (*table)(const char *name, uint64_t rows, const char *digest, void *arg);
	void *arg;
};
/* Whether both URLs are known to be of one database, as its file is the same. */
bool upkeep_same(const char *a, const char *b);
/* Everything, samples as well; the target becomes a history of its own (a new log id). For who has both alone. */
int upkeep_copy(const struct upkeep_copy *c, struct err *e) MUST_CHECK;

#endif
