#include "controld/store/store.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/store/changes.h"
#include "controld/store/db.h"
#include "controld/store/reach.h"
#include "controld/store/secrets.h"
#include "controld/store/writer.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Stay open however long nobody reads: the next reader has one at once. */
#define POOL_KEPT 1

struct idle {
	struct db *db;
	uint64_t since_ms;
};

struct store {
	const struct driver *driver;
	char *target;
	bool temporary; /* removed when the store closes */
	struct driver_conf reader_conf;
	struct reach reach;
	uint64_t wait_ms;
	/* One for each class of write; the same one where the database has a single writer, as SQLite has. */
	struct writer *writer[2];
	uint8_t master_keys[STORE_KEYS_MAX][SEAL_KEY_SIZE]; /* the first one seals */
	size_t n_master_keys;
	const char *origin;

	pthread_mutex_t lock;
	pthread_cond_t given_back;
	struct idle *idle; /* a stack: the newest is the warmest, the oldest is closed when it was long enough there */
	size_t n_idle;
	uint64_t idle_ms;
	size_t n_open;
	size_t max_open;
	atomic_uint_fast64_t reads, busy;
};

static const char sql_ping[] = "SELECT 1";
static const char sql_probe[] = "INSERT INTO meta(key, value) VALUES ('probe', ?1) "
				"ON CONFLICT (key) DO UPDATE SET value = excluded.value";
static const char *const store_statements[] = { sql_ping, sql_probe };
const struct sql_table store_sql = { "store", store_statements, ARRAY_LEN(store_statements) };

/* ---- open and close ---------------------------------------------------------------------------------------------- */

static const struct driver *const store_drivers[] = { &sqlite_driver, &postgres_driver };

const struct driver *driver_of(const char *url, const char **target, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(store_drivers); i++)
		if ((*target = store_drivers[i]->target_of(url)) != NULL && **target != '\0')
			return store_drivers[i];
	/* what follows the scheme may hold a password */
	err_set(e, ERR_VALIDATION, "database.url",
		"database.url: %.*s... is no database of this program; it must be sqlite:PATH or "
		"postgresql://USER:PASSWORD@HOST/DATABASE",
		(int)MIN(strcspn(url, ":"), 32), url);
	err_detail(e, "format", "***");
	return NULL;
}

static int store_open_target(struct store *s, const struct store_conf *conf, struct err *e)
{
	const char *target;

	if ((s->driver = driver_of(conf->url, &target, e)) == NULL)
		return -1;
	s->temporary = s->driver->temporary != NULL && str_eq(target, ":memory:");
	s->target = s->temporary ? s->driver->temporary(e) : strdup(target);
	if (s->target == NULL)
		return s->temporary ? -1 : err_set(e, ERR_NOMEM, NULL, "database: out of memory");
	return 0;
}

static int writer_open(
	struct store *s, struct writer **out, const struct driver_conf *dc, const struct writer_conf *wc, struct err *e)
{
	struct db *db;

	return db_new(&db, s, s->driver, s->target, dc, e) != 0 ? -1 : writer_new(out, db, wc, e);
}

/*
 * Where a database takes several writers, reports and samples have one of their own: they neither hold the change log's
 * lock nor keep a change waiting that is behind them.
 */
static int store_open_writers(struct store *s, const struct store_conf *conf, struct err *e)
{
	struct driver_conf dc = s->reader_conf;
	struct writer_conf wc = { .group_max = conf->group_max ? conf->group_max : 64,
		.queue_max = conf->queue_max ? conf->queue_max : 1024,
		.wait_ms = s->wait_ms };

	dc.writer = true;
	dc.existing = conf->existing;
	if (writer_open(s, &s->writer[STORE_LOGGED], &dc, &wc, e) != 0)
		return -1;
	if (s->driver->watch != NULL && !conf->samples && !conf->alone)
		return writer_open(s, &s->writer[STORE_OPERATIONAL], &dc, &wc, e);
	s->writer[STORE_OPERATIONAL] = s->writer[STORE_LOGGED];
	return 0;
}

