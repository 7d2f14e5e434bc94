/* How programs on one PostgreSQL hear of each other: NOTIFY, which is part of a transaction, and LISTEN. */
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/store/driver_watch.h"
#include "controld/store/postgres.h"

#define POSTGRES_NOTIFY_MAX 8192

/* Posted: it travels with the COMMIT and costs no round trip. */
static int postgres_announce(struct driver_conn *c, const char *channel, const char *text, struct err *e)
{
	char sql[POSTGRES_NOTIFY_MAX];

	if (str_fmt(sql, sizeof sql, "NOTIFY %s, '%s'", channel, text) != 0)
		return err_set(e, ERR_INTERNAL, NULL, "database: a notification of that length");
	return postgres_post(c, sql, e);
}

static int postgres_fd(struct driver_conn *c)
{
	return c->pg != NULL ? PQsocket(c->pg) : -1;
}

static int postgres_next(struct driver_conn *c, const char **channel, const char **text, struct err *e)
{
	PQfreemem(c->news);
	c->news = NULL;
	if (c->pg == NULL || PQconsumeInput(c->pg) != 1 || PQstatus(c->pg) != CONNECTION_OK)
		return postgres_lost(c, NULL, e);
	if ((c->news = PQnotifies(c->pg)) == NULL)
		return 0;
	*channel = c->news->relname;
	*text = c->news->extra;
	return 1;
}

const struct driver_watch postgres_watch = {
	.announce = postgres_announce,
	.listen = { "LISTEN " WATCH_CHANGES, "LISTEN " WATCH_PEERS },
	.send = "SELECT pg_notify(?1, ?2)",
	.fd = postgres_fd,
	.next = postgres_next,
};
