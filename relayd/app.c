#include "relayd/app.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/sd_notify.h"
#include "common/base/sm.h"
#include "relayd/admin/admin.h"
#include "relayd/app_room.h"
#include "relayd/bequest.h"
#include "relayd/conf/last_good.h"
#include "relayd/conf/snapshot.h"
#include "relayd/loop/child.h"
#include "relayd/options.h"
#include "relayd/pages.h"
#include "relayd/running.h"
#include "relayd/saver.h"
#include "relayd/settings.h"
#include "relayd/tunnel/agents.h"
#include "relayd/uplink.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DRAIN_LOOK_MS     50
#define DRAIN_GRACE_MS    1000 /* after the deadline, for the services to end what is left */
#define FLUSH_MS          5000 /* for the last reports; */
#define FLUSH_ALONE_MS    200  /* when controld cannot be reached */
#define ADMIN_DEADLINE_MS 10000
#define CONFIRM_PARTS     28 /* the file's age is renewed so many times within max_stale */

static const struct sm_state states[] = {
	[APP_STARTING] = { "starting", BIT(APP_SERVING) | BIT(APP_CLOSING) },
	[APP_SERVING] = { "serving", BIT(APP_DRAINING) },
	[APP_DRAINING] = { "draining", BIT(APP_FLUSHING) },
	[APP_FLUSHING] = { "flushing", BIT(APP_CLOSING) },
	[APP_CLOSING] = { "closing", 0 },
};

static const int signal_numbers[SIGNALS_N] = { SIGTERM, SIGINT, SIGHUP, SIGUSR2 };

static void app_move(struct app *a, enum app_state to)
{
	sm_move(states, &a->state, (int)to);
	log_info("state", log_s("now", states[to].name));
}

const char *app_state_name(const struct app *a)
{
	return states[a->state].name;
}

/* ---- what the parts tell ----------------------------------------------------------------------------------------- */

static void on_refusals(void *arg)
{
	struct app *a = arg;

	if (a->uplink != NULL)
		uplink_hurry(a->uplink);
}

static void on_agents(void *arg)
{
	on_refusals(arg); /* the same haste */
}

static void on_backends(void *arg)
{
	on_refusals(arg);
}

static int on_send(void *arg, struct buf *message, void (*on_reply)(void *arg, const void *msg, size_t n), void *of)
{
	struct app *a = arg;

	if (a->uplink != NULL)
		return uplink_send(a->uplink, message, on_reply, of);
	buf_free(message);
	return -1;
}

static void on_current(void *arg, struct snapshot *s)
{
	struct app *a = arg;

	if (a->saver != NULL)
		saver_confirmed(a->saver, s);
}

static void on_load(void *arg, struct node_load *out)
{
	struct app *a = arg;

	engine_load(&a->engine, out);
}

static void on_clients(void *arg, struct client_states *out)
{
	struct app *a = arg;

	if (a->engine.agents != NULL)
		agents_states(a->engine.agents, out);
}

static void on_backend_states(void *arg, struct backend_states *out)
{
	struct app *a = arg;

	pool_watch_states(&a->engine.health, out);
}

static void on_identity(void *arg, const char *node, const char *cert, const char *ca, const char *key)
{
	struct app *a = arg;

	engine_set_identity(&a->engine, node, cert, ca, key);
}

static void on_nothing(void *arg)
{
	(void)arg;
}

/* ---- admin pages ------------------------------------------------------------------------------------------------- */

static void app_view(struct app *a, struct pages_view *v)
{
	*v = (struct pages_view){ .series_max = a->settings->metrics_series,
		.draining = a->state != APP_SERVING,
		.snapshot_not_saved = a->saver != NULL && saver_failing(a->saver),
		.uplink = { .node_id = "", .trouble = "a successor has the line" } };
	engine_view(&a->engine, v);
	if (a->uplink != NULL)
		uplink_state(a->uplink, &v->uplink);
}

static unsigned on_metrics(void *arg, struct buf *out)
{
	struct pages_view v;

	app_view(arg, &v);
	pages_metrics(&v, out);
	return 200;
}

