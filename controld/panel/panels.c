#include "controld/panel/panels.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "controld/panel/rate.h"
#include "controld/panel/room.h"
#include "controld/panel/sync_report.h"
#include "controld/panel/turn.h"
#include "controld/panel/walk.h"
#include "controld/platform/platform.h"
#include "controld/store/store.h"

#include <stdlib.h>
#include <string.h>

#define COUNTS_MS   5000
#define CLEAN_BATCH 500

const struct sql_table *const panels_sql[] = { &mirror_sql, &walk_sql, &sync_log_sql, &turn_sql };
const size_t panels_sql_n = ARRAY_LEN(panels_sql);
const struct erasure *const panels_erasures[] = { &sync_log_erasure };
const size_t panels_erasures_n = ARRAY_LEN(panels_erasures);

/* ---- settings -------------------------------------------------------------------------------------------------------- */

static const struct slot_keys {
	enum setting_key url, key;
} slots[PANEL_SLOTS] = {
	[PANEL_SLOT_GAME] = { SETTING_PTERODACTYL_URL, SETTING_PTERODACTYL_API_KEY },
	[PANEL_SLOT_VIRTFUSION] = { SETTING_VIRTFUSION_URL, SETTING_VIRTFUSION_API_KEY },
};

int panels_access(struct panels *p, enum panel_slot slot, struct panel_access *out, struct err *e)
{
	struct platform *from = p->conf.platform;
	size_t n;

	if (platform_text(from, slots[slot].url, out->url, sizeof out->url, e) != 0 ||
		platform_text(from, slots[slot].key, out->key, sizeof out->key, e) != 0 ||
		platform_text(from, SETTING_CF_ACCESS_CLIENT_ID, out->access_id, sizeof out->access_id, e) != 0 ||
		platform_text(
			from, SETTING_CF_ACCESS_CLIENT_SECRET, out->access_secret, sizeof out->access_secret, e) != 0)
		return -1;
	for (n = strlen(out->url); n > 0 && out->url[n - 1] == '/'; n--)
		out->url[n - 1] = '\0';
	return 0;
}

int panels_settings(struct panels *p, struct sync_settings *out, struct err *e)
{
	struct platform *from = p->conf.platform;

	if (platform_number(from, SETTING_AUTO_SYNC_ENABLED, &out->automatic, e) != 0 ||
		platform_number(from, SETTING_AUTO_SYNC_INTERVAL, &out->interval_s, e) != 0)
		return -1;
	return platform_number(from, SETTING_SYNC_BATCH_SIZE, &out->batch, e);
}

/* ---- how much there is ---------------------------------------------------------------------------------------------- */

static int count(struct panels *p, struct mirror_counts *out, struct err *e)
{
	struct db *db;
	int rc;

	if (store_read_begin(p->conf.store, &db, e) != 0)
		return -1;
	rc = mirror_count(db, out, e);
	store_read_end(db);
	return rc;
}

/* Anybody may ask, as often as he likes: the database is asked now and then. */
int panels_counts(struct panels *p, struct mirror_counts *out, struct err *e)
{
	const uint64_t now = clock_mono_ms();
	bool fresh;

	pthread_mutex_lock(&p->lock);
	fresh = p->counted_ms != 0 && now - p->counted_ms < COUNTS_MS;
	*out = p->counts;
	pthread_mutex_unlock(&p->lock);
	if (fresh)
		return 0;
	if (count(p, out, e) != 0)
		return -1;
	pthread_mutex_lock(&p->lock);
	p->counts = *out;
	p->counted_ms = now;
	pthread_mutex_unlock(&p->lock);
	return 0;
}

/* ---- now and then --------------------------------------------------------------------------------------------------- */

struct settling {
	struct panels *panels;
	const struct sync_report *report;
	int64_t now_ms;
	struct db *tx;
	struct err *e;
};

