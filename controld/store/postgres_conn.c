/* Connections to PostgreSQL: what is asked of libpq, what each session is set to, and losing them. */
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/store/postgres.h"
#include "controld/store/reach.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POSTGRES_SCHEMA     "portway_samples"
#define POSTGRES_PARAMS_MAX 64 /* libpq 15 knows 41 */
#define POSTGRES_WAIT_MS    2000
#define POSTGRES_ANSWER_MS  5000
#define POSTGRES_CONNECT_MS 3000
#define CONNECT_TRIES       3
#define CONNECT_AGAIN_MS    500

/*
 * What holds unless the URL or libpq's own environment says something else. A peer that vanished is noticed in 25 s
 * even by a connection that only waits; the limits of each statement come before that.
 */
static const struct {
	const char *key, *value;
} postgres_defaults[] = {
	{ "target_session_attrs", "read-write" }, /* of several hosts the one that takes writes */
	{ "fallback_application_name", "controld" },
	{ "gssencmode", "disable" }, /* else libpq looks for a Kerberos ticket first */
	{ "keepalives_idle", "10" },
	{ "keepalives_interval", "5" },
	{ "keepalives_count", "3" },
	{ "tcp_user_timeout", "15000" },
};

/* ---- what is asked of libpq -------------------------------------------------------------------------------------- */

static const char *default_of(const PQconninfoOption *o, const char *connect_s)
{
	if (str_eq(o->keyword, "client_encoding"))
		return "UTF8";
	if (o->val != NULL || (o->envvar != NULL && getenv(o->envvar) != NULL))
		return o->val;
	if (str_eq(o->keyword, "connect_timeout"))
		return connect_s;
	for (size_t i = 0; i < ARRAY_LEN(postgres_defaults); i++)
		if (str_eq(o->keyword, postgres_defaults[i].key))
			return postgres_defaults[i].value;
	return NULL;
}

/* libpq's own words about a URL may repeat it, and it may hold a password. */
static int bad_url(const char *why, struct err *e)
{
	static const char parameter[] = "invalid URI query parameter:";

	if (why != NULL && str_starts(why, parameter))
		err_set(e, ERR_VALIDATION, "database.url", "database.url: libpq knows no parameter%.*s",
			(int)strcspn(why + strlen(parameter), "\n"), why + strlen(parameter));
	else
		err_set(e, ERR_VALIDATION, "database.url",
			"database.url: libpq does not understand it; it must be "
			"postgresql://USER:PASSWORD@HOST:PORT/DATABASE?PARAMETER=VALUE, special characters as %%XX");
	return err_detail(e, "format", "***");
}

/*
 * A password with a '/' or '@' that is not written as %XX is torn: the rest of it is taken for a host, a port or a database,
 * which libpq's messages then show.
 */
static bool is_torn(const PQconninfoOption *o)
{
	bool torn = false;

	for (; o != NULL && o->keyword != NULL && !torn; o++) {
		if (o->val == NULL)
			continue;
		if (str_eq(o->keyword, "port"))
			torn = o->val[strspn(o->val, "0123456789,")] != '\0';
		else if (str_eq(o->keyword, "host") || str_eq(o->keyword, "dbname"))
			torn = strchr(o->val, '@') != NULL;
	}
	return torn;
}

/* Blocks for at most connect_ms on each host. Never NULL, unless *e says why. */
static PGconn *dial(const char *url, uint64_t connect_ms, struct err *e)
{
	const char *keys[POSTGRES_PARAMS_MAX + 1] = { NULL }, *values[POSTGRES_PARAMS_MAX + 1] = { NULL };
	char connect_s[24];
	char *why = NULL;
	PQconninfoOption *options = PQconninfoParse(url, &why);
	PGconn *pg = NULL;
	size_t n = 0;

	(void)str_fmt(connect_s, sizeof connect_s, "%llu", (unsigned long long)(connect_ms + 999) / 1000);
	for (PQconninfoOption *o = options; o != NULL && o->keyword != NULL && n < POSTGRES_PARAMS_MAX; o++)
		if ((values[n] = default_of(o, connect_s)) != NULL)
			keys[n++] = o->keyword;
	values[n] = NULL;
	if (options == NULL || is_torn(options))
		bad_url(why, e);
	else if ((pg = PQconnectdbParams(keys, values, 0)) == NULL)
		err_set(e, ERR_NOMEM, NULL, "database: out of memory");
	PQconninfoFree(options);
	PQfreemem(why);
	return pg;
}

