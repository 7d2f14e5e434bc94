#include "controld/app.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/sd_notify.h"
#include "controld/app_parts.h"
#include "controld/loop/loop.h"
#include "controld/options.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define STOP_LIMIT_S   10     /* from the signal to the end, whatever hangs */
#define START_PAUSE_US 500000 /* between two tries to start */

/* ---- stopping ---------------------------------------------------------------------------------------------------- */

/*
 * nng 1.5 can wait for ever in closing a TLS socket. What was acknowledged is on disk by then and a relay does not care
 * how its controld ended, so the process leaves: only what a signal handler may call.
 */
static void on_stop_overdue(int signo)
{
	static const char text[] = "controld: stopping took too long, leaving\n";

	(void)signo;
	(void)!write(STDERR_FILENO, text, sizeof text - 1);
	_exit(0);
}

static void on_server_stopped(void *arg)
{
	loop_stop(((struct app *)arg)->loop);
}

/* The first signal lets running requests finish; a second one does not wait for anything. */
static void on_stop(void *arg)
{
	struct app *a = arg;

	if (a->stopping) {
		log_warn("stop_forced");
		_exit(1);
	}
	a->stopping = true;
	signal(SIGALRM, on_stop_overdue);
	alarm(STOP_LIMIT_S);
	log_info("stopping");
	sd_notify_send("STOPPING=1");
	app_jobs_wind_down(a);
	server_stop(a->server, on_server_stopped, a);
}

/* ---- reloading --------------------------------------------------------------------------------------------------- */

static void on_difference(const struct conf_key *k, bool reloadable, void *arg)
{
	(void)arg;
	if (reloadable)
		log_info("setting_changed", log_s("key", k->key));
	else
		log_warn("setting_needs_restart", log_s("key", k->key));
}

static void reload_take(struct app *a, struct settings *fresh)
{
	struct err e = { 0 };

	if (app_http_reload(a, fresh, &e) != 0) {
		log_error("reload_refused", log_err(&e));
		settings_free(fresh);
		return;
	}
	conf_diff(&settings_table, a->live, fresh, on_difference, a);
	log_set_level((enum log_level)fresh->log.level);
	if (a->live != a->settings)
		settings_free(a->live);
	a->live = fresh;
	log_info("settings_reloaded", log_s("log_level", settings_log_level(fresh)));
}

/* Whole or not at all: a file that cannot be read changes nothing. */
static void on_reload(void *arg)
{
	struct app *a = arg;
	struct err_list *errs = calloc(1, sizeof *errs);
	struct settings *fresh;

	if (errs == NULL)
		return;
	sd_notify_reloading();
	if (options_settings(a->options, &fresh, errs) == 0)
		reload_take(a, fresh);
	for (size_t i = 0; i < errs->n; i++)
		log_error("reload_refused", log_err(&errs->items[i]));
	free(errs);
	sd_notify_send("READY=1");
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

/* Shells give 1024 descriptors and allow many more; each relay and each client of the API takes one. */
static void raise_descriptors(void)
{
	struct rlimit fds;

	if (getrlimit(RLIMIT_NOFILE, &fds) != 0)
		return;
	fds.rlim_cur = fds.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &fds) != 0)
		log_warn("descriptors_not_raised", log_u("wanted", fds.rlim_max));
}

static int app_loop_open(struct app *a, struct err *e)
{
	raise_descriptors();
	/* A peer that went away and a limit on file sizes are errors of one write, not the end of the program. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	return loop_new(&a->loop, e);
}

static void app_loop_close(struct app *a)
{
	loop_free(a->loop);
}

static volatile sig_atomic_t is_over; /* there is nothing left that a signal could end sooner */

/* While the loop hears none: before it does, a signal ends the program, which is right while there is nothing to finish; when
 * it is gone, the parts below it are still being closed, and threads of libraries, which block nothing, are there to the end. */
static void on_unheard_signal(int signo)
{
	if (is_over)
		return;
	signal(signo, SIG_DFL);
	(void)raise(signo);
}

/* Last. The loop gives signals back to whom it had them from. */
static int app_signals_open(struct app *a, struct err *e)
{
	static const struct {
		int number;
		loop_fn fn;
	} signals[] = { { SIGTERM, on_stop }, { SIGINT, on_stop }, { SIGHUP, on_reload } };

	is_over = 0;
	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		signal(signals[i].number, on_unheard_signal);
		if (loop_signal(a->loop, signals[i].number, signals[i].fn, a, e) != 0)
			return -1;
	}
	return 0;
}

