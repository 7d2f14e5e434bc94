#include "controld/events/subscriber.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/loop/loop.h"
#include "controld/loop/pool.h"
#include "controld/rest/stream.h"
#include "controld/rest/stream_shares.h"

#include <stdlib.h>
#include <string.h>

#define SUSPECT_MS 5000 /* after a change of somebody's rights: answers that are kept for seconds may be older */
#define RETRY_MS   1000 /* after the database did not answer */

enum job { JOB_READ, JOB_CHECK };

struct subscriber {
	struct list node; /* of the room, while the stream lives */
	struct subscriber_room *room;
	struct stream *stream;
	struct event_filter filter;
	char *authorization, *api_key;
	uint8_t log_id[CHANGES_LOG_ID_SIZE];
	const char *gap;
	int64_t position; /* everything up to there was considered */
	bool behind;      /* reads the log himself */
	bool closing;     /* nothing more is written */
	bool gone;        /* the stream is: freed when the job returns */
	bool check;       /* the credentials have to be looked at */
	uint64_t beat_at_ms, check_at_ms, suspect_until_ms, retry_at_ms;

	bool busy; /* a job runs: what follows belongs to it */
	enum job what;
	struct pool_job job;
	struct loop_task done;
	struct batch batch;
	struct identity now;
	int rc;
	struct err err;
};

static void pump(struct subscriber *s);

/* ---- life ---------------------------------------------------------------------------------------------------------- */

struct subscriber *subscriber_of(struct list *node)
{
	return CONTAINER_OF(node, struct subscriber, node);
}

void subscriber_free(struct subscriber *s)
{
	if (s == NULL)
		return;
	batch_fini(&s->batch);
	free(s->authorization);
	free(s->api_key);
	free(s);
}

static char *copy(const char *s, bool *failed)
{
	char *c = s != NULL ? strdup(s) : NULL;

	*failed = *failed || (s != NULL && c == NULL);
	return c;
}

int subscriber_new(struct subscriber **out, struct subscriber_room *r, const struct hub_start *start, struct err *e)
{
	struct subscriber *s = calloc(1, sizeof *s);
	bool failed = false;

	if (s == NULL)
		return err_set(e, ERR_NOMEM, NULL, "events: out of memory");
	list_init(&s->node);
	s->room = r;
	s->filter = start->filter;
	s->gap = start->gap;
	s->position = start->seq;
	memcpy(s->log_id, start->log_id, sizeof s->log_id);
	s->authorization = copy(start->authorization, &failed);
	s->api_key = copy(start->api_key, &failed);
	if (failed) {
		subscriber_free(s);
		return err_set(e, ERR_NOMEM, NULL, "events: out of memory");
	}
	*out = s;
	return 0;
}

/* ---- what is written ------------------------------------------------------------------------------------------------ */

/* The output of one who does not read is not waited for. */
static void write_text(struct subscriber *s, const char *text, size_t n)
{
	if (s->closing || s->stream == NULL)
		return;
	stream_write(s->stream, text, n);
	if (stream_waiting(s->stream) <= s->room->conf.queue_max)
		return;
	s->closing = true;
	s->room->count(s->room, COUNT_DROPPED, 1);
	stream_cut(s->stream);
}

static void write_note(struct subscriber *s, const char *event, const char *json)
{
	char id[EVENTS_ID_SIZE], text[512];

	event_id_print(id, s->log_id, s->position);
	(void)str_fmt(text, sizeof text, "id: %s\nevent: %s\ndata: %s\n\n", id, event, json);
	write_text(s, text, strlen(text));
}

static void write_gap(struct subscriber *s, const char *reason)
{
	char json[64];

	(void)str_fmt(json, sizeof json, "{\"reason\":\"%s\"}", reason);
	s->room->count(s->room, COUNT_GAPS, 1);
	write_note(s, "log_gap", json);
}

/* Says why and ends: the stream may be gone afterwards. */
static void close_with(struct subscriber *s, const char *code)
{
	char json[96];

	if (s->closing || s->stream == NULL)
		return;
	(void)str_fmt(json, sizeof json, "{\"code\":\"%s\"}", code);
	write_note(s, "closed", json);
	s->closing = true;
	s->room->count(s->room, COUNT_CLOSED, 1);
	stream_end(s->stream);
}

static void write_events(struct subscriber *s, const struct batch *b)
{
	for (size_t i = 0; i < b->n && !s->closing; i++) {
		const struct event *ev = &b->events[i];

		if (ev->seq <= s->position || !event_is_for(ev, &s->filter))
			continue;
		s->room->count(s->room, COUNT_SENT, 1);
		write_text(s, (const char *)ev->text.data, ev->text.len);
	}
	s->position = MAX(s->position, b->to);
}

/* ---- jobs ------------------------------------------------------------------------------------------------------------ */

