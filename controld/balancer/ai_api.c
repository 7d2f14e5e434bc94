/*
 * What /api/ai answers. There is no model that forecasts yet: confidence is 0, the load that is predicted is the one that is
 * measured, and what is recommended is what is there. The numbers that are shown are real.
 */
#include "common/base/clock.h"
#include "common/base/str.h"
#include "controld/balancer/ai_config.h"
#include "controld/balancer/room.h"
#include "controld/balancer/tenant_month.h"
#include "controld/balancer/tenant_rate.h"

#include <string.h>

#define OPTIMAL_MAX 10

struct outlook {
	struct balancer *b;
	struct ai_config config;
	struct tenant_rate rate;
	char algorithm[LB_ALGORITHM_SIZE]; /* that most pools have */
	unsigned counts[16];               /* of pools, in the order of lb_pool_algorithms */
	unsigned adaptive, pools;
	json_t *healthy; /* addresses */
	int64_t now_ms;
};

static int on_pool(const struct lb_pool *p, void *arg)
{
	struct outlook *o = arg;

	o->pools++;
	for (size_t i = 0; i < ARRAY_LEN(o->counts) && lb_pool_algorithms[i] != NULL; i++)
		if (str_eq(lb_pool_algorithms[i], p->algorithm))
			o->counts[i]++;
	o->adaptive += str_eq(p->algorithm, "adaptive_ai");
	return 0;
}

static int on_backend(const struct lb_backend *one, void *arg)
{
	struct outlook *o = arg;
	char address[LB_BACKEND_ADDRESS_SIZE];

	if (json_array_size(o->healthy) == OPTIMAL_MAX)
		return 1;
	if (one->weight == 0 || !str_eq(lb_health_name(o->b, one), "healthy"))
		return 0;
	lb_backend_address(one, address);
	return json_array_append_new(o->healthy, json_string(address));
}

/* The algorithm that most of its pools have; the first of the list when there are none. */
static void choose_algorithm(struct outlook *o)
{
	size_t best = 0;

	for (size_t i = 1; i < ARRAY_LEN(o->counts) && lb_pool_algorithms[i] != NULL; i++)
		if (o->counts[i] > o->counts[best])
			best = i;
	(void)str_copy(o->algorithm, sizeof o->algorithm, lb_pool_algorithms[best]);
}

static int read_outlook(struct outlook *o, struct db *db, const char *tenant_id, struct err *e)
{
	const struct lb_pool_filter pools = { tenant_id, "", "", "", "", INT32_MAX };
	const struct lb_backend_filter backends = { tenant_id, "", "", "", INT32_MAX };
	struct tenant_month month;

	if (ai_config_get(db, tenant_id, &o->config, e) != 0 || lb_pool_list(db, &pools, on_pool, o, e) != 0 ||
		lb_backend_list(db, &backends, on_backend, o, e) != 0 ||
		tenant_month_read(db, tenant_id, o->now_ms, &month, e) != 0)
		return -1;
	tenant_rates_get(o->b->rates, tenant_id, &month.total, o->now_ms, &o->rate);
	choose_algorithm(o);
	return 0;
}

static int outlook_begin(struct outlook *o, void *feature, const struct request *rq, struct err *e)
{
	struct db *db;
	int rc;

	*o = (struct outlook){ .b = feature, .now_ms = clock_wall_ms() };
	if (store_read_begin(o->b->store, &db, e) != 0)
		return -1;
	o->healthy = json_array();
	rc = read_outlook(o, db, request_identity(rq)->tenant_id, e);
	store_read_end(db);
	if (rc != 0)
		json_decref(o->healthy);
	return rc;
}

static json_t *prediction_json(const struct outlook *o)
{
	char time[CLOCK_RFC3339_SIZE];

	clock_rfc3339(time, o->now_ms);
	return json_pack("{s:s, s:f, s:f, s:s, s:O, s:s, s:s}", "recommended_algorithm", o->algorithm, "confidence",
		0.0, "predicted_load", o->rate.requests_per_second, "prediction_time", time, "optimal_backends",
		o->healthy, "scaling_recommendation", "none", "reason",
		"no model has been trained yet; the load is the one measured now");
}

