/* What /metrics says of webhooks. */
#include "common/base/err.h"
#include "common/metrics/metrics.h"
#include "controld/notify/room.h"

#include <stdlib.h>

enum { QUEUED, ATTEMPTS, TOOK, WAITING, PAUSED, HELD, SERIES };

static const struct metric_def defs[SERIES] = {
	[QUEUED] = { "webhooks_queued_total", METRIC_COUNTER, "Deliveries that changes have made.", NULL, 0 },
	[ATTEMPTS] = { "webhooks_attempts_total", METRIC_COUNTER, "Attempts to deliver, by what came of them.",
		"outcome", 0 },
	[TOOK] = { "webhooks_attempt_seconds", METRIC_HISTOGRAM, "How long attempts took.", NULL, 0 },
	[WAITING] = { "webhooks_waiting", METRIC_GAUGE, "Deliveries that wait, counted every 5 s.", NULL, 0 },
	[HELD] = { "webhooks_place_holds_total", METRIC_COUNTER,
		"Answers that asked that no webhook calls their place for a while.", NULL, 0 },
	[PAUSED] = { "webhooks_paused", METRIC_GAUGE, "Webhooks whose endpoints are dead, counted every 5 s.", NULL,
		0 },
};

struct notify_metrics {
	struct metrics *registry;
};

int notify_metrics_new(struct notify_metrics **out, struct err *e)
{
	struct notify_metrics *m = calloc(1, sizeof *m);

	if (m == NULL || metrics_new(&m->registry, defs, ARRAY_LEN(defs)) != 0) {
		notify_metrics_free(m);
		return err_set(e, ERR_NOMEM, NULL, "metrics: out of memory");
	}
	*out = m;
	return 0;
}

void notify_metrics_free(struct notify_metrics *m)
{
	if (m == NULL)
		return;
	metrics_free(m->registry);
	free(m);
}

struct metrics *notify_metrics_registry(struct notify_metrics *m)
{
	return m->registry;
}

void notify_metrics_queued(struct notify_metrics *m, uint64_t n)
{
	metric_add(metrics_get(m->registry, QUEUED, NULL), n);
}

void notify_metrics_tried(struct notify_metrics *m, const struct attempt *a)
{
	static const char *const outcomes[] = {
		[VERDICT_DELIVERED] = "delivered",
		[VERDICT_REFUSED] = "refused",
		[VERDICT_AGAIN] = "failed",
		[VERDICT_DEAD] = "dead",
		[VERDICT_STOPPED] = "stopped",
	};

	metric_add(metrics_get(m->registry, ATTEMPTS, &outcomes[a->verdict]), 1);
	metric_observe(metrics_get(m->registry, TOOK, NULL), (double)a->latency_ms / 1000);
	if (a->everywhere)
		metric_add(metrics_get(m->registry, HELD, NULL), 1);
}

void notify_metrics_totals(struct notify_metrics *m, int64_t waiting, int64_t paused)
{
	metric_set(metrics_get(m->registry, WAITING, NULL), (double)waiting);
	metric_set(metrics_get(m->registry, PAUSED, NULL), (double)paused);
}
