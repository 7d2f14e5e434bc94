#include "common/metrics/metrics.h"

#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/str.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define METRICS_LABELS_MAX  4
#define METRICS_VALUE_MAX   128 /* bytes of a label's value, with NUL; longer ones are cut */
#define METRICS_TEXT_MAX    (METRICS_LABELS_MAX * (64 + 2 * METRICS_VALUE_MAX)) /* of all labels, escaped */
#define METRICS_SERIES_MAX  256 /* of a row with labels that names no limit */
#define METRICS_COLLECT_MAX 16

/* Upper bounds of a histogram's buckets; one more holds what is longer. */
static const double metric_bounds[] = { 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
	10 };
#define METRIC_BOUNDS_N ARRAY_LEN(metric_bounds)

struct metric {
	enum metric_type type;
	struct list node;                          /* in the family's series */
	_Atomic uint64_t count;                    /* counter; histogram: observations beyond the last bound */
	_Atomic double level;                      /* gauge */
	_Atomic uint64_t sum_ns;                   /* histogram */
	_Atomic uint64_t buckets[METRIC_BOUNDS_N]; /* histogram: observations of each bucket, not cumulative */
	char labels[];                             /* as printed between the braces: a="x",b="y" */
};

/* One row of the table with its series. */
struct metric_family {
	const struct metric_def *def;
	struct list series;      /* in the order they were made */
	struct map by_labels;    /* key: labels of the series */
	struct metric *fallback; /* without labels the only series, else "other" */
	uint64_t refused;        /* look-ups that got "other" because there was no room */
};

struct metrics {
	pthread_mutex_t lock; /* series of every family */
	struct {
		void (*fn)(void *arg);
		void *arg;
	} collect[METRICS_COLLECT_MAX];
	size_t n_collect;
	size_t n;
	struct metric_family families[]; /* as the rows of the table */
};

/* ---- labels ---- */

struct metric_text {
	size_t n;
	char s[METRICS_TEXT_MAX];
};

static void metric_text_put(struct metric_text *t, const char *s, size_t n)
{
	assert(n < sizeof t->s - t->n); /* values are cut before, names come from our tables */
	memcpy(t->s + t->n, s, n);
	t->n += n;
	t->s[t->n] = '\0';
}

static void metric_text_value(struct metric_text *t, const char *value)
{
	char cut[METRICS_VALUE_MAX];

	str_copy(cut, sizeof cut, value);
	if (!str_is_utf8(cut, strlen(cut)))
		str_copy(cut, sizeof cut, "invalid");
	for (const char *p = cut; *p != '\0'; p++) {
		if (*p == '\n')
			metric_text_put(t, "\\n", 2);
		else if (*p == '"' || *p == '\\')
			metric_text_put(t, (const char[]){ '\\', *p }, 2);
		else
			metric_text_put(t, p, 1);
	}
}

/* a="x",b="y" with the names of the row; values NULL: "other" for each. */
static void metric_text_labels(struct metric_text *t, const char *names, const char *const *values)
{
	size_t i = 0;

	t->n = 0;
	t->s[0] = '\0';
	for (const char *p = names; p != NULL && *p != '\0'; i++) {
		size_t n = strcspn(p, " ");

		assert(i < METRICS_LABELS_MAX);
		if (i > 0)
			metric_text_put(t, ",", 1);
		metric_text_put(t, p, n);
		metric_text_put(t, "=\"", 2);
		metric_text_value(t, values != NULL ? values[i] : "other");
		metric_text_put(t, "\"", 1);
		p += n + strspn(p + n, " ");
	}
}

/* ---- series ---- */

static struct metric *metric_new(enum metric_type type, const struct metric_text *labels)
{
	struct metric *m = calloc(1, sizeof *m + labels->n + 1);

	if (m == NULL)
		return NULL;
	m->type = type;
	list_init(&m->node);
	memcpy(m->labels, labels->s, labels->n + 1);
	return m;
}

static int metric_family_init(struct metric_family *f, const struct metric_def *def)
{
	struct metric_text labels;

	f->def = def;
	list_init(&f->series);
	map_init(&f->by_labels);
	metric_text_labels(&labels, def->labels, NULL);
	f->fallback = metric_new(def->type, &labels);
	if (f->fallback == NULL)
		return -1;
	if (def->labels == NULL)
		list_push_back(&f->series, &f->fallback->node);
	return 0;
}

