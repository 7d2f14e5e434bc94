#include "controld/app.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/sd_notify.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/janitor.h"
#include "controld/loop/loop.h"
#include "controld/options.h"
#include "controld/settings.h"
#include "controld/store/changes.h"
#include "controld/store/migrate.h"
#include "controld/store/secrets.h"
#include "controld/store/store.h"
#include "controld/store/upkeep.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct app {
	const struct options *options;
	struct settings *settings;
	int database_lock;
	struct store *store;
	struct store *samples; /* series, in a file that need not survive a crash of the machine to the last second */
	struct loop *loop;
	struct janitor *janitor;
	size_t opened; /* parts */
	bool stopping;
};

/* ---- data folder and databases ----------------------------------------------------------------------------------- */

static int data_dir_open(struct app *a, struct err *e)
{
	const char *path = a->settings->data_dir;
	struct stat st;

	if (file_mkdirs(path, 0700, e) != 0)
		return -1;
	if (stat(path, &st) != 0)
		return err_set_sys(e, ERR_IO, errno, "data_dir %s", path);
	if ((st.st_mode & 022) != 0)
		return err_set(
			e, ERR_PERMISSION, "data_dir", "data_dir %s: others may write to it; chmod 700 %s", path, path);
	return 0;
}

static int master_key_set(struct app *a, struct err *e)
{
	uint8_t key[SEAL_KEY_SIZE];
	char path[PATH_MAX];
	int rc = 0;

	if (*a->settings->master_key != '\0')
		(void)str_unhex(key, sizeof key, a->settings->master_key); /* was checked */
	else if (str_fmt(path, sizeof path, "%s/master.key", a->settings->data_dir) != 0)
		rc = err_set(e, ERR_VALIDATION, "data_dir", "data_dir: name too long");
	else
		rc = seal_key_file(path, key, e);
	if (rc == 0) {
		store_set_master_key(a->store, key);
		store_set_master_key(a->samples, key);
	}
	seal_wipe(key, sizeof key);
	return rc;
}

/* A key that does not open what is sealed is told now, not when a relay joins next week. */
static int secrets_open(struct app *a, struct err *e)
{
	struct db *db;
	int rc;

	if (master_key_set(a, e) != 0 || store_read_begin(a->store, &db, e) != 0)
		return -1;
	rc = secrets_check(db, e);
	store_read_end(db);
	return rc;
}

static int store_part_open(struct app *a, struct err *e)
{
	char url[PATH_MAX + 16], samples_url[PATH_MAX + 16];
	struct store_conf conf = {
		.url = url,
		.readers = (unsigned)a->settings->database.readers,
		.group_max = (unsigned)a->settings->database.group_max,
		.queue_max = (unsigned)a->settings->database.queue_max,
		.wait_ms = a->settings->database.wait_ms,
	};

	if (settings_database_url(a->settings, url, sizeof url) != 0 ||
		settings_samples_url(a->settings, samples_url, sizeof samples_url) != 0)
		return err_set(e, ERR_VALIDATION, "data_dir", "data_dir: name too long");
	if (upkeep_lock(url, &a->database_lock, e) != 0 || store_open(&a->store, &conf, e) != 0 ||
		migrate_main(a->store, NULL, e) != 0)
		return -1;
	conf.url = samples_url;
	conf.relaxed = true;
	if (store_open(&a->samples, &conf, e) != 0 || migrate_apply(a->samples, &migrations_samples, NULL, e) != 0)
		return -1;
	return secrets_open(a, e);
}

static void store_part_close(struct app *a)
{
	store_close(a->samples);
	store_close(a->store);
	if (a->database_lock >= 0)
		close(a->database_lock);
}

/* ---- clean-up ---------------------------------------------------------------------------------------------------- */

#define PRUNE_BATCH 1000

struct prune {
	int64_t before_ms, removed;
};

static int work_prune(struct db *tx, void *arg, struct err *e)
{
	struct prune *p = arg;

	return changes_prune(tx, p->before_ms, PRUNE_BATCH, &p->removed, e);
}

