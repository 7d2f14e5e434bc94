#include "controld/balancer/balancer.h"

#include "common/base/clock.h"
#include "common/base/str.h"
#include "controld/balancer/ai_config.h"
#include "controld/balancer/lb_pool_input.h"
#include "controld/balancer/lb_route_change.h"
#include "controld/balancer/lb_route_claim.h"
#include "controld/balancer/lb_route_input.h"
#include "controld/balancer/lb_standing.h"
#include "controld/balancer/lb_sticky.h"
#include "controld/balancer/request_grant.h"
#include "controld/balancer/room.h"
#include "controld/balancer/tenant_month.h"
#include "controld/balancer/tenant_rate.h"

#include <inttypes.h>
#include <stdlib.h>

#define GET    "GET"
#define POST   "POST"
#define PUT    "PUT"
#define DELETE "DELETE"

static const struct route routes[] = {
	{ GET, "/api/pools", PERM_READ, LANE_DB, &lb_pool_list_query, NULL, &lb_pool_list_schema, 200, 0,
		lb_pool_api_list, "List pools with their backends", "Pools" },
	{ POST, "/api/pools", PERM_WRITE, LANE_DB, NULL, &lb_pool_schema, &lb_pool_schema, 201, ROUTE_JUDGES,
		lb_pool_api_create, "Create a pool; its backends are added to it", "Pools" },
	{ GET, "/api/pools/{name}", PERM_READ, LANE_DB, NULL, NULL, &lb_pool_schema, 200, 0, lb_pool_api_get,
		"Show one pool, by name or id", "Pools" },
	{ PUT, "/api/pools/{name}", PERM_WRITE, LANE_DB, NULL, &lb_pool_schema, &lb_pool_schema, 200,
		ROUTE_PARTIAL | ROUTE_JUDGES, lb_pool_api_update, "Change the members that are sent; null resets one",
		"Pools" },
	{ DELETE, "/api/pools/{name}", PERM_WRITE, LANE_DB, NULL, NULL, NULL, 204, 0, lb_pool_api_delete,
		"Delete a pool that no route uses, with its backends", "Pools" },
	{ GET, "/api/backends", PERM_READ, LANE_DB, &lb_backend_list_query, NULL, &lb_backend_list_schema, 200, 0,
		lb_backend_api_list, "List backends", "Backends" },
	{ POST, "/api/backends", PERM_WRITE, LANE_DB, NULL, &lb_backend_schema, &lb_backend_schema, 201, ROUTE_JUDGES,
		lb_backend_api_create, "Add a backend to a pool", "Backends" },
	{ GET, "/api/backends/{id}", PERM_READ, LANE_DB, NULL, NULL, &lb_backend_schema, 200, 0, lb_backend_api_get,
		"Show one backend", "Backends" },
	{ PUT, "/api/backends/{id}", PERM_WRITE, LANE_DB, NULL, &lb_backend_schema, &lb_backend_schema, 200,
		ROUTE_PARTIAL | ROUTE_JUDGES, lb_backend_api_update,
		"Change the members that are sent; weight 0 drains it", "Backends" },
	{ DELETE, "/api/backends/{id}", PERM_WRITE, LANE_DB, NULL, NULL, NULL, 204, 0, lb_backend_api_delete,
		"Remove a backend from its pool", "Backends" },
	{ GET, "/api/routes", PERM_READ, LANE_DB, &lb_route_list_query, NULL, &lb_route_list_schema, 200, 0,
		lb_route_api_list, "List routes", "Routes" },
	{ POST, "/api/routes", PERM_WRITE, LANE_DB, NULL, &lb_route_schema, &lb_route_schema, 201, ROUTE_JUDGES,
		lb_route_api_create, "Create a route from a host and a path to a pool", "Routes" },
	{ GET, "/api/routes/{id}", PERM_READ, LANE_DB, NULL, NULL, &lb_route_schema, 200, 0, lb_route_api_get,
		"Show one route with its status", "Routes" },
	{ PUT, "/api/routes/{id}", PERM_WRITE, LANE_DB, NULL, &lb_route_schema, &lb_route_schema, 200,
		ROUTE_PARTIAL | ROUTE_JUDGES, lb_route_api_update, "Change the members that are sent; null resets one",
		"Routes" },
	{ DELETE, "/api/routes/{id}", PERM_WRITE, LANE_DB, NULL, NULL, NULL, 204, 0, lb_route_api_delete,
		"Delete a route; requests that it has taken are finished", "Routes" },
	{ GET, "/api/tenants/{id}/metrics", PERM_READ, LANE_DB, NULL, NULL, NULL, 200, 0, tenant_api_metrics,
		"How much a tenant's routes have to do", "tenants" },
	{ GET, "/api/tenants/{id}/logs", PERM_TENANT_ADMIN, LANE_DB, &tenant_logs_query, NULL, NULL, 200, 0,
		tenant_api_logs, "What happened in a tenant, newest first", "tenants" },
	{ GET, "/api/tenants/{id}/usage", PERM_READ, LANE_DB, NULL, NULL, NULL, 200, 0, tenant_api_usage,
		"What a tenant used in this month", "tenants" },
	{ GET, "/api/tenants/{id}/status", PERM_READ, LANE_DB, NULL, NULL, NULL, 200, 0, tenant_api_status,
		"What a tenant has and how it is", "tenants" },
	{ GET, "/api/status", PERM_SELF, LANE_DB, NULL, NULL, NULL, 200, 0, status_api_get,
		"What this controld is and can do", "System" },
	{ GET, "/api/ai/metrics", PERM_READ, LANE_DB, NULL, NULL, NULL, 200, 0, ai_api_metrics,
		"The forecast, and how good the models are", "AI" },
	{ GET, "/api/ai/status", PERM_READ, LANE_DB, NULL, NULL, NULL, 200, 0, ai_api_status, "Which models there are",
		"AI" },
	{ GET, "/api/ai/predictions", PERM_READ, LANE_DB, NULL, NULL, NULL, 200, 0, ai_api_predictions, "The forecasts",
		"AI" },
	{ GET, "/api/ai/config", PERM_READ, LANE_DB, NULL, NULL, &ai_config_schema, 200, 0, ai_api_config,
		"What is wanted of forecasts", "AI" },
	{ PUT, "/api/ai/config", PERM_TENANT_ADMIN, LANE_DB, NULL, &ai_config_schema, &ai_config_schema, 200,
		ROUTE_PARTIAL, ai_api_put_config, "Change it; null resets a member", "AI" },
	{ POST, "/api/ai/models/{model_type}/retrain", PERM_TENANT_ADMIN, LANE_DB, NULL, NULL, NULL, 202, 0,
		ai_api_retrain, "Train a model anew", "AI" },
};

