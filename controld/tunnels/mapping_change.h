/*
 * mapping_change - what belongs to every change of a mapping: its row in the log, and leaving nothing behind when it goes.
 *
 * Thread: inside a logged transaction, but for mapping_find_orphans().
 */
#ifndef PORTWAY_CONTROLD_TUNNELS_MAPPING_CHANGE_H
#define PORTWAY_CONTROLD_TUNNELS_MAPPING_CHANGE_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/store/store.h"
#include "controld/tunnels/mapping.h"

#include <stdint.h>

/* Who changes it, for which request, when. */
struct mapping_actor {
	const char *name;
	const char *request_id; /* "" for none */
	int64_t now_ms;
};

/* Logs what was done to *m, as it stands now, and puts the number of that change into m->seq. */
int mapping_log(struct db *tx, struct mapping *m, const char *op, const char *fields, const struct mapping_actor *by,
	struct err *e) MUST_CHECK;

/*
 * A client is known to the relays of its mappings' groups: to be called after the row was written, so that the client is
 * logged, too, when the set of its groups changed.
 */
int mapping_came(struct db *tx, const struct mapping *m, const struct mapping_actor *by, struct err *e) MUST_CHECK;
int mapping_left(struct db *tx, const struct mapping *m, const struct mapping_actor *by, struct err *e) MUST_CHECK;
int mapping_moved(struct db *tx, const struct mapping *before, const struct mapping *m, const struct mapping_actor *by,
	struct err *e) MUST_CHECK;

/* Deletes it: the row, the ports it holds, a row in the log. Its traffic stays. */
int mapping_remove(struct db *tx, struct mapping *m, const struct mapping_actor *by, struct err *e) MUST_CHECK;

struct erasure;
/* Those of a user or tenant that goes: deleted as by their owner. What passed through them stays, by ids alone. */
extern const struct erasure mapping_erasure;

/* Orphans are mappings whose client is being deleted; they are off already. */
int mapping_find_orphans(struct db *db, bool *any, struct err *e) MUST_CHECK;
/* Deletes at most `limit` of them; *n gets how many. */
int mapping_remove_orphans(struct db *tx, unsigned limit, int64_t now_ms, unsigned *n, struct err *e) MUST_CHECK;

extern const struct sql_table mapping_change_sql;

#endif