static unsigned on_health(void *arg, struct buf *out)
{
	struct pages_view v;

	app_view(arg, &v);
	return pages_health(&v, out);
}

static unsigned on_ready_page(void *arg, struct buf *out)
{
	struct pages_view v;

	app_view(arg, &v);
	return pages_ready(&v, out);
}

static const struct admin_page pages[] = {
	{ "/metrics", "text/plain; version=0.0.4; charset=utf-8", on_metrics },
	{ "/health", "application/json", on_health },
	{ "/ready", "application/json", on_ready_page },
};

/* ---- closing: everything that has a handle, then the loop ends by itself ------------------------------------------- */

static void app_close(struct app *a)
{
	app_move(a, APP_CLOSING);
	engine_halt(&a->engine);
	bequest_free(a->bequest);
	a->bequest = NULL;
	if (a->uplink != NULL)
		uplink_close(a->uplink, on_nothing, NULL);
	if (a->saver != NULL)
		saver_close(a->saver, on_nothing, NULL);
	if (a->admin != NULL)
		admin_close(a->admin, on_nothing, NULL);
	a->uplink = NULL;
	a->saver = NULL;
	a->admin = NULL;
	inheritance_fini(&a->inheritance);
	engine_stop(&a->engine);
	if (!a->handles_open)
		return;
	app_hold_signals(); /* those that come now would end it, unheard: they wait until it is gone */
	for (int i = 0; i < SIGNALS_N; i++)
		uv_close((uv_handle_t *)&a->signals[i], NULL);
	uv_close((uv_handle_t *)&a->drain_timer, NULL);
	a->handles_open = false;
}

static void on_flushed(void *arg, bool all)
{
	struct app *a = arg;

	if (a->state != APP_FLUSHING)
		return;
	log_info("flushed", log_s("all", all ? "yes" : "no"));
	app_close(a);
}

static bool app_connected(const struct app *a)
{
	struct uplink_state s;

	uplink_state(a->uplink, &s);
	return s.connected;
}

/* The workers are joined first, so that what is reported is final. */
static void app_flush(struct app *a)
{
	app_move(a, APP_FLUSHING);
	uv_timer_stop(&a->drain_timer);
	engine_halt(&a->engine);
	if (a->uplink == NULL)
		app_close(a); /* the successor reports */
	else
		uplink_flush(a->uplink, app_connected(a) ? FLUSH_MS : FLUSH_ALONE_MS, on_flushed, a);
}

/* ---- draining ---------------------------------------------------------------------------------------------------- */

static void on_drain_timer(uv_timer_t *t)
{
	struct app *a = t->data;
	struct service_stats stats;

	services_stats(&a->engine.services, &stats);
	if (stats.connections == 0 || clock_mono_ms() >= a->drain_until + DRAIN_GRACE_MS)
		app_flush(a);
}

void app_drain(struct app *a, uint64_t ms)
{
	a->drain_until = clock_mono_ms() + ms;
	if (a->state == APP_SERVING) {
		app_move(a, APP_DRAINING);
		if (a->uplink != NULL)
			uplink_stop_polling(a->uplink);
		services_quiesce(&a->engine.services, a->handed_over);
	}
	services_drain(&a->engine.services, ms == 0 ? 0 : a->drain_until);
	uv_timer_start(&a->drain_timer, on_drain_timer, 0, DRAIN_LOOK_MS);
}

static void on_term(struct app *a)
{
	bequest_free(a->bequest); /* a successor that does not serve alone yet ends with us */
	a->bequest = NULL;
	switch (a->state) {
	case APP_SERVING:
		sd_notify_send("STOPPING=1");
		app_drain(a, a->settings->drain_timeout_ms);
		break;
	case APP_DRAINING:
		app_drain(a, 0);
		break;
	case APP_STARTING:
	case APP_FLUSHING:
		app_close(a);
		break;
	default:
		break;
	}
}

/* ---- settings again ------------------------------------------------------------------------------------------------ */

static void on_setting(const struct conf_key *k, bool reloadable, void *arg)
{
	(void)arg;
	if (reloadable)
		log_info("setting_changed", log_s("key", k->key));
	else
		log_warn("setting_needs_restart", log_s("key", k->key));
}