int store_open(struct store **out, const struct store_conf *conf, struct err *e)
{
	struct store *s = calloc(1, sizeof *s);
	pthread_condattr_t attr;

	if (s == NULL)
		return err_set(e, ERR_NOMEM, NULL, "database: out of memory");
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->given_back, &attr);
	pthread_condattr_destroy(&attr);
	s->wait_ms = conf->wait_ms ? conf->wait_ms : 2000;
	s->max_open = conf->readers ? conf->readers : 4;
	s->idle_ms = conf->idle_ms ? conf->idle_ms : 60000;
	reach_init(&s->reach);
	s->reader_conf = (struct driver_conf){ .relaxed = conf->relaxed,
		.samples = conf->samples,
		.alone = conf->alone,
		.existing = true,
		.wait_ms = s->wait_ms,
		.answer_ms = conf->answer_ms,
		.connect_ms = conf->connect_ms,
		.reach = &s->reach };
	if ((s->idle = calloc(s->max_open, sizeof *s->idle)) == NULL) {
		err_set(e, ERR_NOMEM, NULL, "database: out of memory");
		goto fail;
	}
	if (store_open_target(s, conf, e) != 0 || store_open_writers(s, conf, e) != 0)
		goto fail;
	*out = s;
	return 0;
fail:
	store_close(s);
	return -1;
}

void store_close(struct store *s)
{
	if (s == NULL)
		return;
	if (s->writer[STORE_OPERATIONAL] != s->writer[STORE_LOGGED])
		writer_free(s->writer[STORE_OPERATIONAL]);
	writer_free(s->writer[STORE_LOGGED]);
	for (size_t i = 0; s->idle != NULL && i < s->n_idle; i++)
		db_free(s->idle[i].db);
	if (s->temporary && s->target != NULL)
		(void)s->driver->remove(s->target, NULL);
	seal_wipe(s->master_keys, sizeof s->master_keys);
	free(s->idle);
	free(s->target);
	pthread_cond_destroy(&s->given_back);
	pthread_mutex_destroy(&s->lock);
	reach_fini(&s->reach);
	free(s);
}

void store_set_master_key(struct store *s, const uint8_t *key)
{
	seal_wipe(s->master_keys, sizeof s->master_keys);
	memcpy(s->master_keys[0], key, SEAL_KEY_SIZE);
	s->n_master_keys = 1;
}

int store_add_master_key(struct store *s, const uint8_t *key)
{
	if (s->n_master_keys == 0 || s->n_master_keys == STORE_KEYS_MAX)
		return -1;
	memcpy(s->master_keys[s->n_master_keys++], key, SEAL_KEY_SIZE);
	return 0;
}

void store_set_origin(struct store *s, const char *id)
{
	s->origin = id;
}

const char *store_origin(const struct store *s)
{
	return s->origin != NULL ? s->origin : "-";
}

const struct driver *store_driver(const struct store *s)
{
	return s->driver;
}

int store_open_db(struct store *s, struct db **out, struct err *e)
{
	struct driver_conf conf = s->reader_conf;

	conf.writer = true;
	return db_new(out, s, s->driver, s->target, &conf, e);
}

