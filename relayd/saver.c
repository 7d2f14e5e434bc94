#include "relayd/saver.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/sm.h"
#include "common/base/str.h"
#include "relayd/conf/last_good.h"
#include "relayd/conf/snapshot.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define SETTLE_MS    50  /* from the first change to its write */
#define REST_MS      200 /* between two writes, or longer: */
#define REST_TIMES   10  /* so many times as long as the last one took */
#define RETRY_MIN_MS 500 /* after a write that failed, twice as long each time */
#define RETRY_MAX_MS 15000

/*
 *   IDLE --newer snapshot--> WAITING --timer--> WRITING --done--> IDLE, or WAITING if there is a newer one
 *     |                         |                  |
 *     +--------- close ---------+------ close -----+--> CLOSING (after the write)
 */
enum saver_state { SAVER_IDLE, SAVER_WAITING, SAVER_WRITING, SAVER_CLOSING };

static const struct sm_state states[] = {
	[SAVER_IDLE] = { "idle", BIT(SAVER_WAITING) | BIT(SAVER_CLOSING) },
	[SAVER_WAITING] = { "waiting", BIT(SAVER_WRITING) | BIT(SAVER_CLOSING) },
	[SAVER_WRITING] = { "writing", BIT(SAVER_IDLE) | BIT(SAVER_CLOSING) },
	[SAVER_CLOSING] = { "closing", 0 },
};

struct saver {
	uv_loop_t *loop;
	uv_timer_t timer;
	uv_work_t work;
	int state;
	char path[PATH_MAX];
	uint8_t key[SEAL_KEY_SIZE];
	uint64_t confirm_ms;
	struct snapshot *wanted;  /* newest; NULL: nothing to write */
	int64_t wanted_ms;        /* when controld confirmed it */
	struct snapshot *writing; /* belongs to the pool's thread while WRITING */
	int64_t writing_ms;
	struct err result;
	uint64_t took_ms;
	struct proto_revision saved; /* what is on disk */
	int64_t saved_ms;
	bool failing;
	uint64_t retry_ms;
	bool close_wanted;
	void (*on_closed)(void *arg);
	void *arg;
};

static void saver_move(struct saver *v, enum saver_state to)
{
	sm_move(states, &v->state, (int)to);
}

int saver_new(struct saver **out, uv_loop_t *loop, const char *path, const uint8_t key[SEAL_KEY_SIZE],
	uint64_t confirm_ms, struct err *e)
{
	struct saver *v = calloc(1, sizeof *v);

	if (v == NULL)
		return err_set(e, ERR_NOMEM, NULL, "last good snapshot: out of memory");
	if (str_copy(v->path, sizeof v->path, path) != 0) {
		free(v);
		return err_set(e, ERR_VALIDATION, "data_dir", "data_dir: %s is too long", path);
	}
	v->loop = loop;
	v->confirm_ms = confirm_ms;
	memcpy(v->key, key, sizeof v->key);
	uv_timer_init(loop, &v->timer);
	v->timer.data = v;
	v->work.data = v;
	*out = v;
	return 0;
}

static void work_write(uv_work_t *work)
{
	struct saver *v = work->data;
	uint64_t start = clock_mono_ms();

	err_clear(&v->result);
	if (last_good_write(v->path, v->key, v->writing, v->writing_ms, &v->result) == 0)
		v->result.code = ERR_NONE;
	v->took_ms = clock_mono_ms() - start;
}

static void saver_note_result(struct saver *v)
{
	if (v->result.code != ERR_NONE) {
		if (!v->failing)
			log_error("snapshot_not_saved", log_err(&v->result));
		v->retry_ms = v->failing ? MIN(2 * v->retry_ms, RETRY_MAX_MS) : RETRY_MIN_MS;
		v->failing = true;
		return;
	}
	if (v->failing)
		log_info("snapshot_saved_again", log_u("revision", v->writing->revision.seq));
	v->failing = false;
	v->saved = v->writing->revision;
	v->saved_ms = v->writing_ms;
}

static void on_timer(uv_timer_t *t);

static uint64_t saver_rest_ms(const struct saver *v)
{
	return MAX(REST_MS, REST_TIMES * v->took_ms);
}

static void saver_wait(struct saver *v, uint64_t ms)
{
	saver_move(v, SAVER_WAITING);
	uv_timer_start(&v->timer, on_timer, ms, 0);
}

static void on_written(uv_work_t *work, int status)
{
	struct saver *v = work->data;
	bool is_retry;

	(void)status; /* nobody cancels it */
	saver_note_result(v);
	is_retry = v->failing && v->wanted == NULL;
	if (is_retry) {
		v->wanted = v->writing;
		v->wanted_ms = v->writing_ms;
	} else {
		snapshot_unref(v->writing);
	}
	v->writing = NULL;
	saver_move(v, SAVER_IDLE);
	if (v->close_wanted)
		saver_close(v, v->on_closed, v->arg);
	else if (v->wanted != NULL)
		saver_wait(v, is_retry ? v->retry_ms : saver_rest_ms(v));
}

static void saver_take_wanted(struct saver *v)
{
	v->writing = v->wanted;
	v->writing_ms = v->wanted_ms;
	v->wanted = NULL;
}

static void on_timer(uv_timer_t *t)
{
	struct saver *v = t->data;

	saver_take_wanted(v);
	saver_move(v, SAVER_WRITING);
	uv_queue_work(v->loop, &v->work, work_write, on_written);
}

/* The file says the same, and says it recently enough. */
static bool saver_is_saved(const struct saver *v, const struct snapshot *s, int64_t now)
{
	return !v->failing && v->saved_ms != 0 && now - v->saved_ms < (int64_t)v->confirm_ms &&
	       v->saved.seq == s->revision.seq && memcmp(&v->saved.log_id, s->revision.log_id, PROTO_LOG_ID_SIZE) == 0;
}

void saver_confirmed(struct saver *v, struct snapshot *s)
{
	int64_t now = clock_wall_ms();
	bool sooner = v->wanted != s && v->failing; /* it may fit where the older one did not */

	if (v->close_wanted || saver_is_saved(v, s, now))
		return;
	if (v->state == SAVER_WRITING && v->writing == s)
		return;
	snapshot_unref(v->wanted);
	v->wanted = snapshot_ref(s);
	v->wanted_ms = now;
	if (v->state == SAVER_IDLE)
		saver_wait(v, SETTLE_MS);
	else if (v->state == SAVER_WAITING && sooner && uv_timer_get_due_in(&v->timer) > saver_rest_ms(v))
		uv_timer_start(&v->timer, on_timer, saver_rest_ms(v), 0);
}

bool saver_failing(const struct saver *v)
{
	return v->failing;
}

static void on_timer_closed(uv_handle_t *h)
{
	struct saver *v = h->data;
	void (*on_closed)(void *arg) = v->on_closed;
	void *arg = v->arg;

	snapshot_unref(v->wanted);
	seal_wipe(v->key, sizeof v->key);
	free(v);
	on_closed(arg);
}

void saver_close(struct saver *v, void (*on_closed)(void *arg), void *arg)
{
	if (v->state == SAVER_CLOSING)
		return;
	v->close_wanted = true;
	v->on_closed = on_closed;
	v->arg = arg;
	if (v->state == SAVER_WRITING)
		return; /* on_written() comes back here */
	if (v->wanted != NULL) {
		saver_take_wanted(v);
		work_write(&v->work);
		saver_note_result(v);
		snapshot_unref(v->writing);
	}
	saver_move(v, SAVER_CLOSING);
	uv_close((uv_handle_t *)&v->timer, on_timer_closed);
}
