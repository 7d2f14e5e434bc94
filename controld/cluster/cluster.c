#include "controld/cluster/cluster.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/cluster/member.h"
#include "controld/cluster/roll.h"
#include "controld/store/migrate.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define CLUSTER_ALONE_BEAT_MS 10000
#define CLUSTER_FORGET_MS     (24 * 3600 * INT64_C(1000)) /* a lost one is shown for so long */

struct cluster {
	struct cluster_conf conf;
	struct member self; /* the thread's */
	struct roll roll;   /* the thread's */
	pthread_t thread;
	bool started;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t wake;
	bool stopping;
	size_t others;
};

const struct sql_table *const cluster_sql[] = { &member_sql };
const size_t cluster_sql_n = ARRAY_LEN(cluster_sql);

/* ---- one beat ---------------------------------------------------------------------------------------------------- */

static int on_member(const struct member *m, void *arg)
{
	struct cluster *c = arg;

	if (!str_eq(m->id, c->self.id))
		roll_see(&c->roll, m->id, m->beat);
	return 0;
}

/* A row that others took for dead is put back. */
static int work_beat(struct db *tx, void *arg, struct err *e)
{
	struct cluster *c = arg;
	int rows = member_beat(tx, &c->self, e);

	return rows == 0 ? member_insert(tx, &c->self, e) : rows < 0 ? -1 : 0;
}

static void on_lost(const char *id, void *arg)
{
	struct cluster *c = arg;

	log_warn("controld_lost", log_s("controld", id));
	c->conf.lost(c->conf.owner, id);
}

static int look(struct cluster *c, struct err *e)
{
	struct db *db;
	int rc;

	if (store_read_begin(c->conf.store, &db, e) != 0)
		return -1;
	roll_begin(&c->roll);
	rc = member_list(db, on_member, c, e);
	store_read_end(db);
	if (rc == 0)
		roll_end(&c->roll, on_lost, c);
	return rc;
}

