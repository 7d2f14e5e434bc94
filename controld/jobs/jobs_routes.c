/* The routes of jobs and schedules, and what may be sent to them. */
#include "controld/jobs/room.h"

static const char *const queues[] = { "critical", "default", "low", NULL };
static const char *const states[] = { "scheduled", "queued", "running", "completed", "dead", "cancelled", NULL };

static const struct schema_field list_fields[] = {
	{ .name = "limit", .type = SCHEMA_INT, .min = 1, .max = 200 },
	{ .name = "cursor", .type = SCHEMA_STRING },
	{ .name = "kind", .type = SCHEMA_STRING, .max = JOB_NAME_MAX },
	{ .name = "queue", .type = SCHEMA_STRING, .choices = queues },
	{ .name = "state", .type = SCHEMA_STRING, .choices = states },
	{ .name = "schedule_id", .type = SCHEMA_STRING, .max = 40 },
	{ .name = "tenant_id", .type = SCHEMA_STRING, .max = 64, .help = "system administrators only" },
};
static const struct schema list_query = { NULL, list_fields, ARRAY_LEN(list_fields), false };

static const struct schema_field get_fields[] = {
	{ .name = "wait",
		.type = SCHEMA_STRING,
		.format = SCHEMA_FORMAT_DURATION,
		.help = "up to 60s: answer when it has ended, or was changed since `after`" },
	{ .name = "after", .type = SCHEMA_INT, .help = "the version that is known already" },
};
static const struct schema get_query = { NULL, get_fields, ARRAY_LEN(get_fields), false };

static const struct schema_field logs_fields[] = {
	{ .name = "limit", .type = SCHEMA_INT, .min = 1, .max = 200 },
	{ .name = "after", .type = SCHEMA_INT, .help = "the number of the last line that is known" },
	{ .name = "wait", .type = SCHEMA_STRING, .format = SCHEMA_FORMAT_DURATION, .help = "up to 60s for a line" },
};
static const struct schema logs_query = { NULL, logs_fields, ARRAY_LEN(logs_fields), false };

static const struct schema_field create_fields[] = {
	{ .name = "kind", .type = SCHEMA_STRING, .flags = SCHEMA_REQUIRED, .min = 1, .max = JOB_NAME_MAX },
	{ .name = "args", .type = SCHEMA_ANY, .help = "an object, as the kind says" },
	{ .name = "queue", .type = SCHEMA_STRING, .choices = queues, .help = "default: the kind's" },
	{ .name = "priority",
		.type = SCHEMA_INT,
		.min = -1000,
		.max = 1000,
		.help = "within its queue; more is sooner, default 0" },
	{ .name = "due_at", .type = SCHEMA_STRING, .format = SCHEMA_FORMAT_TIME, .help = "not before; default now" },
	{ .name = "unique_key",
		.type = SCHEMA_STRING,
		.min = 1,
		.max = 200,
		.help = "while a job of this kind and key has not ended, that one is answered" },
};
static const struct schema create_schema = { "JobOrder", create_fields, ARRAY_LEN(create_fields), false };

static const struct schema_field retry_fields[] = {
	{ .name = "fresh", .type = SCHEMA_BOOL, .help = "forget what it has done already; default false" },
};
static const struct schema retry_schema = { "JobRetry", retry_fields, ARRAY_LEN(retry_fields), false };

static const struct schema_field page_fields[] = {
	{ .name = "limit", .type = SCHEMA_INT, .min = 1, .max = 200 },
	{ .name = "cursor", .type = SCHEMA_STRING },
};
static const struct schema page_query = { NULL, page_fields, ARRAY_LEN(page_fields), false };

#define GET    "GET"
#define POST   "POST"
#define PUT    "PUT"
#define DELETE "DELETE"