/* ---- a new session ----------------------------------------------------------------------------------------------- */

/*
 * A server that is set to lose commits when it crashes is told otherwise; stricter settings of its own stay. Writers find rows
 * by their keys: one plan for each statement is as good as one for each run of it, which a range would be given.
 */
static int session_set(struct driver_conn *c, struct err *e)
{
	static const char durable[] = "SELECT set_config('synchronous_commit', 'on', false) WHERE "
				      "current_setting('synchronous_commit') = 'off'";
	char sql[640];

	(void)str_fmt(sql, sizeof sql,
		"SET client_min_messages = warning; SET jit = off; SET statement_timeout = %llu; SET lock_timeout = "
		"%llu; "
		"SET idle_in_transaction_session_timeout = %llu; %s; %s; %s",
		(unsigned long long)c->conf.answer_ms, (unsigned long long)c->conf.wait_ms,
		(unsigned long long)c->conf.answer_ms, c->conf.relaxed ? "SET synchronous_commit = off" : durable,
		c->conf.samples ? "SET search_path = " POSTGRES_SCHEMA : "SELECT 1",
		c->conf.writer ? "SET plan_cache_mode = force_generic_plan" : "SELECT 1");
	return postgres_simple(c, sql, NULL, postgres_limit(c), e);
}

/* Samples live beside the main tables, in a schema of their own, which is only made by who has the right to. */
static int session_schema(struct driver_conn *c, struct err *e)
{
	char sql[256];
	PGresult *r = NULL;
	bool there;

	if (!c->conf.samples || !c->conf.writer || c->conf.existing)
		return 0;
	if (postgres_simple(c, "SELECT to_regnamespace('" POSTGRES_SCHEMA "') IS NOT NULL", &r, postgres_limit(c), e) !=
		0)
		return -1;
	there = *PQgetvalue(r, 0, 0) == 't';
	PQclear(r);
	if (there)
		return 0;
	(void)str_fmt(sql, sizeof sql,
		"BEGIN; SELECT pg_advisory_xact_lock(%d); CREATE SCHEMA IF NOT EXISTS " POSTGRES_SCHEMA "; COMMIT",
		POSTGRES_LOCK_MAKE);
	return postgres_simple(c, sql, NULL, postgres_limit(c), e);
}

enum { CHECK_ENCODING, CHECK_FREE, CHECK_THERE, CHECK_LIFE };

static int session_judge(struct driver_conn *c, const PGresult *r, struct err *e)
{
	const char *encoding = PQgetvalue(r, 0, CHECK_ENCODING);

	if (!str_eq(encoding, "UTF8"))
		return err_set(e, ERR_CONFLICT, NULL, "database %s: its encoding is %s; make it with ENCODING 'UTF8'",
			c->shown, encoding);
	if (*PQgetvalue(r, 0, CHECK_FREE) != 't')
		return err_set(e, ERR_LOCKED, NULL, "database %s: 'controld db' is at work on it", c->shown);
	if (c->conf.existing && c->conf.writer && *PQgetvalue(r, 0, CHECK_THERE) != 't')
		return err_set(e, ERR_NOT_FOUND, NULL,
			"database %s: there is nothing of controld's in it ('controld db init')", c->shown);
	return 0;
}

/*
 * The shared lock is the session's: whoever wants the database alone sees by it that somebody is at work. A server that
 * crashed forgets its statistics, and no session outlives that: since when it has them tells one life from another.
 */
static int session_check(struct driver_conn *c, struct err *e)
{
	char sql[320];
	PGresult *r = NULL;
	int rc;

	(void)str_fmt(sql, sizeof sql,
		"SELECT current_setting('server_encoding'), %s OR pg_try_advisory_lock_shared(%d), "
		"to_regclass('schema_migrations') IS NOT NULL, "
		"extract(epoch FROM pg_stat_get_bgwriter_stat_reset_time())",
		c->conf.alone ? "true" : "false", POSTGRES_LOCK_USE);
	if (postgres_simple(c, sql, &r, postgres_limit(c), e) != 0)
		return -1;
	rc = session_judge(c, r, e);
	(void)str_copy(c->life, sizeof c->life, PQgetvalue(r, 0, CHECK_LIFE));
	PQclear(r);
	return rc;
}