static void beat(struct cluster *c)
{
	struct err e = { 0 };

	c->self.beat++;
	c->self.seen_ms = clock_wall_ms();
	c->self.seq = c->conf.position(c->conf.owner);
	if (store_write(c->conf.store, STORE_OPERATIONAL, work_beat, c, &e) != 0 || look(c, &e) != 0) {
		log_warn("beat_failed", log_err(&e));
		return;
	}
	pthread_mutex_lock(&c->lock);
	c->others = roll_alive(&c->roll);
	pthread_mutex_unlock(&c->lock);
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

static bool sleep_ms(struct cluster *c, uint64_t ms)
{
	uint64_t end = clock_mono_ms() + ms;
	struct timespec until = { .tv_sec = (time_t)(end / 1000), .tv_nsec = (long)(end % 1000 * 1000000) };
	bool stopping;

	pthread_mutex_lock(&c->lock);
	while (!c->stopping && pthread_cond_timedwait(&c->wake, &c->lock, &until) != ETIMEDOUT)
		;
	stopping = c->stopping;
	pthread_mutex_unlock(&c->lock);
	return !stopping;
}

static void *work_cluster(void *arg)
{
	struct cluster *c = arg;

	prctl(PR_SET_NAME, "cluster");
	do
		beat(c);
	while (sleep_ms(c, c->conf.shared ? CLUSTER_BEAT_MS : CLUSTER_ALONE_BEAT_MS));
	return NULL;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static int work_enter(struct db *tx, void *arg, struct err *e)
{
	const struct cluster *c = arg;
	int64_t before_ms = c->conf.shared ? c->self.started_ms - CLUSTER_FORGET_MS : INT64_MAX;

	return member_prune(tx, before_ms, e) != 0 ? -1 : member_insert(tx, &c->self, e);
}

static int work_leave(struct db *tx, void *arg, struct err *e)
{
	return member_delete(tx, ((struct cluster *)arg)->self.id, e);
}

static void describe(struct cluster *c)
{
	struct member *m = &c->self;
	const char *name = c->conf.name;
	char host[256] = "";

	if (*name == '\0' && gethostname(host, sizeof host - 1) == 0)
		name = host;
	(void)str_copy(m->id, sizeof m->id, c->conf.self);
	(void)str_copy(m->name, sizeof m->name, name);
	(void)str_copy(m->version, sizeof m->version, PORTWAY_VERSION);
	(void)str_copy(m->address, sizeof m->address, c->conf.address);
	(void)str_copy(m->line_address, sizeof m->line_address, c->conf.line_address);
	m->schema = migrations_main.rows[migrations_main.n - 1].number;
}

int cluster_new(struct cluster **out, const struct cluster_conf *conf, struct err *e)
{
	struct cluster *c = calloc(1, sizeof *c);
	pthread_condattr_t attr;

	if (c == NULL)
		return err_set(e, ERR_NOMEM, NULL, "cluster: out of memory");
	c->conf = *conf;
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->wake, &attr);
	pthread_condattr_destroy(&attr);
	describe(c);
	*out = c;
	return 0;
}

int cluster_start(struct cluster *c, struct err *e)
{
	int rc;

	c->self.started_ms = c->self.seen_ms = clock_wall_ms();
	if (store_write(c->conf.store, STORE_OPERATIONAL, work_enter, c, e) != 0)
		return -1;
	if ((rc = pthread_create(&c->thread, NULL, work_cluster, c)) != 0)
		return err_set_sys(e, ERR_INTERNAL, rc, "cluster thread");
	c->started = true;
	return 0;
}

void cluster_stop(struct cluster *c)
{
	if (!c->started)
		return;
	c->started = false;
	pthread_mutex_lock(&c->lock);
	c->stopping = true;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	if (store_write(c->conf.store, STORE_OPERATIONAL, work_leave, c, NULL) != 0)
		log_info("controld_row_left"); /* the others see that it does not beat */
}

void cluster_free(struct cluster *c)
{
	if (c == NULL)
		return;
	cluster_stop(c);
	pthread_cond_destroy(&c->wake);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

size_t cluster_others(struct cluster *c)
{
	size_t n;

	pthread_mutex_lock(&c->lock);
	n = c->others;
	pthread_mutex_unlock(&c->lock);
	return n;
}

/* ---- before a migration ------------------------------------------------------------------------------------------ */

struct upgrade {
	const struct migration *wants; /* the missing one that wants the newest programs; NULL: none is missing */
	bool has_members;              /* the table is there */
	int64_t now_ms;
	struct err *e;
};

static int knows(const struct migration *m)
{
	return m->compatible > 0 ? m->compatible : m->number;
}

static void on_migration(const struct migration *m, int64_t applied_ms, void *arg)
{
	struct upgrade *u = arg;

	if (applied_ms == 0 && (u->wants == NULL || knows(m) > knows(u->wants)))
		u->wants = m;
	u->has_members = u->has_members || (applied_ms != 0 && str_eq(m->name, "0008_cluster"));
}

static int on_running(const struct member *m, void *arg)
{
	const struct upgrade *u = arg;

	if (m->seen_ms < u->now_ms - CLUSTER_ALIVE_MS || m->schema >= knows(u->wants))
		return 0;
	err_set(u->e, ERR_CONFLICT, NULL,
		"database: migration %s is not for controld %s (%s, version %s), which is running; stop it, or upgrade "
		"it to one that knows migration %d first",
		u->wants->name, m->name, m->id, m->version, knows(u->wants));
	return 1;
}

int cluster_may_migrate(struct store *store, const struct migration_set *set, struct err *e)
{
	struct err why = { .code = ERR_NONE };
	struct upgrade u = { .now_ms = clock_wall_ms(), .e = &why };
	struct db *db;
	int rc;

	if (migrate_list(store, set, on_migration, &u, e) != 0)
		return -1;
	if (u.wants == NULL || !u.has_members)
		return 0;
	if (store_read_begin(store, &db, e) != 0)
		return -1;
	rc = member_list(db, on_running, &u, e);
	store_read_end(db);
	if (rc != 0 || why.code == ERR_NONE)
		return rc;
	if (e != NULL)
		*e = why;
	return -1;
}
