#include "common/base/clock.h"
#include "controld/balancer/ai_config.h"
#include "controld/balancer/room.h"
#include "controld/identity/tenant.h"

#ifndef PORTWAY_VERSION
#define PORTWAY_VERSION "0"
#endif

static json_t *names(const char *const *list)
{
	json_t *all = json_array();

	for (size_t i = 0; list[i] != NULL; i++)
		json_array_append_new(all, json_string(list[i]));
	return all;
}

static json_t *plans(void)
{
	json_t *all = json_object();

	for (size_t i = 0; tenant_plans[i] != NULL; i++)
		json_object_set_new(all, tenant_plans[i],
			json_pack("{s:I}", "requests_per_hour", (json_int_t)tenant_plan_per_hour(tenant_plans[i])));
	return all;
}

/* GET /api/status: what a client of the balancer's API may want to know before it begins. */
int status_api_get(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct balancer *b = feature;
	const int64_t now_ms = clock_wall_ms();
	char time[CLOCK_RFC3339_SIZE];
	size_t nodes = 0, online = 0;

	(void)rq;
	(void)e;
	if (b->relays.ops->count != NULL)
		b->relays.ops->count(b->relays.self, &nodes, &online);
	clock_rfc3339(time, now_ms);
	reply_json(rp, 200,
		json_pack("{s:s, s:s, s:s, s:I, s:{s:I, s:I}, s:o, s:o, s:o, s:{s:I, s:I, s:i}}", "status",
			nodes == 0 || online > 0 ? "running" : "degraded", "version", PORTWAY_VERSION, "timestamp",
			time, "uptime_seconds", (json_int_t)((now_ms - b->started_ms) / 1000), "relays", "total",
			(json_int_t)nodes, "online", (json_int_t)online, "algorithms", names(lb_pool_algorithms),
			"ai_model_types", names(ai_model_types), "plans", plans(), "limits", "pools",
			(json_int_t)b->conf.pools_max, "routes", (json_int_t)b->conf.routes_max, "backends_per_pool",
			LB_POOL_BACKENDS_MAX));
	return 0;
}
