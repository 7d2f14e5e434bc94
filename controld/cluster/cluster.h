/*
 * cluster - this controld among those that share its database: it says that it lives, and sees who does not any more.
 *
 * Owner:  app. Thread: its own; `lost` and `position` are called on it.
 * Ends:   cluster_stop() joins the thread and takes the row away.
 */
#ifndef PORTWAY_CONTROLD_CLUSTER_CLUSTER_H
#define PORTWAY_CONTROLD_CLUSTER_CLUSTER_H

#include "common/base/macros.h"
#include "controld/store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cluster;
struct err;
struct migration_set;

#define CLUSTER_BEAT_MS  2000
#define CLUSTER_ALIVE_MS 15000 /* by the clock of who looks: for people, and before a migration */

struct cluster_conf {
	struct store *store;
	const char *self; /* id; this and the other strings are copied */
	const char *name; /* "": the host's */
	const char *address, *line_address;
	bool shared; /* there may be others; else what is there of others is cleared away */
	void (*lost)(void *owner, const char *id);
	int64_t (*position)(void *owner); /* in the change log */
	void *owner;
};

int cluster_new(struct cluster **out, const struct cluster_conf *c, struct err *e) MUST_CHECK;
/* Says that it is there, and goes on saying so. */
int cluster_start(struct cluster *c, struct err *e) MUST_CHECK;
void cluster_stop(struct cluster *c); /* again is fine */
void cluster_free(struct cluster *c);
size_t cluster_others(struct cluster *c); /* that are alive */

/* Whether what is missing of these migrations may be applied: no controld that is alive is too old for it. */
int cluster_may_migrate(struct store *store, const struct migration_set *set, struct err *e) MUST_CHECK;

extern const struct sql_table *const cluster_sql[];
extern const size_t cluster_sql_n;

#endif
