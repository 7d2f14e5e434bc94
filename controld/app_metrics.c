#include "controld/app_metrics.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/metrics/metrics.h"
#include "controld/certs/certs.h"
#include "controld/clients/clients.h"
#include "controld/cluster/cluster.h"
#include "controld/fleet/fleet.h"
#include "controld/identity/service.h"
#include "controld/out/outbound.h"
#include "controld/store/store.h"
#include "controld/store/watch.h"

#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Everything that is read, at one moment. */
struct readings {
	struct store_stats db, samples;
	struct identity_stats identity;
	struct fleet_stats fleet;
	struct watch_stats watch;
	struct outbound_stats outbound;
	struct certs_stats certs;
	uint64_t calls, others, client_logins_failed, cpu_ms, fds, fds_max, resident_bytes, start_s;
};

/* X(member of the readings, type, name, help) */
#define PROCESS_METRICS(X)                                                                             \
	X(db.commits, COUNTER, "db_commits_total", "Commits; one carries several writes.")             \
	X(db.connections, GAUGE, "db_connections", "Open connections to the database.")                \
	X(db.failed, COUNTER, "db_writes_failed_total", "Writes that were undone.")                    \
	X(db.queue, GAUGE, "db_write_queue", "Writes that wait.")                                      \
	X(db.reads, COUNTER, "db_reads_total", "Snapshots read from.")                                 \
	X(db.busy, COUNTER, "db_refused_total", "Reads and writes that waited too long.")              \
	X(db.writes, COUNTER, "db_writes_total", "Writes that are on disk.")                           \
	X(samples.commits, COUNTER, "db_samples_commits_total", "Commits to the database of samples.") \
	X(samples.queue, GAUGE, "db_samples_write_queue", "Writes of samples that wait.")              \
	X(cpu_ms, COUNTER, "process_cpu_milliseconds_total", "User and system time.")                  \
	X(fds, GAUGE, "process_open_fds", "Open file descriptors.")                                    \
	X(fds_max, GAUGE, "process_max_fds", "How many there may be.")                                 \
	X(resident_bytes, GAUGE, "process_resident_memory_bytes", "Memory in RAM.")                    \
	X(start_s, GAUGE, "process_start_time_seconds", "When it was started, since 1970.")
#define OUTBOUND_METRICS(X)                                                                                   \
	X(outbound.sent, COUNTER, "outbound_calls_total", "Calls to the outside that were answered.")         \
	X(outbound.failed, COUNTER, "outbound_failed_total", "Calls to the outside that were not.")           \
	X(outbound.denied, COUNTER, "outbound_denied_total", "Calls to addresses that are closed.")           \
	X(outbound.refused, COUNTER, "outbound_refused_total", "Calls that found too many others under way.") \
	X(calls, GAUGE, "outbound_calls", "Calls to the outside that are under way.")
#define CLUSTER_METRICS(X)                                                                                      \
	X(watch.wakes, COUNTER, "cluster_wakes_total", "Commits of other controlds that we were told of.")      \
	X(watch.missed, COUNTER, "cluster_wakes_missed_total",                                                  \
		"Commits of others found by looking: a wake-up was lost.")                                      \
	X(watch.sent, COUNTER, "cluster_messages_sent_total", "Messages to other controlds.")                   \
	X(watch.received, COUNTER, "cluster_messages_received_total", "Messages from other controlds.")         \
	X(watch.dropped, COUNTER, "cluster_messages_dropped_total", "Messages that could not be sent in time.") \
	X(watch.reconnects, COUNTER, "cluster_reconnects_total", "Losses of the connection that listens.")      \
	X(others, GAUGE, "cluster_others", "Other controlds on the database that are alive.")
#define IDENTITY_METRICS(X)                                                                                        \
	X(client_logins_failed, COUNTER, "client_logins_failed_total", "Client logins and refreshes refused.")     \
	X(identity.logins, COUNTER, "identity_logins_total", "Logins that succeeded.")                             \
	X(identity.logins_failed, COUNTER, "identity_logins_failed_total", "Logins refused.")                      \
	X(identity.logins_throttled, COUNTER, "identity_logins_throttled_total", "Attempts made to wait.")         \
	X(identity.refreshes, COUNTER, "identity_refreshes_total", "Tokens refreshed.")                            \
	X(identity.token_reuses, COUNTER, "identity_token_reuses_total", "Logins ended for an old refresh token.") \
	X(identity.resolved_kept, COUNTER, "identity_resolved_kept_total", "Callers known from memory.")           \
	X(identity.resolved_read, COUNTER, "identity_resolved_read_total", "Callers read from the database.")      \
	X(identity.key_uses_dropped, COUNTER, "identity_key_uses_dropped_total",                                   \
		"Uses of API keys that were not written down, for too many keys at once.")                         \
	X(identity.resolve_refused, COUNTER, "identity_resolve_refused_total", "Credentials that were not good.")