struct route_table balancer_routes(struct balancer *b)
{
	return (struct route_table){ routes, ARRAY_LEN(routes), b };
}

const struct sql_table *const balancer_sql[] = { &lb_pool_sql, &lb_backend_sql, &lb_route_sql, &lb_route_claim_sql,
	&lb_standing_sql, &tenant_month_sql, &request_grant_sql, &tenant_rate_sql, &tenant_api_sql, &ai_config_sql };
const size_t balancer_sql_n = ARRAY_LEN(balancer_sql);
const struct erasure *const balancer_erasures[] = { &lb_route_erasure, &lb_standing_erasure, &lb_pool_erasure,
	&tenant_month_erasure, &request_grant_erasure, &ai_config_erasure };
const size_t balancer_erasures_n = ARRAY_LEN(balancer_erasures);

static int work_bootstrap(struct db *tx, void *arg, struct err *e)
{
	(void)arg;
	return lb_sticky_bootstrap(tx, e);
}

int balancer_bootstrap(struct store *store, struct err *e)
{
	return store_write(store, STORE_LOGGED, work_bootstrap, NULL, e);
}

int balancer_new(struct balancer **out, const struct balancer_conf *conf, struct store *store, struct parks *parks,
	const struct relays *relays, struct err *e)
{
	struct balancer *b = calloc(1, sizeof *b);

	if (b == NULL)
		return err_set(e, ERR_NOMEM, NULL, "balancer: out of memory");
	b->conf = *conf;
	b->store = store;
	b->parks = parks;
	b->relays = *relays;
	b->started_ms = clock_wall_ms();
	atomic_init(&b->create_wait_ms, conf->create_wait_ms);
	if (tenant_rates_new(&b->rates, e) != 0)
		goto fail;
	*out = b;
	return 0;
fail:
	balancer_free(b);
	return -1;
}