static void app_reload(struct app *a)
{
	struct settings next, *now = a->settings;

	if (options_settings(a->options, &next) != 0) {
		log_error("settings_refused",
			log_s("what_to_do", "correct them and send SIGHUP again; the old ones stay"));
		return;
	}
	conf_diff(settings_table(), now, &next, on_setting, NULL);
	now->log_level = next.log_level;
	now->drain_timeout_ms = next.drain_timeout_ms;
	now->handover_timeout_ms = next.handover_timeout_ms;
	now->meter_sync_ms = next.meter_sync_ms;
	now->metrics_series = next.metrics_series;
	now->heartbeat_ms = next.heartbeat_ms;
	now->report_ms = next.report_ms;
	settings_free(&next);
	log_set_level((enum log_level)now->log_level);
	engine_set_sync_interval(&a->engine, now->meter_sync_ms);
	if (a->uplink != NULL)
		uplink_set_intervals(a->uplink, now->heartbeat_ms, now->report_ms);
	log_info("settings_reloaded", log_s("log_level", settings_log_level(now)));
}

/* ---- the line to controld, and the file of the last good configuration ------------------------------------------- */

int app_open_uplink(struct app *a, struct err *e)
{
	const struct uplink_conf conf = { .settings = a->settings,
		.identity_path = a->dir.identity,
		.seal = a->dir.key,
		.running = a->engine.running,
		.services = &a->engine.services,
		.meter = a->engine.meter,
		.spending = a->engine.spending,
		.load = on_load,
		.clients = on_clients,
		.backends = on_backend_states,
		.identity = on_identity,
		.arg = a };

	if (saver_new(&a->saver, &a->loop, a->dir.snapshot, a->dir.key, a->settings->max_stale_ms / CONFIRM_PARTS, e) !=
		0)
		return -1;
	if (uplink_new(&a->uplink, &a->loop, &conf, e) != 0)
		return -1;
	uplink_start(a->uplink);
	return 0;
}

/* ---- starting ---------------------------------------------------------------------------------------------------- */

static void on_signal(uv_signal_t *h, int number)
{
	struct app *a = h->data;

	log_info("signal", log_i("number", number));
	if (number == SIGHUP)
		app_reload(a);
	else if (number == SIGUSR2)
		app_hand_over(a);
	else
		on_term(a);
}

static void mask_signals(int how)
{
	sigset_t set;

	sigemptyset(&set);
	for (int i = 0; i < SIGNALS_N; i++)
		sigaddset(&set, signal_numbers[i]);
	pthread_sigmask(how, &set, NULL);
}

void app_hold_signals(void)
{
	mask_signals(SIG_BLOCK);
}

static void on_pool_work(uv_work_t *w)
{
	(void)w;
}

static void on_pool_worked(uv_work_t *w, int status)
{
	(void)w;
	(void)status;
}

/* The pool's threads block the signals that are held when they start; from then on only the control thread hears any. */
static void app_open_handles(struct app *a)
{
	uv_queue_work(&a->loop, &a->first_work, on_pool_work, on_pool_worked);
	for (int i = 0; i < SIGNALS_N; i++) {
		uv_signal_init(&a->loop, &a->signals[i]);
		a->signals[i].data = a;
		uv_signal_start(&a->signals[i], on_signal, signal_numbers[i]);
	}
	mask_signals(SIG_UNBLOCK);
	uv_timer_init(&a->loop, &a->drain_timer);
	a->drain_timer.data = a;
	a->handles_open = true;
}

/* What was served last, if it is there, readable and not too old. */
static void app_begin_from_disk(struct app *a)
{
	struct err e = { .code = ERR_NONE };
	struct snapshot *s = NULL;
	int64_t confirmed_ms, age_ms;

	if (last_good_read(a->dir.snapshot, a->dir.key, &s, &confirmed_ms, &e) != 0) {
		if (e.code != ERR_NOT_FOUND)
			log_error("snapshot_ignored", log_s("path", a->dir.snapshot), log_err(&e));
		return;
	}
	age_ms = clock_wall_ms() - confirmed_ms;
	if (age_ms > (int64_t)a->settings->max_stale_ms)
		log_error("snapshot_too_old", log_i("age_s", age_ms / 1000),
			log_u("max_stale_s", a->settings->max_stale_ms / 1000),
			log_s("what_to_do", "nothing is served until controld answers"));
	else
		running_begin(a->engine.running, s);
	snapshot_unref(s);
}