/* What a metric is called, and where its value is. */
static const struct metric_def defs[] = {
#define X(member, type, name, help) { name, METRIC_##type, help, NULL, 0 },
	PROCESS_METRICS(X) OUTBOUND_METRICS(X) CLUSTER_METRICS(X) IDENTITY_METRICS(X)
#undef X
#define X(name, what) { "certificates_" #name "_total", METRIC_COUNTER, what, NULL, 0 },
		CERTS_COUNTERS(X)
#undef X
#define X(name, what) { "fleet_" #name "_total", METRIC_COUNTER, what, NULL, 0 },
			FLEET_COUNTERS(X)
#undef X
#define X(name, what) { "fleet_" #name, METRIC_GAUGE, what, NULL, 0 },
				FLEET_GAUGES(X)
#undef X
};
static const size_t offsets[ARRAY_LEN(defs)] = {
#define X(member, type, name, help) offsetof(struct readings, member),
	PROCESS_METRICS(X) OUTBOUND_METRICS(X) CLUSTER_METRICS(X) IDENTITY_METRICS(X)
#undef X
#define X(name, what) offsetof(struct readings, certs.name),
		CERTS_COUNTERS(X)
#undef X
#define X(name, what) offsetof(struct readings, fleet.name),
			FLEET_COUNTERS(X) FLEET_GAUGES(X)
#undef X
};

struct app_metrics {
	struct app_metrics_sources sources;
	struct metrics *registry;
	struct metric *series[ARRAY_LEN(defs)];
	uint64_t start_s;
};

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static uint64_t count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	uint64_t n = 0;

	if (dir == NULL)
		return 0;
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n > 3 ? n - 3 : 0; /* ".", ".." and the folder itself */
}

static uint64_t resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long long size = 0, resident = 0;

	if (f == NULL)
		return 0;
	if (fscanf(f, "%llu %llu", &size, &resident) != 2)
		resident = 0;
	fclose(f);
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t timeval_ms(const struct timeval *t)
{
	return (uint64_t)t->tv_sec * 1000 + (uint64_t)t->tv_usec / 1000;
}

static void read_process(struct readings *r)
{
	struct rusage usage;
	struct rlimit limit;

	if (getrusage(RUSAGE_SELF, &usage) == 0)
		r->cpu_ms = timeval_ms(&usage.ru_utime) + timeval_ms(&usage.ru_stime);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		r->fds_max = limit.rlim_cur;
	r->fds = count_fds();
	r->resident_bytes = resident_bytes();
}

static void on_collect(void *arg)
{
	struct app_metrics *m = arg;
	struct readings r = { .start_s = m->start_s };

	read_process(&r);
	store_stats(m->sources.store, &r.db);
	store_stats(m->sources.samples, &r.samples);
	identity_stats(m->sources.identity, &r.identity);
	fleet_stats(m->sources.fleet, &r.fleet);
	watch_stats(m->sources.watch, &r.watch);
	r.others = cluster_others(m->sources.cluster);
	outbound_stats(m->sources.outbound, &r.outbound);
	certs_stats(m->sources.certs, &r.certs);
	r.calls = r.outbound.active;
	r.client_logins_failed = clients_logins_failed(m->sources.clients);
	for (size_t i = 0; i < ARRAY_LEN(defs); i++) {
		uint64_t now = *(const uint64_t *)(const void *)((const char *)&r + offsets[i]);

		if (defs[i].type == METRIC_GAUGE)
			metric_set(m->series[i], (double)now);
		else
			metric_add(m->series[i], now - metric_value(m->series[i]));
	}
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

int app_metrics_new(struct app_metrics **out, const struct app_metrics_sources *sources, struct err *e)
{
	struct app_metrics *m = calloc(1, sizeof *m);

	if (m == NULL || metrics_new(&m->registry, defs, ARRAY_LEN(defs)) != 0) {
		app_metrics_free(m);
		return err_set(e, ERR_NOMEM, NULL, "metrics: out of memory");
	}
	m->sources = *sources;
	m->start_s = (uint64_t)clock_wall_ms() / 1000;
	for (size_t i = 0; i < ARRAY_LEN(defs); i++)
		m->series[i] = metrics_get(m->registry, i, NULL);
	metrics_on_collect(m->registry, on_collect, m);
	*out = m;
	return 0;
}

void app_metrics_free(struct app_metrics *m)
{
	if (m == NULL)
		return;
	metrics_free(m->registry);
	free(m);
}

struct metrics *app_metrics_registry(struct app_metrics *m)
{
	return m->registry;
}
