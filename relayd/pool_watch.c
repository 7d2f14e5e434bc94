#include "relayd/pool_watch.h"

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "relayd/conf/object.h"
#include "relayd/health/health.h"
#include "relayd/http/http_service.h"
#include "relayd/services.h"
#include "relayd/site/pool.h"

/* ---- what the checker finds --------------------------------------------------------------------------------------- */

static void refresh(struct pool_watch *p, struct pool *pool)
{
	pool_refresh(pool);
	if (pool->version != NULL)
		health_panic(p->health, pool->id, lb_pool_panics(&pool->version->lb));
}

static void on_changed(void *arg, void *pool)
{
	refresh(arg, pool);
}

static void on_hurry(void *arg)
{
	const struct pool_watch *p = arg;

	p->hurry(p->arg);
}

/* ---- what becomes of pools ---------------------------------------------------------------------------------------- */

static void on_pool_set(void *arg, struct pool *pool)
{
	struct pool_watch *p = arg;
	const struct pool_version *v = pool->version;
	struct err e = { .code = ERR_NONE };

	if (health_pool_set(p->health, v->object, v->ups, pool, &e) != 0)
		log_error("pool_not_checked", log_s("pool", pool->id), log_err(&e));
	refresh(p, pool);
}

static void on_pool_gone(void *arg, struct pool *pool)
{
	struct pool_watch *p = arg;

	health_pool_gone(p->health, pool->id);
}

static void on_ejected(void *arg, struct pool *pool, struct backend *b, enum lb_outlier_why why, double rate)
{
	struct pool_watch *p = arg;
	char text[96] = "its time aside is over";

	if (why == LB_FAILED_IN_ROW)
		(void)str_fmt(text, sizeof text, "%u failures in a row", pool->version->outlier.conf.failures_in_row);
	else if (why == LB_RATE)
		(void)str_fmt(text, sizeof text, "%.0f %% of its answers were good, far less than of the others", rate);
	health_ejected(p->health, pool->id, backend_id(b), why != LB_BACK, text);
	refresh(p, pool);
}

int pool_watch_open(struct pool_watch *p, struct services *services, const struct health_env *env, struct err *e)
{
	static const struct health_ops ops = { on_changed, on_hurry };
	const struct http_observer observer = {
		.pool_set = on_pool_set, .pool_gone = on_pool_gone, .ejected = on_ejected, .arg = p
	};

	const struct service *const http = services_find(services, HTTP_SERVICE_NAME);

	if (health_new(&p->health, env, &ops, p, e) != 0)
		return -1;
	http_service_observe(http->self, &observer);
	return 0;
}

void pool_watch_halt(struct pool_watch *p)
{
	if (p->health != NULL)
		health_halt(p->health);
}

void pool_watch_close(struct pool_watch *p)
{
	health_close(p->health);
	p->health = NULL;
}

void pool_watch_states(struct pool_watch *p, struct backend_states *out)
{
	if (p->health != NULL)
		health_states(p->health, out);
}