int ai_api_metrics(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct outlook o;

	if (outlook_begin(&o, feature, rq, e) != 0)
		return -1;
	reply_json(rp, 200,
		json_pack("{s:b, s:s, s:o, s:{}}", "enabled", o.config.enabled, "current_algorithm", o.algorithm,
			"prediction_data", prediction_json(&o), "model_performance"));
	json_decref(o.healthy);
	return 0;
}

int ai_api_status(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct outlook o;

	if (outlook_begin(&o, feature, rq, e) != 0)
		return -1;
	reply_json(rp, 200,
		json_pack("{s:b, s:s, s:s, s:s, s:[], s:I, s:I}", "enabled", o.config.enabled, "status",
			o.config.enabled ? "untrained" : "disabled", "model_type", o.config.model_type,
			"current_algorithm", o.algorithm, "models", "pools", (json_int_t)o.pools, "adaptive_pools",
			(json_int_t)o.adaptive));
	json_decref(o.healthy);
	return 0;
}

int ai_api_predictions(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct outlook o;

	if (outlook_begin(&o, feature, rq, e) != 0)
		return -1;
	reply_json(rp, 200,
		json_pack("{s:b, s:[o], s:n}", "enabled", o.config.enabled, "predictions", prediction_json(&o),
			"next_cursor"));
	json_decref(o.healthy);
	return 0;
}

/* ---- the config ------------------------------------------------------------------------------------------------------ */

int ai_api_config(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct balancer *b = feature;
	struct ai_config c;
	struct db *db;
	int rc;

	if (store_read_begin(b->store, &db, e) != 0)
		return -1;
	rc = ai_config_get(db, request_identity(rq)->tenant_id, &c, e);
	store_read_end(db);
	if (rc != 0)
		return -1;
	reply_etag(rp, c.version);
	reply_json(rp, 200, ai_config_json(&c));
	return 0;
}

struct config_write {
	const struct request *rq;
	int64_t now_ms;
	struct ai_config config;
};

static int work_put(struct db *tx, void *arg, struct err *e)
{
	struct config_write *w = arg;
	const char *tenant_id = request_identity(w->rq)->tenant_id;
	const struct lb_actor by = lb_actor_of(w->rq, w->now_ms);
	char fields[128];

	if (ai_config_get(tx, tenant_id, &w->config, e) != 0 || lb_match(w->rq, w->config.version, e) != 0)
		return -1;
	ai_config_apply(&w->config, request_body(w->rq), fields, sizeof fields);
	if (fields[0] == '\0')
		return 0;
	w->config.version++;
	w->config.updated_ms = w->now_ms;
	return ai_config_put(tx, tenant_id, &w->config, fields, &by, e);
}

int ai_api_put_config(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct balancer *b = feature;
	struct config_write w = { .rq = rq, .now_ms = clock_wall_ms() };

	if (store_write(b->store, STORE_LOGGED, work_put, &w, e) != 0)
		return -1;
	reply_etag(rp, w.config.version);
	reply_json(rp, 200, ai_config_json(&w.config));
	return 0;
}

int ai_api_retrain(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	const char *type = request_param(rq, "model_type");

	(void)feature;
	(void)rp;
	for (size_t i = 0; ai_model_types[i] != NULL; i++)
		if (str_eq(ai_model_types[i], type))
			return err_set(e, ERR_AI_UNAVAILABLE, NULL,
				"models are not trained by this version yet; pools balance with adaptive_ai without "
				"one");
	err_set(e, ERR_VALIDATION, "model_type", "model_type: '%s' must be exponential_smoothing or neural_network",
		type);
	return err_detail(e, "choice", type);
}