static void metric_family_fini(struct metric_family *f)
{
	list_remove(&f->fallback->node);
	free(f->fallback);
	LIST_FOREACH_SAFE (it, &f->series)
		free(CONTAINER_OF(it, struct metric, node));
	map_free(&f->by_labels);
}

static struct metric *metric_family_fallback(struct metric_family *f)
{
	f->refused++;
	if (list_empty(&f->fallback->node))
		list_push_back(&f->series, &f->fallback->node);
	return f->fallback;
}

static struct metric *metric_family_get(struct metric_family *f, const struct metric_text *labels)
{
	const size_t max = f->def->max_series != 0 ? f->def->max_series : METRICS_SERIES_MAX;
	struct metric *m = map_get(&f->by_labels, labels->s, labels->n);

	if (m != NULL)
		return m;
	if (map_count(&f->by_labels) >= max)
		return metric_family_fallback(f);
	m = metric_new(f->def->type, labels);
	if (m == NULL || map_put(&f->by_labels, m->labels, labels->n, m, NULL) != 0) {
		free(m);
		return metric_family_fallback(f);
	}
	list_push_back(&f->series, &m->node);
	return m;
}

/* ---- registry ---- */

int metrics_new(struct metrics **out, const struct metric_def *defs, size_t n)
{
	struct metrics *m = calloc(1, sizeof *m + n * sizeof m->families[0]);

	if (m == NULL)
		return -1;
	pthread_mutex_init(&m->lock, NULL);
	for (; m->n < n; m->n++)
		if (metric_family_init(&m->families[m->n], &defs[m->n]) != 0)
			goto fail;
	*out = m;
	return 0;
fail:
	metrics_free(m);
	return -1;
}

void metrics_free(struct metrics *m)
{
	if (m == NULL)
		return;
	for (size_t i = 0; i < m->n; i++)
		metric_family_fini(&m->families[i]);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

struct metric *metrics_get(struct metrics *m, size_t index, const char *const *label_values)
{
	struct metric_family *f = &m->families[index];
	struct metric_text labels;
	struct metric *series;

	assert(index < m->n);
	if (f->def->labels == NULL)
		return f->fallback;
	metric_text_labels(&labels, f->def->labels, label_values);
	pthread_mutex_lock(&m->lock);
	series = metric_family_get(f, &labels);
	pthread_mutex_unlock(&m->lock);
	return series;
}

void metrics_on_collect(struct metrics *m, void (*fn)(void *arg), void *arg)
{
	assert(m->n_collect < METRICS_COLLECT_MAX);
	m->collect[m->n_collect].fn = fn;
	m->collect[m->n_collect++].arg = arg;
}

/* ---- values ---- */

static void metric_move(struct metric *g, double by)
{
	double was = atomic_load_explicit(&g->level, memory_order_relaxed);

	while (!atomic_compare_exchange_weak_explicit(
		&g->level, &was, was + by, memory_order_relaxed, memory_order_relaxed))
		;
}

void metric_add(struct metric *c, uint64_t n)
{
	if (c->type == METRIC_GAUGE)
		metric_move(c, (double)n);
	else
		atomic_fetch_add_explicit(&c->count, n, memory_order_relaxed);
}

void metric_sub(struct metric *g, uint64_t n)
{
	metric_move(g, -(double)n);
}

void metric_set(struct metric *g, double v)
{
	atomic_store_explicit(&g->level, v, memory_order_relaxed);
}

void metric_observe(struct metric *h, double seconds)
{
	_Atomic uint64_t *bucket = &h->count;

	if (!(seconds >= 0)) /* also NaN: a clock that stepped back is no reason to lose the count */
		seconds = 0;
	seconds = MIN(seconds, 1e9);
	for (size_t i = 0; i < METRIC_BOUNDS_N; i++) {
		if (seconds > metric_bounds[i])
			continue;
		bucket = &h->buckets[i];
		break;
	}
	atomic_fetch_add_explicit(bucket, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->sum_ns, (uint64_t)(seconds * 1e9), memory_order_relaxed);
}

static uint64_t metric_load(const _Atomic uint64_t *v)
{
	return atomic_load_explicit(v, memory_order_relaxed);
}

uint64_t metric_value(const struct metric *c)
{
	uint64_t n = metric_load(&c->count);
	double level;

	if (c->type == METRIC_COUNTER)
		return n;
	if (c->type == METRIC_HISTOGRAM) {
		for (size_t i = 0; i < METRIC_BOUNDS_N; i++)
			n += metric_load(&c->buckets[i]);
		return n;
	}
	level = atomic_load_explicit(&c->level, memory_order_relaxed);
	return level >= 1 ? level < 0x1p64 ? (uint64_t)level : UINT64_MAX : 0;
}

/* ---- text ---- */

static void metric_print_name(struct buf *out, const char *name, const char *suffix, const char *labels)
{
	buf_printf(out, "%s%s", name, suffix);
	if (labels[0] != '\0')
		buf_printf(out, "{%s}", labels);
}

static void metric_print_gauge(const struct metric *m, const char *name, struct buf *out)
{
	const double v = atomic_load_explicit(&m->level, memory_order_relaxed);

	metric_print_name(out, name, "", m->labels);
	if (isfinite(v) && fabs(v) < 1e15 && v == trunc(v))
		buf_printf(out, " %.0f\n", v);
	else
		buf_printf(out, " %.9g\n", v);
}

static void metric_print_histogram(const struct metric *m, const char *name, struct buf *out)
{
	const char *comma = m->labels[0] != '\0' ? "," : "";
	uint64_t n = 0;

	for (size_t i = 0; i < METRIC_BOUNDS_N; i++) {
		n += metric_load(&m->buckets[i]);
		buf_printf(out, "%s_bucket{%s%sle=\"%g\"} %" PRIu64 "\n", name, m->labels, comma, metric_bounds[i], n);
	}
	n += metric_load(&m->count);
	buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, m->labels, comma, n);
	metric_print_name(out, name, "_sum", m->labels);
	buf_printf(out, " %.9g\n", (double)metric_load(&m->sum_ns) / 1e9);
	metric_print_name(out, name, "_count", m->labels);
	buf_printf(out, " %" PRIu64 "\n", n); /* the same n: the sum of a bucket and its count must agree */
}