void balancer_free(struct balancer *b)
{
	if (b == NULL)
		return;
	tenant_rates_free(b->rates);
	free(b);
}

int balancer_check(struct balancer *b, struct err *e)
{
	size_t nodes = 0, online = 0;

	if (b->relays.ops->count != NULL)
		b->relays.ops->count(b->relays.self, &nodes, &online);
	if (nodes == 0 || online > 0)
		return 0;
	return err_set(e, ERR_UNAVAILABLE, NULL, "none of %zu relays is online", nodes);
}

int balancer_tick(void *balancer, int64_t now_ms, struct err *e)
{
	struct balancer *b = balancer;
	struct db *db;
	int rc;

	if (store_read_begin(b->store, &db, e) != 0)
		return -1;
	rc = tenant_rates_tick(b->rates, db, now_ms, e);
	store_read_end(db);
	return rc;
}

static int work_months(struct db *tx, void *arg, struct err *e)
{
	return tenant_month_begin(tx, *(const int64_t *)arg, e);
}

int balancer_months(void *balancer, int64_t now_ms, struct err *e)
{
	struct balancer *b = balancer;

	return store_write(b->store, STORE_OPERATIONAL, work_months, &now_ms, e);
}

int balancer_usage(void *balancer, struct db *db, const char *tenant_id, struct tenant_usage *out, struct err *e)
{
	struct tenant_month m;

	(void)balancer;
	if (tenant_month_read(db, tenant_id, clock_wall_ms(), &m, e) != 0)
		return -1;
	*out = (struct tenant_usage){ m.requests, m.bytes_in + m.bytes_out };
	return 0;
}

void balancer_set_create_wait(struct balancer *b, uint64_t ms)
{
	atomic_store(&b->create_wait_ms, ms);
}

/* ---- what the handlers share -------------------------------------------------------------------------------------- */

struct lb_actor lb_actor_of(const struct request *rq, int64_t now_ms)
{
	return (struct lb_actor){ request_identity(rq)->actor, request_id(rq), now_ms };
}

int lb_fail_input(const struct err_list *errs, struct err *e)
{
	if (errs->n == 0)
		return 0;
	if (e != NULL)
		*e = errs->items[0];
	return -1;
}

int lb_gather(int rc, struct err_list *errs, const struct err *e)
{
	if (rc == 0)
		return 0;
	if (e == NULL || e->field[0] == '\0')
		return -1;
	err_list_take(errs, e);
	return 0;
}

int lb_match(const struct request *rq, int64_t version, struct err *e)
{
	char etag[32];

	(void)str_fmt(etag, sizeof etag, "v%" PRId64, version);
	return request_if_match(rq, etag, e);
}

const char *lb_query(const struct request *rq, const char *name)
{
	const char *s = request_query(rq, name);

	return s != NULL ? s : "";
}

int lb_check_size(const struct buf *b, struct err *e)
{
	if (b->failed)
		return err_set(e, ERR_NOMEM, NULL, "the answer does not fit into memory");
	if (b->len <= LB_LIST_BYTES_MAX)
		return 0;
	return err_set(
		e, ERR_VALIDATION, "limit", "the page is larger than %u bytes; ask for fewer", LB_LIST_BYTES_MAX);
}

enum lb_health lb_health_of(const struct balancer *b, const struct lb_backend *one)
{
	size_t nodes = 0, online = 1;

	if (b->relays.ops->count != NULL)
		b->relays.ops->count(b->relays.self, &nodes, &online);
	if (online == 0 || one->state == BACKEND_UNKNOWN)
		return LB_HEALTH_UNKNOWN;
	return one->state == BACKEND_HEALTHY ? LB_HEALTH_UP : LB_HEALTH_DOWN;
}

const char *lb_health_name(const struct balancer *b, const struct lb_backend *one)
{
	static const char *const names[] = {
		[LB_HEALTH_UNKNOWN] = "unknown", [LB_HEALTH_UP] = "healthy", [LB_HEALTH_DOWN] = "unhealthy"
	};

	return names[lb_health_of(b, one)];
}

int lb_group_default(struct balancer *b, struct db *db, char group_id[PROTO_ID_SIZE], struct err *e)
{
	char node_id[PROTO_ID_SIZE];

	return b->relays.ops->place(b->relays.self, db, "", "", group_id, node_id, e);
}
