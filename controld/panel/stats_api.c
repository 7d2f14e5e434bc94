/* How much there is: of what panels have, and of syncs. */
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "controld/panel/room.h"

#define JSON_TYPE "application/json; charset=utf-8"
#define TOP       50 /* nodes or users that are listed */

static struct buf *open_data(struct reply *rp)
{
	struct buf *b = reply_open(rp, 200, JSON_TYPE);

	jsonw_object(b, NULL);
	jsonw_bool(b, "success", true);
	jsonw_object(b, "data");
	return b;
}

static void close_data(struct buf *b)
{
	jsonw_end_object(b);
	jsonw_end_object(b);
}

static void print_totals(struct buf *b, const struct mirror_counts *c)
{
	jsonw_int(b, "totalServers", c->total[PANEL_SERVER]);
	jsonw_int(b, "totalUsers", c->total[PANEL_USER]);
	jsonw_int(b, "activeUsers", c->owners);
	jsonw_int(b, "totalAllocations", c->total[PANEL_ALLOCATION]);
	jsonw_int(b, "totalLocations", c->total[PANEL_LOCATION]);
	jsonw_int(b, "totalNodes", c->total[PANEL_NODE]);
	jsonw_int(b, "totalNests", c->total[PANEL_NEST]);
	jsonw_int(b, "totalEggs", c->total[PANEL_EGG]);
	jsonw_int(b, "totalDatabases", c->total[PANEL_DATABASE]);
	jsonw_int(b, "activeServers", c->active[PANEL_SERVER]);
	jsonw_int(b, "assignedAllocations", c->active[PANEL_ALLOCATION]);
}

/* For everybody: numbers, and nothing else. */
int stats_api_public(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct mirror_counts c;
	struct buf *b;

	(void)rq;
	if (panels_counts(feature, &c, e) != 0)
		return -1;
	b = open_data(rp);
	print_totals(b, &c);
	close_data(b);
	return 0;
}

static int print_syncs(struct panels *p, struct buf *b, struct err *e)
{
	struct sync_log last;
	bool found = false;
	struct db *db;
	int rc;

	if (store_read_begin(p->conf.store, &db, e) != 0)
		return -1;
	jsonw_object(b, "syncs");
	if ((rc = sync_log_print_counts(db, b, e)) == 0)
		rc = sync_log_last(db, true, &last, &found, e);
	jsonw_end_object(b);
	store_read_end(db);
	if (found)
		sync_log_print(b, "lastSync", &last);
	else
		jsonw_null(b, "lastSync");
	return rc;
}

int stats_api_overview(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct mirror_counts c;
	struct buf *b;
	int rc;

	(void)rq;
	if (panels_counts(feature, &c, e) != 0)
		return -1;
	b = open_data(rp);
	print_totals(b, &c);
	jsonw_int(b, "suspendedServers", c.total[PANEL_SERVER] - c.active[PANEL_SERVER]);
	jsonw_int(b, "freeAllocations", c.total[PANEL_ALLOCATION] - c.active[PANEL_ALLOCATION]);
	jsonw_int(b, "nodesInMaintenance", c.total[PANEL_NODE] - c.active[PANEL_NODE]);
	rc = print_syncs(feature, b, e);
	close_data(b);
	return rc;
}

static int print_servers_by(struct panels *p, enum mirror_by by, const char *key, struct buf *b, struct err *e)
{
	struct db *db;
	int rc;

	if (store_read_begin(p->conf.store, &db, e) != 0)
		return -1;
	jsonw_array(b, key);
	rc = mirror_print_servers_by(db, by, TOP, b, e);
	jsonw_end_array(b);
	store_read_end(db);
	return rc;
}

int stats_api_servers(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct mirror_counts c;
	struct buf *b;
	int rc;

	(void)rq;
	if (panels_counts(feature, &c, e) != 0)
		return -1;
	b = open_data(rp);
	jsonw_int(b, "total", c.total[PANEL_SERVER]);
	jsonw_int(b, "active", c.active[PANEL_SERVER]);
	jsonw_int(b, "suspended", c.total[PANEL_SERVER] - c.active[PANEL_SERVER]);
	jsonw_int(b, "databases", c.total[PANEL_DATABASE]);
	rc = print_servers_by(feature, MIRROR_BY_NODE, "byNode", b, e);
	close_data(b);
	return rc;
}

int stats_api_users(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct mirror_counts c;
	struct buf *b;
	int rc;

	(void)rq;
	if (panels_counts(feature, &c, e) != 0)
		return -1;
	b = open_data(rp);
	jsonw_int(b, "total", c.total[PANEL_USER]);
	jsonw_int(b, "active", c.owners);
	rc = print_servers_by(feature, MIRROR_BY_USER, "byServers", b, e);
	close_data(b);
	return rc;
}