static int clean_changes(void *arg, int64_t now_ms, struct err *e)
{
	struct app *a = arg;
	struct prune p = { .before_ms = now_ms - (int64_t)a->settings->keep.changes_ms };

	do {
		if (store_write(a->store, STORE_OPERATIONAL, work_prune, &p, e) != 0)
			return -1;
	} while (p.removed == PRUNE_BATCH);
	return 0;
}

static int janitor_part_open(struct app *a, struct err *e)
{
	const struct janitor_task tasks[] = {
		{ "changes", 10 * 60 * 1000, clean_changes, a },
	};

	return janitor_new(&a->janitor, tasks, ARRAY_LEN(tasks), e);
}

static void janitor_part_close(struct app *a)
{
	janitor_free(a->janitor);
}

/* ---- signals ----------------------------------------------------------------------------------------------------- */

static void on_stop(void *arg)
{
	struct app *a = arg;

	if (a->stopping) {
		log_warn("stop_forced");
		_exit(1);
	}
	a->stopping = true;
	log_info("stopping");
	sd_notify_send("STOPPING=1");
	loop_stop(a->loop);
}

static void on_difference(const struct conf_key *k, bool reloadable, void *arg)
{
	(void)arg;
	if (reloadable)
		log_info("setting_changed", log_s("key", k->key));
	else
		log_warn("setting_needs_restart", log_s("key", k->key));
}

static void reload_refused(const struct err_list *errs)
{
	for (size_t i = 0; i < errs->n; i++)
		log_error("setting_refused", log_err(&errs->items[i]));
	log_error("reload_refused", log_u("errors", errs->n + errs->dropped));
}

static void on_reload(void *arg)
{
	struct app *a = arg;
	struct err_list errs = { 0 };
	struct settings *fresh;

	sd_notify_reloading();
	if (options_settings(a->options, &fresh, &errs) != 0) {
		reload_refused(&errs);
	} else {
		conf_diff(&settings_table, a->settings, fresh, on_difference, a);
		log_set_level((enum log_level)fresh->log.level);
		settings_free(fresh);
		log_info("settings_reloaded");
	}
	sd_notify_send("READY=1");
}

static int loop_part_open(struct app *a, struct err *e)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	if (loop_new(&a->loop, e) != 0)
		return -1;
	if (loop_signal(a->loop, SIGTERM, on_stop, a, e) != 0 || loop_signal(a->loop, SIGINT, on_stop, a, e) != 0)
		return -1;
	return loop_signal(a->loop, SIGHUP, on_reload, a, e);
}

static void loop_part_close(struct app *a)
{
	loop_free(a->loop);
}

/* ---- the parts --------------------------------------------------------------------------------------------------- */

/* Opened from top to bottom, closed from bottom to top; close takes a part that did not fully open. */
static const struct part {
	const char *name;
	int (*open)(struct app *a, struct err *e);
	void (*close)(struct app *a);
} parts[] = {
	{ "data_dir", data_dir_open, NULL },
	{ "database", store_part_open, store_part_close },
	{ "loop", loop_part_open, loop_part_close },
	{ "clean-up", janitor_part_open, janitor_part_close },
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
	while (a->opened-- > 0)
		if (parts[a->opened].close != NULL)
			parts[a->opened].close(a);
}

int app_main(const struct options *o)
{
	struct app a = { .options = o, .database_lock = -1 };
	struct err e = { 0 };
	int rc;

	if (options_settings_or_say(o, &a.settings) != 0)
		return -1;
	log_init("controld", (enum log_level)a.settings->log.level, (enum log_format)a.settings->log.format,
		STDERR_FILENO);
	rc = parts_open(&a, &e);
	if (rc == 0) {
		log_info("started", log_s("version", PORTWAY_VERSION));
		sd_notify_send("READY=1");
		rc = loop_run(a.loop, &e);
	}
	if (rc != 0)
		log_error("not_started", log_err(&e));
	parts_close(&a);
	settings_free(a.settings);
	if (rc == 0)
		log_info("stopped");
	return rc;
}
