/*
 * room - the inside of struct balancer, and the handlers that its table of routes (balancer.c) names. For the files of this folder
 * only.
 */
#ifndef PORTWAY_CONTROLD_BALANCER_ROOM_H
#define PORTWAY_CONTROLD_BALANCER_ROOM_H

#include "controld/balancer/balancer.h"
#include "controld/balancer/lb_actor.h"
#include "controld/balancer/lb_backend.h"
#include "controld/balancer/lb_pool.h"
#include "controld/balancer/lb_route.h"
#include "controld/identity/identity.h"

#include <stdatomic.h>

#define LB_JSON_TYPE      "application/json; charset=utf-8"
#define LB_LIST_BYTES_MAX (32u << 20)

struct balancer {
	struct balancer_conf conf;
	struct store *store;
	struct parks *parks;
	struct relays relays;
	struct tenant_rates *rates;
	int64_t started_ms; /* wall clock */
	atomic_uint_fast64_t create_wait_ms;
};

struct lb_actor lb_actor_of(const struct request *rq, int64_t now_ms);
/* The first of them, when there are any. */
int lb_fail_input(const struct err_list *errs, struct err *e) MUST_CHECK;
/*
 * rc of a check that has filled *e. What is wrong with one field goes to the others that are wrong: 0, and the checks go on. Anything
 * else ends them: -1.
 */
int lb_gather(int rc, struct err_list *errs, const struct err *e) MUST_CHECK;
/* If-Match against a row's version. */
int lb_match(const struct request *rq, int64_t version, struct err *e) MUST_CHECK;
/* Parameter of the query, "" for none. */
const char *lb_query(const struct request *rq, const char *name);
/* 0, or -1 when the answer has become larger than a client wants. */
int lb_check_size(const struct buf *b, struct err *e) MUST_CHECK;
/* "healthy", "unhealthy", "unknown". */
enum lb_health { LB_HEALTH_UNKNOWN, LB_HEALTH_UP, LB_HEALTH_DOWN };
/* How a backend is; not known while no relay is online. */
enum lb_health lb_health_of(const struct balancer *b, const struct lb_backend *one);
const char *lb_health_name(const struct balancer *b, const struct lb_backend *one);
/* The id of the group `default`. */
int lb_group_default(struct balancer *b, struct db *db, char group_id[PROTO_ID_SIZE], struct err *e) MUST_CHECK;

/* lb_pool_api.c */
int lb_pool_api_list(void *feature, struct request *rq, struct reply *rp, struct err *e);
int lb_pool_api_create(void *feature, struct request *rq, struct reply *rp, struct err *e);
int lb_pool_api_get(void *feature, struct request *rq, struct reply *rp, struct err *e);
int lb_pool_api_update(void *feature, struct request *rq, struct reply *rp, struct err *e);
int lb_pool_api_delete(void *feature, struct request *rq, struct reply *rp, struct err *e);

/* lb_backend_api.c */
int lb_backend_api_list(void *feature, struct request *rq, struct reply *rp, struct err *e);
int lb_backend_api_create(void *feature, struct request *rq, struct reply *rp, struct err *e);
int lb_backend_api_get(void *feature, struct request *rq, struct reply *rp, struct err *e);
int lb_backend_api_update(void *feature, struct request *rq, struct reply *rp, struct err *e);
int lb_backend_api_delete(void *feature, struct request *rq, struct reply *rp, struct err *e);

/* lb_route_api.c */
int lb_route_api_list(void *feature, struct request *rq, struct reply *rp, struct err *e);
int lb_route_api_create(void *feature, struct request *rq, struct reply *rp, struct err *e);
int lb_route_api_get(void *feature, struct request *rq, struct reply *rp, struct err *e);
int lb_route_api_update(void *feature, struct request *rq, struct reply *rp, struct err *e);
int lb_route_api_delete(void *feature, struct request *rq, struct reply *rp, struct err *e);

/* tenant_api.c */
int tenant_api_metrics(void *feature, struct request *rq, struct reply *rp, struct err *e);
int tenant_api_logs(void *feature, struct request *rq, struct reply *rp, struct err *e);
int tenant_api_usage(void *feature, struct request *rq, struct reply *rp, struct err *e);
int tenant_api_status(void *feature, struct request *rq, struct reply *rp, struct err *e);
extern const struct schema tenant_logs_query;
extern const struct sql_table tenant_api_sql;

/* status_api.c */
int status_api_get(void *feature, struct request *rq, struct reply *rp, struct err *e);

/* ai_api.c */
int ai_api_metrics(void *feature, struct request *rq, struct reply *rp, struct err *e);
int ai_api_status(void *feature, struct request *rq, struct reply *rp, struct err *e);
int ai_api_predictions(void *feature, struct request *rq, struct reply *rp, struct err *e);
int ai_api_config(void *feature, struct request *rq, struct reply *rp, struct err *e);
int ai_api_put_config(void *feature, struct request *rq, struct reply *rp, struct err *e);
int ai_api_retrain(void *feature, struct request *rq, struct reply *rp, struct err *e);

#endif
