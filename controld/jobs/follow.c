#include "controld/jobs/follow.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/str.h"
#include "controld/identity/identity.h"
#include "controld/jobs/jobs_metrics.h"
#include "controld/loop/loop.h"
#include "controld/rest/stream.h"
#include "controld/rest/stream_shares.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct follows {
	struct follows_conf conf;
	pthread_mutex_t lock;
	struct list all; /* whose streams live */
	struct stream_shares shares;
};

struct follow {
	struct list link;
	struct follows *room;
	char share[STREAM_SHARES_KEY_SIZE];
	char tenant_id[40], id[RAND_ID_SIZE];
	int64_t version; /* that was told; the handler's, then the keeper's */
	uint64_t until_ms, beat_ms;
	struct stream *stream; /* the loop's */
	struct loop_task task;
	/* under the room's lock */
	unsigned refs;
	struct buf out; /* events that wait for the loop */
	bool posted, gone;
	bool over; /* nothing comes after what waits */
};

/* ---- how many ------------------------------------------------------------------------------------------------------ */

static int admit_locked(struct follow *f, struct err *e)
{
	switch (stream_shares_take(&f->room->shares, f->share, FOLLOWS_MAX, FOLLOWS_EACH)) {
	case STREAM_SHARE_TAKEN:
		return 0;
	case STREAM_SHARE_ALL_FULL:
		return err_set(e, ERR_OVERLOADED, NULL, "%d streams of jobs are open, which is the most", FOLLOWS_MAX);
	case STREAM_SHARE_OWN_FULL:
		return err_set(e, ERR_RATE_LIMITED, NULL,
			"you have %d streams of jobs already, which is the most for one user or API key; end one first",
			FOLLOWS_EACH);
	default:
		return err_set(e, ERR_NOMEM, NULL, "jobs: out of memory");
	}
}

static int admit(struct follow *f, const struct identity *who, struct err *e)
{
	struct follows *room = f->room;
	int rc;

	stream_shares_key(f->share, who);
	pthread_mutex_lock(&room->lock);
	rc = admit_locked(f, e);
	pthread_mutex_unlock(&room->lock);
	if (rc != 0)
		jobs_metrics_stream_refused(room->conf.metrics, e->code == ERR_RATE_LIMITED ? "share" : "full");
	return rc;
}

/* ---- one stream ---------------------------------------------------------------------------------------------------- */

/* With the lock, which is given away. */
static void unref_and_unlock(struct follow *f)
{
	struct follows *room = f->room;
	const bool last = --f->refs == 0;

	pthread_mutex_unlock(&room->lock);
	if (!last)
		return;
	buf_free(&f->out);
	free(f);
}

/* With the lock. */
static void post(struct follow *f)
{
	if (f->posted || f->gone)
		return;
	f->posted = true;
	f->refs++;
	loop_post(f->room->conf.loop, &f->task);
}

static void on_post(void *arg)
{
	struct follow *f = arg;
	struct follows *room = f->room;
	struct buf out;
	bool over, gone;

	pthread_mutex_lock(&room->lock);
	f->posted = false;
	out = f->out;
	buf_init(&f->out, FOLLOW_QUEUE);
	over = f->over || out.failed;
	gone = f->gone;
	pthread_mutex_unlock(&room->lock);
	if (!gone) {
		stream_write(f->stream, out.data, out.len);
		if (stream_waiting(f->stream) > FOLLOW_QUEUE)
			stream_cut(f->stream);
		else if (over)
			stream_end(f->stream); /* on_gone() may have run by now */
	}
	buf_free(&out);
	pthread_mutex_lock(&room->lock);
	unref_and_unlock(f);
}

static void on_begin(void *state, struct stream *s)
{
	struct follow *f = state;

	pthread_mutex_lock(&f->room->lock);
	f->stream = s;
	list_push_back(&f->room->all, &f->link);
	post(f);
	pthread_mutex_unlock(&f->room->lock);
}

static void on_gone(void *state)
{
	struct follow *f = state;

	pthread_mutex_lock(&f->room->lock);
	list_remove(&f->link);
	f->gone = true;
	stream_shares_give_back(&f->room->shares, f->share);
	unref_and_unlock(f);
}

/* ---- events -------------------------------------------------------------------------------------------------------- */

/* One line of data: the JSON of a job has no end of line in it. */
static int on_row(const struct job *j, void *arg)
{
	struct follow *f = arg;

	struct buf json;

	if (j->version == f->version)
		return 0;
	f->version = j->version;
	buf_init(&json, FOLLOW_QUEUE);
	job_print(&json, j, kinds_find(f->room->conf.kinds, j->kind, NULL));
	pthread_mutex_lock(&f->room->lock);
	buf_printf(&f->out, "id: %" PRId64 "\nevent: job\ndata: %s\n\n", j->version, buf_cstr(&json));
	f->over = json.failed || job_state_ended(j->state);
	pthread_mutex_unlock(&f->room->lock);
	buf_free(&json);
	return 0;
}