const uint8_t *store_master_key(const struct store *s, size_t i)
{
	return i < s->n_master_keys ? s->master_keys[i] : NULL;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

int store_write(struct store *s, enum store_class class, store_fn fn, void *arg, struct err *e)
{
	return writer_run(s->writer[class], class, fn, arg, e);
}

void changes_on_commit(struct store *s, void (*fn)(int64_t last_seq, void *arg), void *arg)
{
	writer_on_commit(s->writer[STORE_LOGGED], fn, arg);
}

void changes_tell(struct store *s, int64_t last_seq)
{
	writer_tell(s->writer[STORE_LOGGED], last_seq);
}

void changes_off_commit(struct store *s, const void *arg)
{
	writer_off_commit(s->writer[STORE_LOGGED], arg);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* With the lock: waits until a connection is idle or may be opened; *db is NULL in the second case. */
static int pool_take(struct store *s, struct db **db, struct err *e)
{
	uint64_t end = clock_mono_ns() + s->wait_ms * 1000000;
	struct timespec until = { .tv_sec = (time_t)(end / 1000000000), .tv_nsec = (long)(end % 1000000000) };

	while (s->n_idle == 0 && s->n_open == s->max_open)
		if (pthread_cond_timedwait(&s->given_back, &s->lock, &until) == ETIMEDOUT && s->n_idle == 0 &&
			s->n_open == s->max_open)
			return err_set(e, ERR_OVERLOADED, NULL, "database: all %zu connections were busy for %llu ms",
				s->max_open, (unsigned long long)s->wait_ms);
	if (s->n_idle > 0) {
		*db = s->idle[--s->n_idle].db;
	} else {
		*db = NULL;
		s->n_open++;
	}
	return 0;
}

static void pool_forget_one(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	s->n_open--;
	pthread_cond_signal(&s->given_back);
	pthread_mutex_unlock(&s->lock);
}

int store_read_begin(struct store *s, struct db **out, struct err *e)
{
	struct db *db;
	int rc;

	*out = NULL;
	pthread_mutex_lock(&s->lock);
	rc = pool_take(s, &db, e);
	pthread_mutex_unlock(&s->lock);
	if (rc != 0) {
		atomic_fetch_add(&s->busy, 1);
		return -1;
	}
	if (db == NULL && db_new(&db, s, s->driver, s->target, &s->reader_conf, e) != 0) {
		pool_forget_one(s);
		return -1;
	}
	if (db_begin(db, DRIVER_TX_READ, e) != 0) {
		db_free(db);
		pool_forget_one(s);
		return -1;
	}
	atomic_fetch_add(&s->reads, 1);
	*out = db;
	return 0;
}

/* With the lock: one that nobody needed for long, taken from the pool. A load that has passed is closed one by one. */
static struct db *pool_retire(struct store *s, uint64_t now_ms)
{
	struct db *db;

	if (s->n_idle <= POOL_KEPT || now_ms - s->idle[0].since_ms < s->idle_ms)
		return NULL;
	db = s->idle[0].db;
	memmove(s->idle, s->idle + 1, --s->n_idle * sizeof *s->idle);
	return db;
}

void store_read_end(struct db *db)
{
	const uint64_t now_ms = clock_mono_ms();
	struct db *retired;
	struct store *s;

	if (db == NULL)
		return;
	s = db->store;
	db_rollback(db);
	if (db_in_transaction(db)) { /* it would keep its old snapshot for whoever comes next */
		db_free(db);
		pool_forget_one(s);
		return;
	}
	pthread_mutex_lock(&s->lock);
	s->idle[s->n_idle++] = (struct idle){ db, now_ms };
	retired = pool_retire(s, now_ms);
	pthread_cond_signal(&s->given_back);
	pthread_mutex_unlock(&s->lock);
	if (retired != NULL) {
		db_free(retired);
		pool_forget_one(s);
	}
}

/* ---- health ------------------------------------------------------------------------------------------------------ */

void store_stats(struct store *s, struct store_stats *out)
{
	*out = (struct store_stats){ .reads = atomic_load(&s->reads), .busy = atomic_load(&s->busy) };
	writer_stats(s->writer[STORE_LOGGED], out);
	if (s->writer[STORE_OPERATIONAL] != s->writer[STORE_LOGGED])
		writer_stats(s->writer[STORE_OPERATIONAL], out);
	pthread_mutex_lock(&s->lock);
	out->connections = s->n_open + 1 + (s->writer[STORE_OPERATIONAL] != s->writer[STORE_LOGGED]);
	pthread_mutex_unlock(&s->lock);
}

static int probe_write(struct db *tx, void *arg, struct err *e)
{
	char now[CLOCK_RFC3339_SIZE];

	(void)arg;
	clock_rfc3339(now, clock_wall_ms());
	return db_exec(tx, sql_probe, e, bind_s(now)) < 0 ? -1 : 0;
}

static int ping_read(struct store *s, struct err *e)
{
	struct db *db;
	struct query *q;
	int rc;

	if (store_read_begin(s, &db, e) != 0)
		return -1;
	rc = db_query(db, &q, sql_ping, e);
	if (rc == 0)
		rc = query_next(q, e) == 1 ? 0 : -1;
	query_end(q);
	store_read_end(db);
	return rc;
}

/* A full disk is asked again by writing, so that the store is well again without anybody's change having to fail. */
int store_ping(struct store *s, struct err *e)
{
	if (ping_read(s, e) != 0)
		return -1;
	if (!writer_disk_full(s->writer[STORE_LOGGED]))
		return 0;
	return store_write(s, STORE_OPERATIONAL, probe_write, NULL, e);
}
