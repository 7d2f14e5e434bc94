#include "controld/tunnels/tunnels.h"

#include "controld/clients/client.h"
#include "controld/identity/identity.h"
#include "controld/store/search.h"
#include "controld/tunnels/api.h"
#include "controld/tunnels/connection_code.h"
#include "controld/tunnels/host_name_claim.h"
#include "controld/tunnels/mapping.h"
#include "controld/tunnels/mapping_change.h"
#include "controld/tunnels/mapping_input.h"
#include "controld/tunnels/mapping_port.h"
#include "controld/tunnels/placement.h"
#include "controld/tunnels/port.h"
#include "controld/tunnels/quota.h"
#include "controld/tunnels/quota_grant.h"
#include "controld/tunnels/traffic_boots.h"

#include <stdlib.h>

#define GET    "GET"
#define POST   "POST"
#define PUT    "PUT"
#define DELETE "DELETE"

static const struct route routes[] = {
	{ GET, "/api/v1/mappings", PERM_READ, LANE_DB, &mapping_list_query, NULL, &mapping_list_schema, 200, 0,
		mapping_api_list, "List tunnel mappings", "Mappings" },
	{ POST, "/api/v1/mappings", PERM_WRITE, LANE_DB, NULL, &mapping_schema, &mapping_schema, 201, ROUTE_JUDGES,
		mapping_api_create, "Create a tunnel mapping; source_port 0 picks a free port", "Mappings" },
	{ GET, "/api/v1/mappings/{id}", PERM_READ, LANE_DB, NULL, NULL, &mapping_schema, 200, 0, mapping_api_get,
		"Show one mapping with its status and traffic", "Mappings" },
	{ PUT, "/api/v1/mappings/{id}", PERM_WRITE, LANE_DB, NULL, &mapping_schema, &mapping_schema, 200,
		ROUTE_PARTIAL | ROUTE_JUDGES, mapping_api_update, "Change the members that are sent; null resets one",
		"Mappings" },
	{ DELETE, "/api/v1/mappings/{id}", PERM_WRITE, LANE_DB, NULL, NULL, NULL, 204, 0, mapping_api_delete,
		"Delete a mapping; its connections end as on_delete says", "Mappings" },
	{ GET, "/api/v1/clients/{id}/mappings", PERM_READ, LANE_DB, &mapping_of_client_query, NULL,
		&mapping_list_schema, 200, 0, mapping_api_of_client, "List the mappings that a client serves",
		"Clients" },
	{ GET, "/api/v1/clients/{id}/connections", PERM_READ, LANE_DB, &connection_of_mapping_query, NULL,
		&connection_list_schema, 200, 0, connection_api_of_client,
		"List the live connections of a client's mappings", "Clients" },
	{ GET, "/api/v1/self/mappings", PERM_CLIENT, LANE_DB, &mapping_of_client_query, NULL, &mapping_list_schema, 200,
		0, mapping_api_own, "List the mappings that the client serves", "Client itself" },
	{ POST, "/api/v1/self/mappings", PERM_CLIENT, LANE_DB, NULL, &mapping_own_schema, &mapping_schema, 201, 0,
		mapping_api_create_own, "Create a mapping to an anonymous client itself", "Client itself" },
	{ DELETE, "/api/v1/self/mappings/{id}", PERM_CLIENT, LANE_DB, NULL, NULL, NULL, 204, 0, mapping_api_delete_own,
		"Delete one of them", "Client itself" },
	{ POST, "/api/v1/anonymous/mappings", PERM_CLIENT, LANE_DB, NULL, &mapping_own_schema, &mapping_schema, 201, 0,
		mapping_api_create_own, "The same as POST /api/v1/self/mappings", "Anonymous" },
	{ GET, "/api/v1/anonymous/mappings", PERM_SYSTEM, LANE_DB, &mapping_list_query, NULL, &mapping_list_schema, 200,
		0, mapping_api_anonymous, "List the mappings of anonymous clients", "Anonymous" },
	{ GET, "/api/v1/mappings/{id}/connections", PERM_READ, LANE_DB, &connection_of_mapping_query, NULL,
		&connection_list_schema, 200, 0, connection_api_of_mapping, "List the live connections of a mapping",
		"Connections" },
	{ GET, "/api/v1/connections", PERM_READ, LANE_DB, &connection_list_query, NULL, &connection_list_schema, 200, 0,
		connection_api_list, "List live connections, as the relays have them now", "Connections" },
	{ DELETE, "/api/v1/connections/{id}", PERM_WRITE, LANE_DB, NULL, NULL, NULL, 204, 0, connection_api_cut,
		"Cut one connection", "Connections" },
	{ GET, "/api/v1/users/{id}/quota", PERM_READ, LANE_DB, NULL, NULL, &quota_schema, 200, 0, quota_api_get,
		"What a user may pass in a month, and what is used", "Users" },
	{ PUT, "/api/v1/users/{id}/quota", PERM_TENANT_ADMIN, LANE_DB, NULL, &quota_schema, &quota_schema, 200,
		ROUTE_PARTIAL, quota_api_put, "Change it; null takes the limit away", "Users" },
	{ POST, "/api/v1/connection-codes", PERM_WRITE, LANE_DB, NULL, &connection_code_schema, NULL, 201, 0,
		connection_code_api_create, "Make a code that opens one target behind a client once",
		"Connection codes" },
	{ GET, "/api/v1/connection-codes", PERM_WRITE, LANE_DB, NULL, NULL, NULL, 200, 0, connection_code_api_list,
		"List the codes that have not been used", "Connection codes" },
	{ DELETE, "/api/v1/connection-codes/{id}", PERM_WRITE, LANE_DB, NULL, NULL, NULL, 204, 0,
		connection_code_api_delete, "Take a code back", "Connection codes" },
	{ POST, "/api/v1/connection-codes/redeem", PERM_PUBLIC, LANE_DB, NULL, &connection_code_redeem_schema,
		&mapping_schema, 201, ROUTE_LOGIN | ROUTE_PER_MINUTE(60), mapping_api_redeem,
		"Use a code: a port that lets the caller's address through to its target", "Connection codes" },
	{ GET, "/api/v1/search", PERM_READ, LANE_DB, &search_query_schema, NULL, NULL, 200, 0, search_api,
		"Find users, clients and mappings by the beginnings of words", "Search" },
	{ GET, "/api/v1/stats/traffic", PERM_READ, LANE_DB, &stats_query, NULL, NULL, 200, 0, stats_api_traffic,
		"Traffic of the tenant over time", "Statistics" },
	{ GET, "/api/v1/stats/connections", PERM_READ, LANE_DB, &stats_query, NULL, NULL, 200, 0, stats_api_traffic,
		"Connections of the tenant over time", "Statistics" },
	{ GET, "/api/v1/stats/system", PERM_SYSTEM, LANE_DB, &stats_query, NULL, NULL, 200, 0, stats_api_system,
		"Totals of the whole system, and over time", "Statistics" },
	{ GET, "/api/v1/stats/users/{id}", PERM_READ, LANE_DB, &stats_query, NULL, NULL, 200, 0, stats_api_user,
		"Totals of one user, and over time", "Statistics" },
	{ GET, "/api/v1/stats/clients/{id}", PERM_READ, LANE_DB, &stats_query, NULL, NULL, 200, 0, stats_api_client,
		"Totals of one client, and over time", "Statistics" },
	{ GET, "/api/v1/stats/mappings/{id}", PERM_READ, LANE_DB, &stats_query, NULL, NULL, 200, 0, stats_api_mapping,
		"Totals of one mapping, also after it was deleted, and over time", "Statistics" },
	{ GET, "/api/v1/stats/nodes/{id}", PERM_SYSTEM, LANE_DB, &stats_query, NULL, NULL, 200, 0, stats_api_node,
		"Totals of one relay, and over time", "Statistics" },
};

