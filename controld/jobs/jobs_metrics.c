#include "controld/jobs/jobs_metrics.h"

#include "common/base/err.h"
#include "common/metrics/metrics.h"
#include "controld/jobs/workers.h"

#include <stdlib.h>

enum { JOBS, WORKERS, BUSY, STARTED, ENDED, WAITED, TOOK, STREAMS_REFUSED, SERIES };

static const struct metric_def defs[SERIES] = {
	[JOBS] = { "jobs", METRIC_GAUGE, "Jobs that wait, run or are dead, counted every 5 s.", "queue state", 0 },
	[WORKERS] = { "jobs_workers", METRIC_GAUGE, "Threads for jobs.", NULL, 0 },
	[BUSY] = { "jobs_workers_busy", METRIC_GAUGE, "Jobs that run here.", NULL, 0 },
	[STARTED] = { "jobs_started_total", METRIC_COUNTER, "Attempts begun here.", "queue", 0 },
	[ENDED] = { "jobs_ended_total", METRIC_COUNTER, "Attempts ended here.", "kind outcome", 1024 },
	[WAITED] = { "jobs_wait_seconds", METRIC_HISTOGRAM, "From when a job was due to its beginning.", "queue", 0 },
	[TOOK] = { "jobs_run_seconds", METRIC_HISTOGRAM, "How long attempts took.", "kind", 0 },
	[STREAMS_REFUSED] = { "jobs_streams_refused_total", METRIC_COUNTER,
		"Streams of jobs refused: somebody has his share, or all are taken.", "reason", 0 },
};

struct jobs_metrics {
	struct metrics *registry;
	struct workers *workers;
};

static void on_collect(void *arg)
{
	struct jobs_metrics *m = arg;

	if (m->workers != NULL)
		metric_set(metrics_get(m->registry, BUSY, NULL), (double)workers_running(m->workers));
}

int jobs_metrics_new(struct jobs_metrics **out, unsigned workers, struct err *e)
{
	const struct job_counts none = { 0 };
	struct jobs_metrics *m = calloc(1, sizeof *m);

	if (m == NULL || metrics_new(&m->registry, defs, ARRAY_LEN(defs)) != 0) {
		jobs_metrics_free(m);
		return err_set(e, ERR_NOMEM, NULL, "metrics: out of memory");
	}
	metric_set(metrics_get(m->registry, WORKERS, NULL), (double)workers);
	jobs_metrics_counted(m, &none);
	metrics_on_collect(m->registry, on_collect, m);
	*out = m;
	return 0;
}

void jobs_metrics_free(struct jobs_metrics *m)
{
	if (m == NULL)
		return;
	metrics_free(m->registry);
	free(m);
}

struct metrics *jobs_metrics_registry(struct jobs_metrics *m)
{
	return m->registry;
}

void jobs_metrics_of(struct jobs_metrics *m, struct workers *w)
{
	m->workers = w;
}

void jobs_metrics_counted(struct jobs_metrics *m, const struct job_counts *c)
{
	static const enum job_state states[] = { JOB_QUEUED, JOB_SCHEDULED, JOB_RUNNING, JOB_DEAD };

	for (int q = 0; q < JOB_QUEUES; q++)
		for (size_t i = 0; i < ARRAY_LEN(states); i++) {
			const char *labels[] = { job_queue_name((enum job_queue)q), job_state_name(states[i]) };

			metric_set(metrics_get(m->registry, JOBS, labels), (double)c->n[q][states[i]]);
		}
}

void jobs_metrics_taken(struct jobs_metrics *m, enum job_queue queue, int64_t waited_ms)
{
	const char *label = job_queue_name(queue);

	metric_add(metrics_get(m->registry, STARTED, &label), 1);
	metric_observe(metrics_get(m->registry, WAITED, &label), (double)waited_ms / 1000);
}

void jobs_metrics_ended(struct jobs_metrics *m, const char *kind, const char *outcome, uint64_t took_ms)
{
	const char *labels[] = { kind, outcome };

	metric_add(metrics_get(m->registry, ENDED, labels), 1);
	metric_observe(metrics_get(m->registry, TOOK, &kind), (double)took_ms / 1000);
}

void jobs_metrics_stream_refused(struct jobs_metrics *m, const char *reason)
{
	metric_add(metrics_get(m->registry, STREAMS_REFUSED, &reason), 1);
}
