/*
 * metrics - counters, gauges and histograms from a const table, printed as Prometheus text (exposition format 0.0.4).
 *
 * A program lists its metrics in one const table; a metric with labels has one series per label value, made on first
 * use up to the row's max_series (beyond it everything goes to the series "other", and that is counted).
 *
 * Thread: any; values are relaxed atomics, making a series takes a lock.
 */
#ifndef PORTWAY_METRICS_METRICS_H
#define PORTWAY_METRICS_METRICS_H

#include "common/base/macros.h"

#include <stddef.h>
#include <stdint.h>

struct buf;

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric_def {
	const char *name; /* "http_requests_total" */
	enum metric_type type;
	const char *help;
	const char *labels; /* label names, blank-separated, at most 4; NULL: none */
	size_t max_series;  /* 0: 1 without labels, 256 with */
};

struct metrics; /* a program's registry */
struct metric;  /* one series; lives as long as the registry */

int metrics_new(struct metrics **out, const struct metric_def *defs, size_t n) MUST_CHECK;
void metrics_free(struct metrics *m);
/* The series of defs[index] with these label values (as many as the row names). Never NULL. */
struct metric *metrics_get(struct metrics *m, size_t index, const char *const *label_values);
/* Values read at print time: fn is called when the table is printed, before its rows. */
void metrics_on_collect(struct metrics *m, void (*fn)(void *arg), void *arg);
/* One page of several registries, as a family stands on a page once. */
void metrics_print(struct metrics *const *all, size_t n, struct buf *out);

void metric_add(struct metric *c, uint64_t n);         /* counter, gauge */
void metric_sub(struct metric *g, uint64_t n);         /* gauge */
void metric_set(struct metric *g, double v);           /* gauge */
void metric_observe(struct metric *h, double seconds); /* histogram: 0.5 ms .. 10 s */
uint64_t metric_value(const struct metric *c);

#endif
