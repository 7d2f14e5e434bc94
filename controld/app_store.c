/* The part that keeps: data folder, databases, master key. */
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/app_parts.h"
#include "controld/cluster/cluster.h"
#include "controld/keys.h"
#include "controld/store/migrate.h"
#include "controld/store/secrets.h"
#include "controld/store/store.h"
#include "controld/store/upkeep.h"

#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#define START_PAUSE_US  500000 /* between two tries to reach the database */
#define SAMPLES_READERS 5      /* charts are asked for less often than everything else */

static int data_dir_open(const char *path, struct err *e)
{
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

/* A database that does not answer yet is waited for, as after a power cut; one that says no is not. */
static int open_patiently(struct store **out, const struct store_conf *conf, const struct settings *s, struct err *e)
{
	const uint64_t end_ms = clock_mono_ms() + s->database.start_wait_ms;
	struct err said = { 0 };

	while (store_open(out, conf, e) != 0) {
		if ((e->code != ERR_UNAVAILABLE && e->code != ERR_OVERLOADED) || clock_mono_ms() >= end_ms)
			return -1;
		if (!str_eq(e->msg, said.msg))
			log_warn("database_waited_for", log_err(e));
		said = *e;
		err_clear(e);
		(void)usleep(START_PAUSE_US);
	}
	if (*said.msg != '\0')
		log_info("database_reachable");
	return 0;
}

static int databases_open(struct app *a, struct err *e)
{
	const struct settings *s = a->settings;
	char url[PATH_MAX + 16], samples_url[PATH_MAX + 16];
	struct store_conf conf = {
		.url = url,
		.readers = (unsigned)s->database.readers,
		.group_max = (unsigned)s->database.group_max,
		.queue_max = (unsigned)s->database.queue_max,
		.wait_ms = s->database.wait_ms,
		.answer_ms = s->database.answer_ms,
		.connect_ms = s->database.connect_ms,
	};

	if (settings_database_url(s, url, sizeof url) != 0 ||
		settings_samples_url(s, samples_url, sizeof samples_url) != 0)
		return err_set(e, ERR_VALIDATION, "data_dir", "data_dir: name too long");
	if (upkeep_lock(&a->database_lock, url, false, e) != 0 || open_patiently(&a->store, &conf, s, e) != 0)
		return -1;
	store_set_origin(a->store, a->self);
	if (cluster_may_migrate(a->store, &migrations_main, e) != 0 || migrate_main(a->store, NULL, e) != 0)
		return -1;
	conf.url = samples_url;
	conf.relaxed = conf.samples = true;
	conf.readers = MIN(conf.readers, SAMPLES_READERS);
	if (open_patiently(&a->samples, &conf, s, e) != 0)
		return -1;
	return migrate_apply(a->samples, &migrations_samples, NULL, e);
}

static int work_claim(struct db *tx, void *arg, struct err *e)
{
	(void)arg;
	return secrets_claim(tx, e);
}

/* A key that does not open what is sealed is told now, not when a relay joins next week. */
static int secrets_open(struct app *a, struct err *e)
{
	if (keys_load(a->store, a->settings, e) != 0)
		return -1;
	return store_write(a->store, STORE_LOGGED, work_claim, NULL, e);
}

int app_store_open(struct app *a, struct err *e)
{
	if (data_dir_open(a->settings->data_dir, e) != 0 || databases_open(a, e) != 0)
		return -1;
	return secrets_open(a, e);
}

void app_store_close(struct app *a)
{
	store_close(a->samples);
	store_close(a->store);
	upkeep_unlock(a->database_lock);
}