const struct route jobs_rows[] = {
	{ GET, "/api/v1/jobs", PERM_READ, LANE_DB, &list_query, NULL, NULL, 200, 0, jobs_api_list,
		"List jobs, the newest first", "Jobs" },
	{ POST, "/api/v1/jobs", PERM_WRITE, LANE_DB, NULL, &create_schema, NULL, 202, 0, jobs_api_create, "Start a job",
		"Jobs" },
	{ GET, "/api/v1/jobs/{id}", PERM_READ, LANE_DB, &get_query, NULL, NULL, 200, 0, jobs_api_get,
		"Show one job with its progress, at once or when it changes", "Jobs" },
	{ DELETE, "/api/v1/jobs/{id}", PERM_WRITE, LANE_DB, NULL, NULL, NULL, 204, 0, jobs_api_delete,
		"Delete a job that does not run, with its log", "Jobs" },
	{ POST, "/api/v1/jobs/{id}/cancel", PERM_WRITE, LANE_DB, NULL, NULL, NULL, 202, 0, jobs_api_cancel,
		"Cancel a job; one that runs stops at its next step", "Jobs" },
	{ POST, "/api/v1/jobs/{id}/retry", PERM_WRITE, LANE_DB, NULL, &retry_schema, NULL, 202, 0, jobs_api_retry,
		"Queue a job again, at once and with all its attempts", "Jobs" },
	{ GET, "/api/v1/jobs/{id}/events", PERM_READ, LANE_DB, NULL, NULL, NULL, 200, ROUTE_STREAM, jobs_api_events,
		"The job whenever it changes, until it has ended (text/event-stream): events job, gone", "Jobs" },
	{ GET, "/api/v1/jobs/{id}/logs", PERM_READ, LANE_DB, &logs_query, NULL, NULL, 200, 0, jobs_api_logs,
		"What a job said, at once or when it says more", "Jobs" },
	{ GET, "/api/v1/job-kinds", PERM_READ, LANE_DB, NULL, NULL, NULL, 200, 0, jobs_api_kinds,
		"List the kinds of jobs, and which the caller may start", "Jobs" },
	{ GET, "/api/v1/job-queues", PERM_SYSTEM, LANE_DB, NULL, NULL, NULL, 200, 0, jobs_api_queues,
		"How many jobs wait, run or are dead in each queue", "Jobs" },
	{ GET, "/api/v1/schedules", PERM_READ, LANE_DB, &page_query, NULL, NULL, 200, 0, schedule_api_list,
		"List what starts jobs by the clock", "Schedules" },
	{ POST, "/api/v1/schedules", PERM_WRITE, LANE_DB, NULL, &schedule_schema, &schedule_schema, 201, 0,
		schedule_api_create, "Start jobs by the clock", "Schedules" },
	{ GET, "/api/v1/schedules/{id}", PERM_READ, LANE_DB, NULL, NULL, &schedule_schema, 200, 0, schedule_api_get,
		"Show one schedule with its next times", "Schedules" },
	{ PUT, "/api/v1/schedules/{id}", PERM_WRITE, LANE_DB, NULL, &schedule_schema, &schedule_schema, 200,
		ROUTE_PARTIAL, schedule_api_update, "Change the members that are sent", "Schedules" },
	{ DELETE, "/api/v1/schedules/{id}", PERM_WRITE, LANE_DB, NULL, NULL, NULL, 204, 0, schedule_api_delete,
		"Delete a schedule; its jobs stay", "Schedules" },
	{ POST, "/api/v1/schedules/{id}/pause", PERM_WRITE, LANE_DB, NULL, NULL, &schedule_schema, 200, 0,
		schedule_api_pause, "Pause a schedule", "Schedules" },
	{ POST, "/api/v1/schedules/{id}/resume", PERM_WRITE, LANE_DB, NULL, NULL, &schedule_schema, 200, 0,
		schedule_api_resume, "Go on from now; what was due meanwhile is not made up for", "Schedules" },
	{ POST, "/api/v1/schedules/{id}/run", PERM_WRITE, LANE_DB, NULL, NULL, NULL, 202, 0, schedule_api_run,
		"Start its job now, besides its times", "Schedules" },
};
const size_t jobs_rows_n = ARRAY_LEN(jobs_rows);