struct route_table tunnels_routes(struct tunnels *t)
{
	return (struct route_table){ routes, ARRAY_LEN(routes), t };
}

const struct sql_table *const tunnels_sql[] = { &mapping_sql, &mapping_change_sql, &mapping_placed_sql,
	&mapping_port_sql, &host_name_claim_sql, &placement_sql, &port_sql, &quota_sql, &quota_grant_sql, &traffic_sql,
	&traffic_meters_sql, &traffic_boots_sql, &stats_sql, &series_sql };
const size_t tunnels_sql_n = ARRAY_LEN(tunnels_sql);

int tunnels_new(struct tunnels **out, const struct tunnels_conf *conf, struct store *store, struct parks *parks,
	struct mapping_statuses *statuses, const struct relays *relays, struct err *e)
{
	const struct series_conf series = { .totals = store,
		.samples = conf->samples,
		.retention_ms = { [SERIES_10S] = conf->series_retention_10s_ms,
			[SERIES_1M] = conf->series_retention_1m_ms,
			[SERIES_1H] = conf->series_retention_1h_ms } };
	struct tunnels *t = calloc(1, sizeof *t);

	if (t == NULL)
		return err_set(e, ERR_NOMEM, NULL, "tunnels: out of memory");
	t->conf = *conf;
	t->store = store;
	t->limits = (struct tunnels_limits){ conf->create_wait_ms, conf->mappings_max, conf->anonymous_mappings_max };
	pthread_mutex_init(&t->lock, NULL);
	t->parks = parks;
	t->statuses = statuses;
	t->relays = *relays;
	if (conf->samples != NULL && series_new(&t->series, &series, e) != 0)
		goto fail;
	*out = t;
	return 0;
fail:
	tunnels_free(t);
	return -1;
}