static void work_job(struct pool_job *job)
{
	struct subscriber *s = CONTAINER_OF(job, struct subscriber, job);
	const struct hub_conf *conf = &s->room->conf;

	err_clear(&s->err);
	if (s->what == JOB_READ)
		s->rc = batch_read(&s->batch, conf->store, &s->err);
	else
		s->rc = conf->auth->resolve(conf->auth->self, s->authorization, s->api_key, &s->now, &s->err);
	loop_post(conf->loop, &s->done);
}

static void after_read(struct subscriber *s)
{
	if (s->rc != 0) {
		s->retry_at_ms = clock_mono_ms() + RETRY_MS;
		return;
	}
	if (s->batch.gap)
		write_gap(s, "too_old");
	write_events(s, &s->batch);
	s->behind = !s->batch.at_end || s->position < s->room->end;
	batch_fini(&s->batch);
}

/* A database that does not answer says nothing of anybody's rights. */
static void after_check(struct subscriber *s)
{
	const struct identity *was = &s->filter.who, *now = &s->now;

	if (s->rc != 0 && err_http(s->err.code) < 500)
		close_with(s, err_api(s->err.code));
	else if (s->rc == 0 && (was->role != now->role || was->system_admin != now->system_admin ||
				       !str_eq(was->tenant_id, now->tenant_id) || !str_eq(was->user_id, now->user_id)))
		close_with(s, "RIGHTS_CHANGED");
}

static void on_job_done(void *arg)
{
	struct subscriber *s = arg;

	/* whoever ends the stream from here on finds it busy, and leaves s alone */
	if (!s->gone && s->what == JOB_READ)
		after_read(s);
	else if (!s->gone)
		after_check(s);
	s->busy = false;
	if (s->gone)
		subscriber_free(s);
	else
		pump(s);
}

static void start_job(struct subscriber *s, enum job what)
{
	s->what = what;
	s->batch.from = s->position;
	s->job.work = work_job;
	list_init(&s->job.node);
	s->done = (struct loop_task){ .fn = on_job_done, .arg = s };
	s->busy = pool_submit(s->room->pool, &s->job) == 0;
	if (!s->busy)
		s->retry_at_ms = clock_mono_ms() + RETRY_MS;
}

static void pump(struct subscriber *s)
{
	if (s->busy || s->closing || s->stream == NULL || s->room->pool == NULL || clock_mono_ms() < s->retry_at_ms)
		return;
	if (s->check) {
		s->check = false;
		s->check_at_ms = clock_mono_ms() + s->room->conf.check_ms;
		start_job(s, JOB_CHECK);
	} else if (s->behind) {
		start_job(s, JOB_READ);
	}
}

/* ---- the loop ---------------------------------------------------------------------------------------------------------- */

static void on_begin(void *state, struct stream *stream)
{
	static const char retry[] = "retry: 1000\n\n";
	const uint64_t now_ms = clock_mono_ms();
	struct subscriber *s = state;

	s->stream = stream;
	s->behind = true; /* what came since the handler looked */
	s->beat_at_ms = now_ms + s->room->conf.beat_ms;
	s->check_at_ms = now_ms + s->room->conf.check_ms;
	if (list_empty(&s->room->all))
		s->room->end = s->position;
	list_push_back(&s->room->all, &s->node);
	s->room->joined(s->room);
	write_text(s, retry, sizeof retry - 1);
	if (s->gap != NULL)
		write_gap(s, s->gap);
	write_note(s, "ready", "{}");
	pump(s);
}

static void on_gone(void *state)
{
	struct subscriber *s = state;
	char key[STREAM_SHARES_KEY_SIZE];

	s->stream = NULL;
	s->gone = true;
	list_remove(&s->node);
	stream_shares_key(key, &s->filter.who);
	s->room->left(s->room, key);
	if (!s->busy)
		subscriber_free(s);
}

const struct stream_ops subscriber_ops = { on_begin, on_gone };

/* Somebody's rights have changed: perhaps his. */
static void suspect(struct subscriber *s, const struct batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		const struct event *ev = &b->events[i];

		if (!ev->about_identity ||
			(!s->filter.who.system_admin && !str_eq(ev->tenant_id, s->filter.who.tenant_id)))
			continue;
		s->suspect_until_ms = clock_mono_ms() + SUSPECT_MS;
		s->check = true;
		return;
	}
}

void subscriber_hear(struct subscriber *s, const struct batch *b)
{
	suspect(s, b);
	if (!s->behind && b->gap)
		write_gap(s, "too_old");
	if (!s->behind)
		write_events(s, b);
	pump(s);
}

void subscriber_tick(struct subscriber *s, uint64_t now_ms)
{
	if (now_ms >= s->beat_at_ms) {
		s->beat_at_ms = now_ms + s->room->conf.beat_ms;
		write_text(s, ":\n\n", 3);
	}
	if (now_ms >= s->check_at_ms || now_ms < s->suspect_until_ms)
		s->check = true;
	pump(s);
}

void subscriber_abandon(struct subscriber *s)
{
	if (s->stream != NULL)
		stream_abandon(s->stream);
	list_remove(&s->node);
	subscriber_free(s);
}