static int app_inherit(struct app *a, struct err *e)
{
	if (inheritance_take(&a->inheritance, CHILD_FD, &a->engine.services, e) != 0)
		return -1;
	a->dir.lock_fd = a->inheritance.lock_fd;
	a->inheritance.lock_fd = -1;
	if (a->inheritance.snapshot != NULL)
		running_begin(a->engine.running, a->inheritance.snapshot);
	return 0;
}

static int app_open_admin(struct app *a, struct err *e)
{
	struct admin_conf conf = { .listen = a->settings->metrics_listen,
		.listen_fd = a->options->successor ? a->inheritance.admin_fd : -1,
		.connections = a->settings->metrics_connections,
		.deadline_ms = ADMIN_DEADLINE_MS,
		.pages = pages,
		.n_pages = ARRAY_LEN(pages),
		.arg = a };

	if (strcmp(conf.listen, "off") == 0)
		return 0;
	a->inheritance.admin_fd = -1;
	return admin_open(&a->admin, &a->loop, &conf, e);
}

static int app_begin_alone(struct app *a, struct err *e)
{
	char state[64];

	if (app_open_uplink(a, e) != 0)
		return -1;
	app_move(a, APP_SERVING);
	snprintf(state, sizeof state, "MAINPID=%d\nREADY=1", (int)getpid());
	sd_notify_send(state);
	return 0;
}

/* The predecessor has stepped back; should it be dead instead, nobody else serves either. */
static void on_go(void *arg, bool ok)
{
	struct app *a = arg;
	struct err e = { .code = ERR_NONE };

	log_info("took_over", log_s("predecessor", ok ? "stepped back" : "is gone"));
	inheritance_fini(&a->inheritance);
	if (app_begin_alone(a, &e) != 0) {
		log_error("cannot_serve", log_err(&e));
		app_close(a);
	} else if (a->hand_over_wanted) {
		a->hand_over_wanted = false;
		app_hand_over(a);
	}
}

static int app_start(struct app *a, struct err *e)
{
	static const struct engine_events events = { on_refusals, on_agents, on_backends, on_current, on_send };
	ssize_t n = readlink("/proc/self/exe", a->program, sizeof a->program - 1);

	a->program[MAX(n, 0)] = '\0';
	if (data_dir_open(&a->dir, a->settings->data_dir, !a->options->successor, e) != 0 ||
		engine_init(&a->engine, &a->loop, a->settings, &a->dir, &events, a, e) != 0)
		return -1;
	app_open_handles(a);
	if (a->options->successor) {
		if (app_inherit(a, e) != 0 || app_open_admin(a, e) != 0)
			return -1;
		return successor_ready(a->inheritance.from, &a->loop, on_go, a, e);
	}
	app_begin_from_disk(a);
	if (app_open_admin(a, e) != 0)
		return -1;
	return app_begin_alone(a, e);
}

int app_run(const struct options *options, struct settings *settings)
{
	struct app *a = calloc(1, sizeof *a);
	struct err e = { .code = ERR_NONE };
	int status = 0;

	if (a == NULL)
		return 1;
	log_init("relayd", (enum log_level)settings->log_level, (enum log_format)settings->log_format, 2);
	log_info("start", log_s("version", PORTWAY_VERSION), log_s("name", settings->name), log_i("pid", getpid()));
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file too large is an error like any other */
	a->options = options;
	a->settings = settings;
	a->dir.lock_fd = -1;
	uv_loop_init(&a->loop);
	if (app_start(a, &e) != 0) {
		log_error("cannot_start", log_err(&e));
		app_close(a);
		status = 1;
	}
	uv_run(&a->loop, UV_RUN_DEFAULT);
	engine_fini(&a->engine);
	uv_loop_close(&a->loop);
	data_dir_close(&a->dir);
	settings_free(settings);
	log_info("end", log_i("status", status));
	free(a);
	return status;
}