static int on_settled(const struct sync_log *s, void *arg)
{
	const struct settling *t = arg;
	const char *op = strcmp(s->state, "CANCELLED") == 0 ? "cancelled" : "failed";

	if (walk_forget(t->tx, s->job_id, t->e) != 0)
		return -1;
	if (sync_log_change(t->tx, s, "system", op, s->completed_ms, t->e) != 0)
		return -1;
	return sync_report_in(t->tx, t->panels, t->report, s, t->e);
}

static int work_settle(struct db *tx, void *arg, struct err *e)
{
	struct settling *t = arg;

	t->tx = tx;
	t->e = e;
	return sync_log_settle(tx, t->now_ms, on_settled, t, e);
}

static int settle(struct panels *p, int64_t now_ms, struct err *e)
{
	struct sync_report report;
	struct settling t = { .panels = p, .report = &report, .now_ms = now_ms };
	int64_t n = 0;
	struct db *db;
	int rc;

	if (store_read_begin(p->conf.store, &db, e) != 0)
		return -1;
	rc = sync_log_unsettled(db, &n, e);
	store_read_end(db);
	if (rc != 0 || n == 0)
		return rc;
	if (sync_report_read(p, &report, e) != 0)
		return -1;
	return store_write(p->conf.store, STORE_LOGGED, work_settle, &t, e);
}

int panels_tick(struct panels *p, int64_t now_ms, struct err *e)
{
	struct sync_settings s;
	bool same;

	if (settle(p, now_ms, e) != 0 || panels_settings(p, &s, e) != 0)
		return -1;
	pthread_mutex_lock(&p->lock);
	same = p->scheduled && s.automatic == p->schedule.automatic && s.interval_s == p->schedule.interval_s;
	pthread_mutex_unlock(&p->lock);
	if (same)
		return 0;
	if (sync_schedule_follow(p, &s, now_ms, e) != 0)
		return -1;
	pthread_mutex_lock(&p->lock);
	p->scheduled = true;
	p->schedule = s;
	pthread_mutex_unlock(&p->lock);
	return 0;
}

struct cleaning {
	int64_t before_ms;
	unsigned objects, logs;
};

static int work_clean(struct db *tx, void *arg, struct err *e)
{
	struct cleaning *c = arg;

	if (mirror_prune(tx, c->before_ms, CLEAN_BATCH, &c->objects, e) != 0)
		return -1;
	return sync_log_prune(tx, c->before_ms, CLEAN_BATCH, &c->logs, e);
}

int panels_clean(struct panels *p, int64_t now_ms, struct err *e)
{
	struct cleaning c = { .before_ms = now_ms - (int64_t)p->conf.keep_ms };

	do {
		if (store_write(p->conf.store, STORE_OPERATIONAL, work_clean, &c, e) != 0)
			return -1;
	} while (c.objects == CLEAN_BATCH || c.logs == CLEAN_BATCH);
	return 0;
}

/* ---- life ------------------------------------------------------------------------------------------------------------ */

struct job_kinds panels_kinds(struct panels *p)
{
	return (struct job_kinds){ sync_job_kinds, sync_job_kinds_n, p };
}

struct route_table panels_routes(struct panels *p)
{
	return (struct route_table){ panels_rows, panels_rows_n, p };
}

int panels_new(struct panels **out, const struct panels_conf *conf, struct err *e)
{
	struct panels *p = calloc(1, sizeof *p);

	if (p == NULL)
		return err_set(e, ERR_NOMEM, NULL, "panels: out of memory");
	p->conf = *conf;
	rand_id(p->self, "run");
	pthread_mutex_init(&p->lock, NULL);
	for (size_t i = 0; i < PANEL_SLOTS; i++)
		if (rate_new(&p->rates[i], conf->rate_limit, conf->rate_window_ms, e) != 0) {
			panels_free(p);
			return -1;
		}
	*out = p;
	return 0;
}

void panels_free(struct panels *p)
{
	if (p == NULL)
		return;
	for (size_t i = 0; i < PANEL_SLOTS; i++)
		rate_free(p->rates[i]);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
