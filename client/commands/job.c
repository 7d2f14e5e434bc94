/*
 * job - long work: what there is, how far it is, what it says; started, tried again, cancelled.
 */
#include "client/api/path.h"
#include "client/commands/verb.h"
#include "client/out/text.h"
#include "common/base/buf.h"
#include "common/base/str.h"

#include <string.h>
#include <unistd.h>

#define PATH_BYTES_MAX 8192
#define BAR_WIDTH      30

struct job_command {
	struct verb v;
	struct buf path;
	const char *id;
};

/* "/api/v1/jobs/<id>" and what follows it. */
static const char *job_path(struct job_command *c, const char *rest)
{
	buf_reset(&c->path);
	verb_path(&c->path, &c->v, c->id);
	buf_printf(&c->path, "%s", rest);
	return buf_cstr(&c->path);
}

static const char *text_of(const json_t *object, const char *path)
{
	const char *s = json_string_value(print_member(object, path));

	return s != NULL ? s : "";
}

static bool has_ended(const json_t *job)
{
	return json_is_string(json_object_get(job, "ended_at"));
}

/* How it ended, as an exit code; what went wrong is said. */
static int verdict(const json_t *job)
{
	const char *state = text_of(job, "state");

	if (str_eq(state, "completed"))
		return EXIT_DONE;
	if (*text_of(job, "error.message") != '\0')
		text_printf(stderr, "portway job: it is %s: %s", state, text_of(job, "error.message"));
	else
		text_printf(stderr, "portway job: it is %s", state);
	(void)fputc('\n', stderr);
	return EXIT_BAD_NEWS;
}

/* ---- watching ---------------------------------------------------------------------------------------------------- */

static void put_eta(const json_t *job)
{
	const json_t *eta = print_member(job, "progress.eta_seconds");
	const json_int_t s = json_integer_value(eta);

	if (json_is_integer(eta))
		(void)fprintf(stderr, "  %" JSON_INTEGER_FORMAT ":%02d left", s / 60, (int)(s % 60));
}

/* One line that is written over; of what is not known it says what it can. */
static void put_bar(const json_t *job)
{
	const json_t *percent = print_member(job, "progress.percent");
	const json_int_t done = json_integer_value(print_member(job, "progress.done"));
	const json_int_t total = json_integer_value(print_member(job, "progress.total"));
	const json_int_t failed = json_integer_value(print_member(job, "progress.failed"));
	const int full = (int)(json_integer_value(percent) * BAR_WIDTH / 100);

	(void)fputs("\r\033[K", stderr);
	text_printf(stderr, "%-9s ", text_of(job, "state"));
	if (json_is_integer(percent))
		(void)fprintf(stderr, "[%.*s%*s] %3d %%  %" JSON_INTEGER_FORMAT "/%" JSON_INTEGER_FORMAT, full,
			"##############################", BAR_WIDTH - full, "", (int)json_integer_value(percent), done,
			total);
	else if (done > 0)
		(void)fprintf(stderr, "%" JSON_INTEGER_FORMAT " done", done);
	if (failed > 0)
		(void)fprintf(stderr, ", %" JSON_INTEGER_FORMAT " failed", failed);
	put_eta(job);
	if (*text_of(job, "progress.note") != '\0')
		text_printf(stderr, "  %.40s", text_of(job, "progress.note"));
	(void)fflush(stderr);
}

/* Until it has ended: the last answer, a new reference, or NULL after a complaint. */
static json_t *watch(struct job_command *c)
{
	const bool bar = isatty(STDERR_FILENO) != 0;
	json_int_t version = 0;

	for (;;) {
		struct http_answer answer;
		char query[64];
		json_t *job;

		(void)str_fmt(query, sizeof query, "?wait=10s&after=%lld", (long long)version);
		if (api_get(c->v.api, job_path(c, query), &answer, &c->v.f) != 0) {
			if (bar)
				(void)fputc('\n', stderr);
			return NULL;
		}
		job = json_incref(answer.body);
		http_answer_fini(&answer);
		version = json_integer_value(json_object_get(job, "version"));
		if (bar)
			put_bar(job);
		if (has_ended(job)) {
			if (bar)
				(void)fputc('\n', stderr);
			return job;
		}
		json_decref(job);
	}
}