static int session_begin(struct driver_conn *c, struct err *e)
{
	if (PQserverVersion(c->pg) < POSTGRES_VERSION_MIN)
		return err_set(e, ERR_CONFLICT, NULL, "database %s: PostgreSQL %d is too old; 13 is needed", c->shown,
			PQserverVersion(c->pg) / 10000);
	if (session_schema(c, e) != 0 || session_set(c, e) != 0 || session_check(c, e) != 0)
		return -1;
	/* else what the socket does not take at once would be waited for without a limit */
	return PQsetnonblocking(c->pg, 1) == 0 && PQenterPipelineMode(c->pg) == 1
	               ? 0
	               : err_set(e, ERR_INTERNAL, NULL, "database %s: %s", c->shown, PQerrorMessage(c->pg));
}

/* ---- connecting and losing --------------------------------------------------------------------------------------- */

/* What the server says outside of answers: why it ends the session, mostly. Kept for the message that follows. */
static void on_notice(void *arg, const char *message)
{
	struct driver_conn *c = arg;

	(void)str_fmt(c->notice, sizeof c->notice, "%.*s", (int)strcspn(message, "\n"), message);
	log_debug("database_notice", log_s("text", c->notice));
}

static void session_name(struct driver_conn *c)
{
	(void)str_fmt(c->shown, sizeof c->shown, "%s", PQdb(c->pg) != NULL ? PQdb(c->pg) : "");
	PQsetNoticeProcessor(c->pg, on_notice, c);
	c->notice[0] = '\0';
}

static void drop(struct driver_conn *c)
{
	postgres_forget(c);
	PQfreemem(c->news);
	c->news = NULL;
	PQfinish(c->pg);
	c->pg = NULL;
	c->n_due = 0;
	c->tx = TX_NONE;
	c->spoiled = false;
}

static void one_line(char *dst, size_t size, const char *text)
{
	size_t n = 0;

	for (; *text != '\0' && n + 1 < size; text++)
		if (*text != '\n' && *text != '\t')
			dst[n++] = *text;
		else if (n > 0 && dst[n - 1] != ' ' && text[1] != '\0')
			dst[n++] = ' ';
	dst[n] = '\0';
}

/* Why the connection is of no use any more: what the server said, or else what libpq noticed. */
static void last_words(const struct driver_conn *c, char *dst, size_t size)
{
	one_line(dst, size, *c->notice != '\0' ? c->notice : PQerrorMessage(c->pg));
	if (*dst == '\0')
		(void)str_copy(dst, size, "no reason was given");
}

/* Whether waiting may help: no such user and no such database are answers, not silence. */
static enum err_code refusal(const PGconn *pg)
{
	static const char *const answers[] = { "password", "no pg_hba.conf entry", "does not exist", "certificate" };
	const char *why = PQerrorMessage(pg);

	for (size_t i = 0; i < ARRAY_LEN(answers); i++)
		if (strstr(why, answers[i]) != NULL && strstr(why, "No such file") == NULL)
			return ERR_PERMISSION;
	return ERR_UNAVAILABLE;
}

/* Clients of the API are not told hosts and users; the log and whoever starts controld are. */
static int refused(struct driver_conn *c, struct err *e)
{
	char why[200];

	c->notice[0] = '\0';
	last_words(c, why, sizeof why);
	if (c->generation > 0) {
		log_warn("database_connect_failed", log_s("reason", why));
		return err_set(e, ERR_UNAVAILABLE, NULL, "database: cannot connect; controld goes on trying");
	}
	return err_set(e, refusal(c->pg), NULL, "database: %s", why);
}

static int connect_once(struct driver_conn *c, bool *taken, struct err *e)
{
	if ((c->pg = dial(c->target, c->conf.connect_ms, e)) == NULL)
		return -1;
	*taken = PQstatus(c->pg) == CONNECTION_OK;
	if (!*taken)
		return refused(c, e);
	session_name(c);
	return session_begin(c, e);
}