void tunnels_set_limits(struct tunnels *t, const struct tunnels_limits *l)
{
	pthread_mutex_lock(&t->lock);
	t->limits = *l;
	pthread_mutex_unlock(&t->lock);
}

struct tunnels_limits tunnels_limits(struct tunnels *t)
{
	struct tunnels_limits l;

	pthread_mutex_lock(&t->lock);
	l = t->limits;
	pthread_mutex_unlock(&t->lock);
	return l;
}

int tunnels_client_of(struct tunnels *t, const struct request *rq, int64_t *id, struct err *e)
{
	const char *text = request_param(rq, "id");
	bool exists = false;
	struct db *db;
	int rc = 0;

	if (client_id_parse(text, id) == 0) {
		if (store_read_begin(t->store, &db, e) != 0)
			return -1;
		rc = client_exists(db, request_identity(rq)->tenant_id, *id, &exists, e);
		store_read_end(db);
	}
	if (rc == 0 && !exists)
		rc = err_set(e, ERR_CLIENT_NOT_FOUND, NULL, "there is no client %s", text);
	return rc;
}

void tunnels_free(struct tunnels *t)
{
	if (t == NULL)
		return;
	series_free(t->series);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

const struct erasure *const tunnels_erasures[] = { &mapping_erasure, &connection_code_erasure, &quota_erasure,
	&quota_grant_erasure, &search_erasure };
const size_t tunnels_erasures_n = ARRAY_LEN(tunnels_erasures);

#define REMOVE_BATCH 100 /* mappings in one transaction: others wait for it */

struct batch {
	int64_t now_ms;
	unsigned n;
};

static int work_remove_orphans(struct db *tx, void *arg, struct err *e)
{
	struct batch *r = arg;

	return mapping_remove_orphans(tx, REMOVE_BATCH, r->now_ms, &r->n, e);
}

static int remove_orphans(struct tunnels *t, int64_t now_ms, struct err *e)
{
	struct batch r = { .now_ms = now_ms };
	struct db *db;
	bool any;
	int rc;

	if (store_read_begin(t->store, &db, e) != 0)
		return -1;
	rc = mapping_find_orphans(db, &any, e);
	store_read_end(db);
	if (rc != 0 || !any)
		return rc;
	do {
		if (store_write(t->store, STORE_LOGGED, work_remove_orphans, &r, e) != 0)
			return -1;
	} while (r.n == REMOVE_BATCH);
	return 0;
}

static int work_expire_codes(struct db *tx, void *arg, struct err *e)
{
	return MIN(connection_code_expire(tx, *(const int64_t *)arg, e), 0);
}

static int expire_codes(struct tunnels *t, int64_t now_ms, struct err *e)
{
	return store_write(t->store, STORE_OPERATIONAL, work_expire_codes, &now_ms, e);
}

#define QUOTAS_BATCH 100 /* in one transaction */

static int work_quotas(struct db *tx, void *arg, struct err *e)
{
	struct batch *r = arg;

	return quota_follow(tx, QUOTAS_BATCH, r->now_ms, &r->n, e);
}

int tunnels_quotas(struct tunnels *t, int64_t now_ms, struct err *e)
{
	struct batch r = { .now_ms = now_ms };
	struct db *db;
	bool any;
	int rc;

	if (store_read_begin(t->store, &db, e) != 0)
		return -1;
	rc = quota_due(db, now_ms, &any, e);
	store_read_end(db);
	if (rc != 0 || !any)
		return rc;
	do {
		if (store_write(t->store, STORE_LOGGED, work_quotas, &r, e) != 0)
			return -1;
	} while (r.n == QUOTAS_BATCH);
	return 0;
}

int tunnels_move_ports(struct tunnels *t, int64_t now_ms, struct err *e)
{
	return mapping_statuses_any_refused(t->statuses) ? mapping_port_tick(t, now_ms, e) : 0;
}

int tunnels_tick(struct tunnels *t, int64_t now_ms, struct err *e)
{
	if (remove_orphans(t, now_ms, e) != 0 || expire_codes(t, now_ms, e) != 0 ||
		mapping_port_tick(t, now_ms, e) != 0)
		return -1;
	return t->series != NULL ? series_tick(t->series, now_ms, e) : 0;
}
