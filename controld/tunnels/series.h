/*
 * series - traffic over time, in steps of 10 s, 1 min and 1 h, in a database file of its own.
 *
 * A sample is a total as it stood in a step, replaced while the step lasts; a point is the difference of two samples. So
 * writing one twice, late or by two daemons changes nothing, and the sum of the points is the total. What does not move
 * costs no rows. Of the samples past their retention the newest of each total stays, as what the next is compared with.
 *
 * Owner: tunnels. Thread: series_tick() one at a time; reading any.
 */
#ifndef PORTWAY_CONTROLD_TUNNELS_SERIES_H
#define PORTWAY_CONTROLD_TUNNELS_SERIES_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/store/store.h"
#include "controld/tunnels/traffic.h"

#include <stddef.h>
#include <stdint.h>

enum series_step { SERIES_10S, SERIES_1M, SERIES_1H, SERIES_STEPS };

struct series_conf {
	struct store *totals; /* where the table traffic is */
	struct store *samples;
	uint64_t retention_ms[SERIES_STEPS]; /* 0: for ever */
};

struct series;
int series_new(struct series **out, const struct series_conf *conf, struct err *e) MUST_CHECK;
void series_free(struct series *s);

/* Takes a sample of every total that moved, and drops old ones every ten minutes. */
int series_tick(struct series *s, int64_t now_ms, struct err *e) MUST_CHECK;

/* From a step's beginning to a step's beginning. */
struct series_range {
	int64_t from_ms, to_ms, step_ms;
};
/* The widest range kept: time_range is "1h", "24h", "7d" or "30d", ending now. -1 when it is none of them. */
int series_range_named(struct series_range *r, const char *time_range, int64_t now_ms) MUST_CHECK;
/* Any other: the finest step that is kept for it and gives a reasonable number of points. -1 when there is none. */
int series_range_between(
	const struct series *s, struct series_range *r, int64_t from_ms, int64_t to_ms, int64_t now_ms) MUST_CHECK;
#define SERIES_POINTS_MAX 10000

struct series_point {
	int64_t time_ms;
	int64_t bytes_in, bytes_out, packets_in, packets_out, opened, refused, dropped; /* in this step */
	int64_t active;                                                                 /* connections, as seen last */
};
/* A point for every step of the range. *points is malloc'ed. */
int series_read(struct series *s, enum traffic_scope scope, const char *tenant_id, const char *id,
	const struct series_range *r, struct series_point **points, size_t *n, struct err *e) MUST_CHECK;

extern const struct sql_table series_sql;         /* of the main database */
extern const struct sql_table series_samples_sql; /* of the samples' */

#endif
