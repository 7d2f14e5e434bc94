#include "controld/app_metrics.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/metrics/metrics.h"
#include "controld/store/store.h"

#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Everything that is read, at one moment. */
struct readings {
	uint64_t db_commits, db_connections, db_failed, db_queue, db_reads, db_refused, db_writes;
	uint64_t samples_commits, samples_queue;
	uint64_t cpu_ms, fds, fds_max, resident_bytes, start_s;
};

static const struct metric_def defs[] = {
	{ "db_commits_total", METRIC_COUNTER, "Commits; one carries several writes.", NULL, 0 },
	{ "db_connections", METRIC_GAUGE, "Open connections to the database.", NULL, 0 },
	{ "db_writes_failed_total", METRIC_COUNTER, "Writes that were undone.", NULL, 0 },
	{ "db_write_queue", METRIC_GAUGE, "Writes that wait.", NULL, 0 },
	{ "db_reads_total", METRIC_COUNTER, "Snapshots read from.", NULL, 0 },
	{ "db_refused_total", METRIC_COUNTER, "Reads and writes that waited too long.", NULL, 0 },
	{ "db_writes_total", METRIC_COUNTER, "Writes that are on disk.", NULL, 0 },
	{ "db_samples_commits_total", METRIC_COUNTER, "Commits to the database of samples.", NULL, 0 },
	{ "db_samples_write_queue", METRIC_GAUGE, "Writes of samples that wait.", NULL, 0 },
	{ "process_cpu_milliseconds_total", METRIC_COUNTER, "User and system time.", NULL, 0 },
	{ "process_open_fds", METRIC_GAUGE, "Open file descriptors.", NULL, 0 },
	{ "process_max_fds", METRIC_GAUGE, "How many there may be.", NULL, 0 },
	{ "process_resident_memory_bytes", METRIC_GAUGE, "Memory in RAM.", NULL, 0 },
	{ "process_start_time_seconds", METRIC_GAUGE, "When it was started, since 1970.", NULL, 0 },
};

#define AT(member) offsetof(struct readings, member)
/* Where each row's value is. */
static const size_t offsets[ARRAY_LEN(defs)] = { AT(db_commits), AT(db_connections), AT(db_failed), AT(db_queue),
	AT(db_reads), AT(db_refused), AT(db_writes), AT(samples_commits), AT(samples_queue), AT(cpu_ms), AT(fds),
	AT(fds_max), AT(resident_bytes), AT(start_s) };

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

static void read_databases(struct readings *r, const struct app_metrics_sources *from)
{
	struct store_stats s;

	store_stats(from->store, &s);
	r->db_commits = s.commits;
	r->db_connections = s.connections;
	r->db_failed = s.failed;
	r->db_queue = s.queue;
	r->db_reads = s.reads;
	r->db_refused = s.busy;
	r->db_writes = s.writes;
	store_stats(from->samples, &s);
	r->samples_commits = s.commits;
	r->samples_queue = s.queue;
}

static void on_collect(void *arg)
{
	struct app_metrics *m = arg;
	struct readings r = { .start_s = m->start_s };

	read_process(&r);
	read_databases(&r, &m->sources);
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
