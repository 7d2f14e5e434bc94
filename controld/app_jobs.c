/* The parts that work: jobs, which features have some, and the calls to the outside that they make. */
#include "common/base/err.h"
#include "controld/app_parts.h"
#include "controld/certs/certs.h"
#include "controld/device_login/device_login.h"
#include "controld/erase_job.h"
#include "controld/jobs/jobs.h"
#include "controld/mail/mail.h"
#include "controld/notify/notify.h"
#include "controld/out/outbound.h"
#include "controld/panel/panels.h"
#include "controld/store/watch.h"

#define CALLS_PER_HOST 8 /* at once; more would only wait at the other side */

int app_outbound_open(struct app *a, struct err *e)
{
	const struct settings *s = a->settings;
	const struct outbound_conf conf = {
		.allow = s->outbound.allow,
		.ca_file = s->outbound.ca_file,
		.transfers_max = (unsigned)s->outbound.calls_max,
		.per_host_max = CALLS_PER_HOST,
		.connections_max = (unsigned)s->outbound.calls_max,
	};

	return outbound_new(&a->outbound, &conf, e);
}

void app_outbound_close(struct app *a)
{
	outbound_free(a->outbound);
}

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
		.loop = a->loop,
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

int app_notify_open(struct app *a, struct err *e)
{
	const struct settings *s = a->settings;
	const struct notify_conf conf = {
		.store = a->store,
		.outbound = a->outbound,
		.shared = watch_shared(a->watch),
		.senders = (unsigned)s->webhooks.senders,
		.timeout_ms = s->webhooks.timeout_ms,
		.retry_ms = s->webhooks.retry_ms,
		.retry_max_ms = s->webhooks.retry_max_ms,
		.attempts = s->webhooks.attempts,
		.waiting_max = s->webhooks.waiting_max,
		.keep_ms = s->keep.deliveries_ms,
	};

	return notify_new(&a->notify, &conf, e);
}

void app_notify_close(struct app *a)
{
	notify_free(a->notify);
}

/* When all features are there whose work it is. */
int app_work_open(struct app *a, struct err *e)
{
	jobs_add_kinds(a->jobs, (struct job_kinds){ erase_job_kinds, erase_job_kinds_n, a->store });
	jobs_add_kinds(a->jobs, panels_kinds(a->panels));
	jobs_add_kinds(a->jobs, mail_kinds(a->mail));
	jobs_add_kinds(a->jobs, certs_kinds(a->certs));
	jobs_add_kinds(
		a->jobs, (struct job_kinds){ device_login_job_kinds, device_login_job_kinds_n, a->device_login });
	return jobs_start(a->jobs, e) != 0 ? -1 : notify_start(a->notify, e);
}

/* Before they go. */
void app_work_close(struct app *a)
{
	notify_stop(a->notify);
	jobs_stop(a->jobs);
}
