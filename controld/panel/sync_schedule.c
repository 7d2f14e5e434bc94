/* The schedule that syncs by the clock: one row of the schedules, which the settings make, change and pause. */
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/jobs/schedule.h"
#include "controld/panel/room.h"

#include <inttypes.h>

#define SCHEDULE_ID   "sch_panel_sync"
#define SCHEDULE_NAME "panel-sync"

struct following {
	const struct sync_settings *settings;
	int64_t now_ms;
};

static void describe(struct schedule *s, const struct sync_settings *settings, int64_t now_ms)
{
	(void)str_fmt(s->cron, sizeof s->cron, "@every %" PRId64 "s", settings->interval_s);
	s->paused = settings->automatic == 0;
	s->updated_ms = now_ms;
}

static int plan_next(struct schedule *s, int64_t now_ms, struct err *e)
{
	s->next_ms = 0;
	return s->paused ? 0 : schedule_next(s, now_ms, &s->next_ms, e);
}

static int make(struct db *tx, const struct following *f, struct err *e)
{
	struct schedule s = { .version = 1, .created_ms = f->now_ms };

	(void)str_copy(s.id, sizeof s.id, SCHEDULE_ID);
	(void)str_copy(s.name, sizeof s.name, SCHEDULE_NAME);
	(void)str_copy(s.kind, sizeof s.kind, SYNC_KIND);
	(void)str_copy(s.args, sizeof s.args, "{\"requested_by\":\"schedule\",\"type\":\"" SYNC_FULL "\"}");
	(void)str_copy(s.time_zone, sizeof s.time_zone, "UTC");
	describe(&s, f->settings, f->now_ms);
	return plan_next(&s, f->now_ms, e) != 0 ? -1 : schedule_insert(tx, &s, e);
}

static int work_follow(struct db *tx, void *arg, struct err *e)
{
	const struct following *f = arg;
	struct schedule s, wanted;
	struct err none = { 0 };

	if (schedule_get(tx, "", SCHEDULE_ID, &s, &none) != 0) {
		if (none.code == ERR_NOT_FOUND)
			return f->settings->automatic != 0 ? make(tx, f, e) : 0;
		*e = none;
		return -1;
	}
	wanted = s;
	describe(&wanted, f->settings, f->now_ms);
	if (str_eq(wanted.cron, s.cron) && wanted.paused == s.paused)
		return 0;
	return plan_next(&wanted, f->now_ms, e) != 0 ? -1 : schedule_update(tx, &wanted, e);
}

int sync_schedule_follow(struct panels *p, const struct sync_settings *s, int64_t now_ms, struct err *e)
{
	struct following f = { s, now_ms };

	return store_write(p->conf.store, STORE_LOGGED, work_follow, &f, e);
}
