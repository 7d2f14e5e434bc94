#include "controld/device_login/device_login.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/device_login/room.h"
#include "controld/jobs/jobs.h"
#include "controld/platform/platform.h"

#include <stdlib.h>
#include <string.h>

#define KEEP_ENDED_MS (24 * 3600 * 1000) /* sessions that are over, to be seen */

const struct sql_table *const device_login_sql[] = { &flow_sql, &account_sql, &game_session_sql };
const size_t device_login_sql_n = ARRAY_LEN(device_login_sql);
const struct erasure *const device_login_erasures[] = { &game_session_erasure, &flow_erasure, &account_erasure };
const size_t device_login_erasures_n = ARRAY_LEN(device_login_erasures);

/* ---- the service ------------------------------------------------------------------------------------------------- */

/* Its keys are its own: another one's are forgotten. */
int device_login_service(struct device_login *d, struct account_service *out, struct err *e)
{
	int64_t staging;

	if (platform_number(d->conf.platform, SETTING_HYTALE_USE_STAGING, &staging, e) != 0)
		return -1;
	account_service_of(out, staging != 0, d->conf.oauth_url, d->conf.accounts_url, d->conf.sessions_url);
	pthread_mutex_lock(&d->lock);
	if (!str_eq(d->keys_of, out->name)) {
		if (d->keys_of[0] != '\0')
			key_cache_forget(d->keys);
		(void)str_copy(d->keys_of, sizeof d->keys_of, out->name);
	}
	pthread_mutex_unlock(&d->lock);
	return 0;
}

static int fetch_keys(void *self, struct jwks *out, struct err *e)
{
	struct device_login *d = self;
	struct account_service service;
	const struct service_call call = { .outbound = d->conf.outbound, .service = &service };
	struct service_answer answer;
	char *text;
	int rc;

	if (device_login_service(d, &service, e) != 0 || service_keys(&call, &answer, e) != 0)
		return -1;
	text = answer.status == 200 && answer.body != NULL ? json_dumps(answer.body, JSON_COMPACT) : NULL;
	if (text != NULL)
		rc = jwks_parse(out, text, strlen(text), e);
	else
		rc = err_set(e, ERR_UNAVAILABLE, NULL, "the account service gives no keys: %d", answer.status);
	free(text);
	service_answer_fini(&answer);
	return rc;
}

/* ---- in the background ------------------------------------------------------------------------------------------- */

struct tick {
	int64_t now_ms;
};

static int work_prune(struct db *tx, void *arg, struct err *e)
{
	const struct tick *t = arg;

	return flow_prune(tx, t->now_ms, e) != 0 ? -1 : game_session_prune(tx, t->now_ms - KEEP_ENDED_MS, e);
}

static int is_due(struct device_login *d, int64_t now_ms, bool *due, struct err *e)
{
	struct game_session s;
	char id[RAND_ID_SIZE];
	struct db *db;
	int rc;

	if (store_read_begin(d->conf.store, &db, e) != 0)
		return -1;
	if ((rc = account_due(db, now_ms, id, e)) == 0 && (rc = game_session_due(db, now_ms, &s, e)) == 1)
		game_session_wipe(&s);
	store_read_end(db);
	*due = rc > 0;
	return MIN(rc, 0);
}

int device_login_tick(struct device_login *d, int64_t now_ms, struct err *e)
{
	struct job_order order = { .kind = "device-login.refresh" };
	struct job_placed placed = { .there = false };
	struct tick t = { now_ms };
	bool due;

	if (store_write(d->conf.store, STORE_OPERATIONAL, work_prune, &t, e) != 0 || is_due(d, now_ms, &due, e) != 0)
		return -1;
	return due ? jobs_enqueue(d->conf.jobs, &order, &placed, e) : 0;
}

static const struct schema no_args = { "JobDeviceLoginRefresh", NULL, 0, false };

const struct job_kind device_login_job_kinds[] = {
	{ "device-login.refresh", JOB_CRITICAL, 5, 10 * 60 * 1000, 1000, 60000, JOB_UNIQUE, PERM_SYSTEM, &no_args,
		run_device_login_refresh, "Refreshes the tokens of device logins and game sessions that end soon" },
};
const size_t device_login_job_kinds_n = ARRAY_LEN(device_login_job_kinds);

/* ---- life -------------------------------------------------------------------------------------------------------- */

int device_login_new(struct device_login **out, const struct device_login_conf *conf, struct err *e)
{
	struct device_login *d = calloc(1, sizeof *d);
	const struct key_cache_conf keys = { fetch_keys, d, clock_mono_ms };

	if (d == NULL)
		return err_set(e, ERR_NOMEM, NULL, "device login: out of memory");
	d->conf = *conf;
	pthread_mutex_init(&d->lock, NULL);
	if (key_cache_new(&d->keys, &keys, e) != 0) {
		device_login_free(d);
		return -1;
	}
	*out = d;
	return 0;
}

void device_login_free(struct device_login *d)
{
	if (d == NULL)
		return;
	key_cache_free(d->keys);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

struct route_table device_login_routes(struct device_login *d)
{
	return (struct route_table){ device_login_rows, device_login_rows_n, d };
}