static void app_signals_close(struct app *a)
{
	(void)a;
	is_over = 1;
}

/* ---- the parts --------------------------------------------------------------------------------------------------- */

/* Opened from top to bottom, closed from bottom to top. */
static const struct part {
	int (*open)(struct app *a, struct err *e);
	void (*close)(struct app *a); /* takes a part that did not fully open */
} parts[] = {
	{ app_store_open, app_store_close },
	{ app_cluster_open, app_cluster_close },
	{ app_loop_open, app_loop_close },
	{ app_identity_open, app_identity_close },
	{ app_http_open, app_http_close },
	{ app_outbound_open, app_outbound_close },
	{ app_platform_open, app_platform_close },
	{ app_jobs_open, app_jobs_close },
	{ app_mail_open, app_mail_close },
	{ app_panel_open, app_panel_close },
	{ app_clients_open, app_clients_close },
	{ app_fleet_open, app_fleet_close },
	{ app_tunnels_open, app_tunnels_close },
	{ app_balancer_open, app_balancer_close },
	{ app_certs_open, app_certs_close },
	{ app_dynamic_open, app_dynamic_close },
	{ app_events_open, app_events_close },
	{ app_notify_open, app_notify_close },
	{ app_device_login_open, app_device_login_close },
	{ app_serve_open, app_serve_close },
	{ app_company_open, app_company_close },
	{ app_work_open, app_work_close },
	{ app_janitor_open, app_janitor_close },
	{ app_signals_open, app_signals_close },
};

static int parts_open(struct app *a, struct err *e)
{
	while (a->opened < ARRAY_LEN(parts))
		if (parts[a->opened++].open(a, e) != 0)
			return -1;
	return 0;
}

static void parts_close(struct app *a)
{
	while (a->opened > 0)
		parts[--a->opened].close(a);
}

/* What its parts leave in it is theirs: each try has one of its own, and is another run to the other controlds. */
static void app_begin(struct app *a, const struct options *o, struct settings *s)
{
	*a = (struct app){ .options = o, .settings = s, .live = s };
	rand_id(a->self, "ctl");
}

/* Another controld that holds on to the database does so for a moment: it is waited for as one that cannot be reached is. */
static int parts_open_patiently(struct app *a, struct err *e)
{
	const uint64_t end_ms = clock_mono_ms() + a->settings->database.start_wait_ms;

	while (parts_open(a, e) != 0) {
		if (e->code != ERR_OVERLOADED || clock_mono_ms() >= end_ms)
			return -1;
		log_warn("start_put_off", log_err(e));
		parts_close(a);
		app_begin(a, a->options, a->settings);
		err_clear(e);
		(void)usleep(START_PAUSE_US);
	}
	return 0;
}

static int app_run(struct app *a, struct err *e)
{
	if (parts_open_patiently(a, e) != 0)
		return -1;
	log_info("started", log_s("version", PORTWAY_VERSION), log_s("data_dir", a->settings->data_dir));
	sd_notify_send("READY=1");
	return loop_run(a->loop, e);
}

int app_main(const struct options *o)
{
	struct settings *settings;
	struct err e = { 0 };
	struct app a;
	int rc;

	if (options_settings_or_say(o, &settings) != 0)
		return -1;
	log_init("controld", (enum log_level)settings->log.level, (enum log_format)settings->log.format, STDERR_FILENO);
	app_begin(&a, o, settings);
	if ((rc = app_run(&a, &e)) != 0)
		log_error("start_failed", log_err(&e));
	parts_close(&a);
	if (a.live != a.settings)
		settings_free(a.live);
	settings_free(a.settings);
	if (rc == 0)
		log_info("stopped");
	return rc;
}
