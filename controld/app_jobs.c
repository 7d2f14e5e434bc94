/* The part that works: jobs, and which features have some. */
#include "common/base/err.h"
#include "controld/app_parts.h"
#include "controld/erase_job.h"
#include "controld/jobs/jobs.h"
#include "controld/store/watch.h"

int app_jobs_open(struct app *a, struct err *e)
{
	const struct settings *s = a->settings;
	const struct jobs_conf conf = {
		.store = a->store,
		.self = a->self,
		.shared = watch_shared(a->watch),
		.workers = (unsigned)s->jobs.workers,
		.grace_ms = 3000,
		.lease_ms = s->jobs.lease_ms,
		.keep_ms = s->keep.jobs_ms,
		.keep_dead_ms = s->keep.jobs_dead_ms,
		.waiting_max = s->jobs.waiting_max,
		.parks = server_parks(a->server),
	};

	return jobs_new(&a->jobs, &conf, e);
}

void app_jobs_close(struct app *a)
{
	jobs_free(a->jobs);
}

void app_jobs_wind_down(struct app *a)
{
	jobs_wind_down(a->jobs);
}

/* When all features are there whose work it is. */
int app_work_open(struct app *a, struct err *e)
{
	jobs_add_kinds(a->jobs, (struct job_kinds){ erase_job_kinds, erase_job_kinds_n, a->store });
	return jobs_start(a->jobs, e);
}

/* Before they go. */
void app_work_close(struct app *a)
{
	jobs_stop(a->jobs);
}
