#include "controld/rest/rest_metrics.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "common/metrics/metrics.h"
#include "controld/loop/pool.h"
#include "controld/rest/router.h"

#include <stdlib.h>
#include <string.h>

enum {
	REQUESTS_TOTAL,
	REQUEST_DURATION,
	REQUESTS_PER_SECOND,
	REQUESTS_IN_FLIGHT,
	REQUESTS_REFUSED,
	CONNECTIONS,
	CONNECTIONS_REFUSED,
	LANE_QUEUED,
	LANE_BUSY,
	LANE_JOBS,
	LANE_REFUSED,
	REPLIES_PARKED,
	REPLIES_NOT_PARKED,
	LOOP_LAG,
	ANSWERS_CUT,
	ANSWERS_LONG,
};

static const struct metric_def rest_metrics_defs[] = {
	[REQUESTS_TOTAL] = { "http_requests_total", METRIC_COUNTER, "Requests answered.", "method status path", 2048 },
	[REQUEST_DURATION] = { "http_request_duration_seconds", METRIC_HISTOGRAM,
		"From the whole request to its answer.", "method path", 512 },
	[REQUESTS_PER_SECOND] = { "http_requests_per_second", METRIC_GAUGE, "Requests answered in the last second.",
		NULL, 0 },
	[REQUESTS_IN_FLIGHT] = { "http_requests_in_flight", METRIC_GAUGE, "Requests not answered yet.", NULL, 0 },
	[REQUESTS_REFUSED] = { "http_requests_refused_total", METRIC_COUNTER, "Requests refused before their handler.",
		"reason", 16 },
	[CONNECTIONS] = { "http_connections", METRIC_GAUGE, "Open client connections.", NULL, 0 },
	[CONNECTIONS_REFUSED] = { "http_connections_refused_total", METRIC_COUNTER, "Connections closed at once.",
		"reason", 16 },
	[LANE_QUEUED] = { "http_lane_queued", METRIC_GAUGE, "Requests that wait for a worker.", "lane", 4 },
	[LANE_BUSY] = { "http_lane_busy", METRIC_GAUGE, "Workers at work.", "lane", 4 },
	[LANE_JOBS] = { "http_lane_jobs", METRIC_GAUGE, "Requests run by workers since the start.", "lane", 4 },
	[LANE_REFUSED] = { "http_lane_refused", METRIC_GAUGE, "Requests refused for a full queue since the start.",
		"lane", 4 },
	[REPLIES_PARKED] = { "http_replies_parked", METRIC_GAUGE, "Answers that wait for something.", NULL, 0 },
	[REPLIES_NOT_PARKED] = { "http_replies_not_parked", METRIC_GAUGE,
		"Answers given early because too many wait, since the start.", NULL, 0 },
	[ANSWERS_CUT] = { "http_answers_cut_total", METRIC_COUNTER,
		"Long answers that were cut off because they could not be finished.", NULL, 0 },
	[ANSWERS_LONG] = { "http_long_answers", METRIC_GAUGE, "Long answers under way, of 16 at most.", NULL, 0 },
	[LOOP_LAG] = { "loop_lag_seconds", METRIC_GAUGE, "Worst delay of the event loop since the last reading.", NULL,
		0 },
};

#define REST_METRICS_STATUSES 6 /* kept per row and method; the others are looked up */

/* The series of one row, found once: the hot path takes no lock and builds no label. */
struct rest_metrics_row {
	struct metric *duration;
	struct {
		int status;
		struct metric *total;
	} by_status[REST_METRICS_STATUSES];
};

struct rest_metrics {
	struct metrics *registry;
	struct rest_metrics_row *rows; /* by router_entry.index */
	size_t n_rows;
	struct metric *conns, *in_flight, *per_second, *parked, *lag;
	uint64_t answered, answered_before;
};

int rest_metrics_new(struct rest_metrics **out, struct err *e)
{
	struct rest_metrics *m = calloc(1, sizeof *m);

	if (m == NULL || metrics_new(&m->registry, rest_metrics_defs, ARRAY_LEN(rest_metrics_defs)) != 0) {
		rest_metrics_free(m);
		return err_set(e, ERR_NOMEM, NULL, "http metrics: out of memory");
	}
	m->conns = metrics_get(m->registry, CONNECTIONS, NULL);
	m->in_flight = metrics_get(m->registry, REQUESTS_IN_FLIGHT, NULL);
	m->per_second = metrics_get(m->registry, REQUESTS_PER_SECOND, NULL);
	m->parked = metrics_get(m->registry, REPLIES_PARKED, NULL);
	m->lag = metrics_get(m->registry, LOOP_LAG, NULL);
	*out = m;
	return 0;
}