static int look(struct follow *f, struct db *db, uint64_t now_ms, struct err *e)
{
	const int rc = job_get(db, f->tenant_id, f->id, on_row, f, e);

	pthread_mutex_lock(&f->room->lock);
	if (rc != 0 && e->code == ERR_NOT_FOUND) {
		buf_printf(&f->out, "event: gone\ndata: {}\n\n");
		f->over = true;
	} else if (now_ms >= f->until_ms) {
		f->over = true;
	}
	if (now_ms >= f->beat_ms && f->out.len == 0)
		buf_printf(&f->out, ":\n\n");
	if (f->out.len > 0) {
		f->beat_ms = now_ms + FOLLOW_BEAT_MS;
		post(f);
	} else if (f->over) {
		post(f);
	}
	pthread_mutex_unlock(&f->room->lock);
	return rc != 0 && e->code != ERR_NOT_FOUND ? -1 : 0;
}

/* ---- all of them --------------------------------------------------------------------------------------------------- */

/* Those that still wait for something, with a reference each. */
static size_t take_all(struct follows *room, struct follow ***out)
{
	size_t n = 0;

	*out = NULL;
	pthread_mutex_lock(&room->lock);
	if (room->shares.n > 0 && (*out = calloc(room->shares.n, sizeof **out)) != NULL)
		LIST_FOREACH (it, &room->all) {
			struct follow *f = CONTAINER_OF(it, struct follow, link);

			if (f->over)
				continue;
			f->refs++;
			(*out)[n++] = f;
		}
	pthread_mutex_unlock(&room->lock);
	return n;
}

static int look_at_all(struct follows *room, struct follow **all, size_t n, struct err *e)
{
	struct db *db;
	int rc = 0;

	if (store_read_begin(room->conf.store, &db, e) != 0)
		return -1;
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = look(all[i], db, clock_mono_ms(), e);
	store_read_end(db);
	return rc;
}

int follows_tick(struct follows *room, struct err *e)
{
	struct follow **all;
	const size_t n = take_all(room, &all);
	const int rc = n > 0 ? look_at_all(room, all, n, e) : 0;

	for (size_t i = 0; i < n; i++) {
		pthread_mutex_lock(&room->lock);
		unref_and_unlock(all[i]);
	}
	free(all);
	return rc;
}

/* The first event is in it when the stream begins. */
static int first_look(struct follow *f, struct err *e)
{
	struct db *db;
	int rc;

	if (store_read_begin(f->room->conf.store, &db, e) != 0)
		return -1;
	rc = job_get(db, f->tenant_id, f->id, on_row, f, e);
	store_read_end(db);
	return rc;
}

int follows_add(struct follows *room, const struct follow_start *start, struct reply *rp, struct err *e)
{
	static const struct stream_ops ops = { on_begin, on_gone };
	struct follow *f = calloc(1, sizeof *f);

	if (f == NULL)
		return err_set(e, ERR_NOMEM, NULL, "job %s: out of memory", start->job_id);
	list_init(&f->link);
	buf_init(&f->out, FOLLOW_QUEUE);
	f->room = room;
	f->refs = 1;
	f->task = (struct loop_task){ .fn = on_post, .arg = f };
	f->until_ms = clock_mono_ms() + FOLLOW_LIFE_MS;
	f->beat_ms = clock_mono_ms() + FOLLOW_BEAT_MS;
	(void)str_copy(f->tenant_id, sizeof f->tenant_id, start->tenant_id);
	(void)str_copy(f->id, sizeof f->id, start->job_id);
	if (first_look(f, e) != 0 || admit(f, start->who, e) != 0)
		goto fail;
	reply_stream(rp, "text/event-stream", &ops, f);
	return 0;
fail:
	buf_free(&f->out);
	free(f);
	return -1;
}

/* ---- life ---------------------------------------------------------------------------------------------------------- */

int follows_new(struct follows **out, const struct follows_conf *conf, struct err *e)
{
	struct follows *room = calloc(1, sizeof *room);

	if (room == NULL)
		return err_set(e, ERR_NOMEM, NULL, "jobs: out of memory");
	room->conf = *conf;
	pthread_mutex_init(&room->lock, NULL);
	list_init(&room->all);
	stream_shares_init(&room->shares);
	*out = room;
	return 0;
}

void follows_free(struct follows *room)
{
	struct list *it;

	if (room == NULL)
		return;
	loop_flush(room->conf.loop); /* what was posted holds references */
	while ((it = list_first(&room->all)) != NULL) {
		struct follow *f = CONTAINER_OF(it, struct follow, link);

		stream_abandon(f->stream);
		on_gone(f);
	}
	stream_shares_fini(&room->shares);
	pthread_mutex_destroy(&room->lock);
	free(room);
}