static int job_wait(struct job_command *c)
{
	json_t *job = watch(c);
	int rc;

	if (job == NULL)
		return verb_fail(&c->v);
	rc = verb_show(&c->v, job);
	if (rc == EXIT_DONE)
		rc = verdict(job);
	json_decref(job);
	return rc;
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

static int put_line(struct job_command *c, const json_t *line)
{
	FILE *out = c->v.in->out;

	if (invocation_format(c->v.in) == PRINT_JSON)
		return print_json_line(out, line);
	text_printf(out, "%s %-5s %s", text_of(line, "time"), text_of(line, "level"), text_of(line, "text"));
	return fputc('\n', out) == EOF ? -1 : 0;
}

static int put_lines(struct job_command *c, const json_t *answer)
{
	const json_t *items = json_object_get(answer, "items");

	for (size_t i = 0; i < json_array_size(items); i++)
		if (put_line(c, json_array_get(items, i)) != 0)
			return -1;
	return fflush(c->v.in->out) == 0 ? 0 : -1;
}

static int job_logs(struct job_command *c)
{
	const bool follow = options_has(&c->v.in->options, "follow");
	json_int_t after = 0;

	for (;;) {
		struct http_answer answer;
		bool over;
		char rest[80];
		int rc;

		(void)str_fmt(
			rest, sizeof rest, "/logs?limit=200&after=%lld%s", (long long)after, follow ? "&wait=10s" : "");
		if (api_get(c->v.api, job_path(c, rest), &answer, &c->v.f) != 0)
			return verb_fail(&c->v);
		rc = put_lines(c, answer.body);
		after = json_integer_value(json_object_get(answer.body, "next_after"));
		over = json_is_true(json_object_get(answer.body, "ended")) ||
		       (!follow && json_array_size(json_object_get(answer.body, "items")) < 200);
		http_answer_fini(&answer);
		if (rc != 0)
			return EXIT_BAD_NEWS;
		if (over)
			return EXIT_DONE;
	}
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

static int job_show(struct job_command *c)
{
	struct http_answer answer;
	int rc;

	if (api_get(c->v.api, job_path(c, ""), &answer, &c->v.f) != 0)
		return verb_fail(&c->v);
	if (invocation_format(c->v.in) == PRINT_TABLE)
		rc = view_details(c->v.in->out, answer.body) == 0 ? EXIT_DONE : EXIT_BAD_NEWS;
	else
		rc = verb_show(&c->v, answer.body);
	http_answer_fini(&answer);
	return rc;
}

static int post(struct job_command *c, const char *rest, const json_t *body)
{
	const struct api_request rq = { .method = "POST", .path = job_path(c, rest), .body = body, .keyed = true };
	struct http_answer answer;
	int rc;

	if (api_call(c->v.api, &rq, &answer, &c->v.f) != 0)
		return verb_fail(&c->v);
	rc = verb_show(&c->v, answer.body);
	http_answer_fini(&answer);
	return rc;
}

static int job_retry(struct job_command *c)
{
	json_t *body = json_object();
	int rc;

	if (options_has(&c->v.in->options, "fresh"))
		(void)json_object_set_new(body, "fresh", json_true());
	rc = post(c, "/retry", body);
	json_decref(body);
	return rc;
}

static int job_cancel(struct job_command *c)
{
	return post(c, "/cancel", NULL);
}

static const struct {
	const char *word;
	int (*run)(struct job_command *c);
} words[] = {
	{ "cancel", job_cancel },
	{ "logs", job_logs },
	{ "retry", job_retry },
	{ "show", job_show },
	{ "wait", job_wait },
};

static int run_word(struct invocation *in, int (*run)(struct job_command *c))
{
	struct job_command c = { .path = { .data = NULL }, .id = in->argv[1] };
	int rc = verb_begin(&c.v, in, "job", RESOURCE_GET);

	buf_init(&c.path, PATH_BYTES_MAX);
	if (rc == 0)
		rc = run(&c);
	buf_free(&c.path);
	verb_end(&c.v);
	return rc;
}

int command_job(struct invocation *in)
{
	if (str_eq(in->argv[0], "ls"))
		return verb_list(in, "job", in->argc - 1, in->argv + 1);
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_eq(in->argv[0], words[i].word)) {
			if (in->argc != 2)
				return invocation_usage(in, "%s takes the id of one job", words[i].word);
			return run_word(in, words[i].run);
		}
	return invocation_usage(in, "'%s': must be ls, show, wait, logs, retry or cancel", in->argv[0]);
}