/*
 * A session that somebody ends while it begins says nothing about the database, which takes the next one at once. A database
 * that is away refuses that one as fast, or the time is over. Of one that took the session just now it is not the time that
 * tells: this machine may be busy.
 */
static int connect_soon(struct driver_conn *c, struct err *e)
{
	const uint64_t end_ms = clock_mono_ms() + CONNECT_AGAIN_MS;
	bool taken = false;
	int rc;

	for (int i = 1; (rc = connect_once(c, &taken, e)) != 0 && e->code == ERR_UNAVAILABLE && i < CONNECT_TRIES;
		i++) {
		if (!taken && clock_mono_ms() >= end_ms)
			break;
		drop(c);
	}
	return rc;
}

static int reconnect(struct driver_conn *c, struct err *e)
{
	struct err why = { 0 };
	int rc;

	drop(c);
	if (c->conf.reach != NULL && reach_ask(c->conf.reach, clock_mono_ms(), e) != 0)
		return -1;
	rc = connect_soon(c, &why);
	if (c->conf.reach != NULL)
		c->epoch = reach_tell(c->conf.reach, rc != 0 ? why.msg : NULL, clock_mono_ms());
	if (rc != 0) {
		drop(c);
		if (e != NULL)
			*e = why;
		return -1;
	}
	c->generation++;
	c->failed = c->again = false;
	return 0;
}

/* Data on a connection that asks for nothing is the answer to a launch, a last word of the server, or its end. */
static bool sound(struct driver_conn *c)
{
	struct pollfd p = { .fd = PQsocket(c->pg), .events = POLLIN };

	for (int i = 0; i < 3 && PQstatus(c->pg) == CONNECTION_OK; i++) {
		if (poll(&p, 1, 0) == 0)
			return true;
		if (PQconsumeInput(c->pg) != 1)
			return false;
	}
	return PQstatus(c->pg) == CONNECTION_OK;
}

int postgres_ready(struct driver_conn *c, struct err *e)
{
	const bool suspect = c->conf.reach != NULL && reach_epoch(c->conf.reach) != c->epoch;
	char reason[200] = "the database had stopped answering";

	if (c->pg == NULL)
		return reconnect(c, e);
	if (!suspect) {
		if (sound(c))
			return 0;
		last_words(c, reason, sizeof reason);
	}
	log_info("database_connection_lost", log_s("database", c->shown), log_s("reason", reason));
	return reconnect(c, e);
}

int postgres_lost(struct driver_conn *c, const char *why, struct err *e)
{
	char reason[200];

	if (why != NULL && c->conf.reach != NULL)
		reach_silent(c->conf.reach, c->epoch, clock_mono_ms());
	if (c->pg != NULL) {
		last_words(c, reason, sizeof reason);
		log_warn("database_connection_lost", log_s("database", c->shown),
			log_s("reason", why != NULL ? why : reason));
	}
	c->undone = c->undone || c->tx == TX_WRITE;
	drop(c);
	c->failed = true;
	return err_set(e, ERR_UNAVAILABLE, NULL, "database %s: the connection was lost%s%s; nothing was changed",
		c->shown, why != NULL ? ": " : "", why != NULL ? why : "");
}

int postgres_open(struct driver_conn **out, const char *target, const struct driver_conf *conf, struct err *e)
{
	struct driver_conn *c = calloc(1, sizeof *c);

	if (c == NULL || (c->target = strdup(target)) == NULL) {
		err_set(e, ERR_NOMEM, NULL, "database: out of memory");
		goto fail;
	}
	c->conf = *conf;
	c->conf.wait_ms = conf->wait_ms ? conf->wait_ms : POSTGRES_WAIT_MS;
	c->conf.answer_ms = conf->answer_ms ? conf->answer_ms : POSTGRES_ANSWER_MS;
	c->conf.connect_ms = conf->connect_ms ? conf->connect_ms : POSTGRES_CONNECT_MS;
	if (reconnect(c, e) != 0)
		goto fail;
	*out = c;
	return 0;
fail:
	postgres_close(c);
	return -1;
}

void postgres_close(struct driver_conn *c)
{
	if (c == NULL)
		return;
	drop(c);
	free(c->target);
	free(c);
}