static void metric_print(const struct metric *m, const char *name, struct buf *out)
{
	switch (m->type) {
	case METRIC_COUNTER:
		metric_print_name(out, name, "", m->labels);
		buf_printf(out, " %" PRIu64 "\n", metric_load(&m->count));
		break;
	case METRIC_GAUGE:
		metric_print_gauge(m, name, out);
		break;
	case METRIC_HISTOGRAM:
		metric_print_histogram(m, name, out);
		break;
	}
}

static void metric_family_print(const struct metric_family *f, struct buf *out)
{
	static const char *const types[] = {
		[METRIC_COUNTER] = "counter",
		[METRIC_GAUGE] = "gauge",
		[METRIC_HISTOGRAM] = "histogram",
	};

	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", f->def->name, f->def->help, f->def->name, types[f->def->type]);
	LIST_FOREACH (it, &f->series)
		metric_print(CONTAINER_OF(it, const struct metric, node), f->def->name, out);
}

static void metrics_print_families(struct metrics *m, struct buf *out)
{
	for (size_t i = 0; i < m->n_collect; i++)
		m->collect[i].fn(m->collect[i].arg);
	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < m->n; i++)
		metric_family_print(&m->families[i], out);
	pthread_mutex_unlock(&m->lock);
}

static void metrics_print_refused(struct metrics *m, struct buf *out)
{
	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < m->n; i++)
		if (m->families[i].def->labels != NULL)
			buf_printf(out, "metrics_series_refused_total{metric=\"%s\"} %" PRIu64 "\n",
				m->families[i].def->name, m->families[i].refused);
	pthread_mutex_unlock(&m->lock);
}

void metrics_print(struct metrics *const *all, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n; i++)
		metrics_print_families(all[i], out);
	buf_printf(out, "# HELP metrics_series_refused_total Look-ups that got the series \"other\" for want of room.\n"
			"# TYPE metrics_series_refused_total counter\n");
	for (size_t i = 0; i < n; i++)
		metrics_print_refused(all[i], out);
}