void rest_metrics_free(struct rest_metrics *m)
{
	if (m == NULL)
		return;
	metrics_free(m->registry);
	free(m->rows);
	free(m);
}

struct metrics *rest_metrics_registry(struct rest_metrics *m)
{
	return m->registry;
}

static struct rest_metrics_row *rest_metrics_row(struct rest_metrics *m, size_t index)
{
	if (index >= m->n_rows) {
		const size_t n = index + 64;
		struct rest_metrics_row *rows = reallocarray(m->rows, n, sizeof *rows);

		if (rows == NULL)
			return NULL;
		memset(rows + m->n_rows, 0, (n - m->n_rows) * sizeof *rows);
		m->rows = rows;
		m->n_rows = n;
	}
	return &m->rows[index];
}

static struct metric *rest_metrics_total(struct rest_metrics *m, const char *method, int status, const char *path)
{
	char text[16];

	(void)str_fmt(text, sizeof text, "%d", status);
	return metrics_get(m->registry, REQUESTS_TOTAL, (const char *const[]){ method, text, path });
}

static struct metric *rest_metrics_row_total(
	struct rest_metrics *m, struct rest_metrics_row *row, const struct route *route, int status)
{
	size_t i = 0;

	while (i < REST_METRICS_STATUSES && row->by_status[i].total != NULL && row->by_status[i].status != status)
		i++;
	if (i == REST_METRICS_STATUSES)
		return rest_metrics_total(m, route->method, status, route->path);
	if (row->by_status[i].total == NULL) {
		row->by_status[i].status = status;
		row->by_status[i].total = rest_metrics_total(m, route->method, status, route->path);
	}
	return row->by_status[i].total;
}

void rest_metrics_request(
	struct rest_metrics *m, const struct router_entry *entry, const char *method, int status, uint64_t duration_ns)
{
	struct rest_metrics_row *row = entry == NULL ? NULL : rest_metrics_row(m, entry->index);

	m->answered++;
	if (row == NULL) {
		metric_add(rest_metrics_total(m, method, status, "none"), 1);
		return;
	}
	if (row->duration == NULL)
		row->duration = metrics_get(m->registry, REQUEST_DURATION,
			(const char *const[]){ entry->route->method, entry->route->path });
	metric_observe(row->duration, (double)duration_ns / 1e9);
	metric_add(rest_metrics_row_total(m, row, entry->route, status), 1);
}

void rest_metrics_in_flight(struct rest_metrics *m, int by)
{
	if (by > 0)
		metric_add(m->in_flight, 1);
	else
		metric_sub(m->in_flight, 1);
}

void rest_metrics_conns(struct rest_metrics *m, size_t now)
{
	metric_set(m->conns, (double)now);
}

void rest_metrics_conn_refused(struct rest_metrics *m, const char *reason)
{
	metric_add(metrics_get(m->registry, CONNECTIONS_REFUSED, &reason), 1);
}

void rest_metrics_refused(struct rest_metrics *m, const char *reason)
{
	metric_add(metrics_get(m->registry, REQUESTS_REFUSED, &reason), 1);
}

void rest_metrics_cut(struct rest_metrics *m)
{
	metric_add(metrics_get(m->registry, ANSWERS_CUT, NULL), 1);
}

void rest_metrics_lane(struct rest_metrics *m, const char *lane, const struct pool_stats *stats)
{
	metric_set(metrics_get(m->registry, LANE_QUEUED, &lane), (double)stats->queued);
	metric_set(metrics_get(m->registry, LANE_BUSY, &lane), stats->busy);
	metric_set(metrics_get(m->registry, LANE_JOBS, &lane), (double)stats->done);
	metric_set(metrics_get(m->registry, LANE_REFUSED, &lane), (double)stats->refused);
}

void rest_metrics_parked(struct rest_metrics *m, size_t now, uint64_t full)
{
	metric_set(m->parked, (double)now);
	metric_set(metrics_get(m->registry, REPLIES_NOT_PARKED, NULL), (double)full);
}

void rest_metrics_long(struct rest_metrics *m, unsigned now)
{
	metric_set(metrics_get(m->registry, ANSWERS_LONG, NULL), now);
}

void rest_metrics_lag(struct rest_metrics *m, uint64_t lag_us)
{
	metric_set(m->lag, (double)lag_us / 1e6);
}

void rest_metrics_second(struct rest_metrics *m)
{
	metric_set(m->per_second, (double)(m->answered - m->answered_before));
	m->answered_before = m->answered;
}
