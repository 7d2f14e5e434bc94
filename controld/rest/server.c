#include "controld/rest/server.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/metrics/metrics.h"
#include "controld/loop/loop.h"
#include "controld/rest/conns.h"
#include "controld/rest/dispatch.h"
#include "controld/rest/health.h"
#include "controld/rest/rest_metrics.h"
#include "controld/rest/router.h"
#include "controld/rest/system_api.h"

#include <stdlib.h>

#define SERVER_REGISTRIES_MAX 8

struct server {
	struct server_conf conf;
	struct loop *loop;
	struct rest_metrics *metrics;
	struct metrics *registries[SERVER_REGISTRIES_MAX]; /* our own is the first */
	size_t n_registries;
	struct router *router;
	struct health *health;
	struct system_api *system;
	struct dispatch *dispatch;
	struct conns *conns;
	struct loop_timer *second;
	bool serving;
	void (*stopped)(void *arg);
	void *stopped_arg;
};

static void on_second(void *arg)
{
	struct server *s = arg;

	rest_metrics_second(s->metrics);
}

static void server_print_metrics(void *arg, struct buf *out)
{
	struct server *s = arg;

	dispatch_collect(s->dispatch);
	metrics_print(s->registries, s->n_registries, out);
}

static bool server_ready(void *arg)
{
	return ((struct server *)arg)->serving;
}

static int server_new_parts(struct server *s, struct store *store, const struct authenticator *auth, struct err *e)
{
	if (rest_metrics_new(&s->metrics, e) != 0 || router_new(&s->router, e) != 0 || health_new(&s->health, e) != 0)
		return -1;
	s->registries[s->n_registries++] = rest_metrics_registry(s->metrics);
	const struct dispatch_parts dispatch = {
		.conf = &s->conf,
		.loop = s->loop,
		.store = store,
		.auth = auth,
		.metrics = s->metrics,
		.router = s->router,
	};
	const struct system_api_parts system = {
		.health = s->health,
		.router = s->router,
		.public_url = s->conf.public_url,
		.print_metrics = server_print_metrics,
		.ready = server_ready,
		.arg = s,
	};
	if (dispatch_new(&s->dispatch, &dispatch, e) != 0 || system_api_new(&s->system, &system, e) != 0 ||
		conns_new(&s->conns, &s->conf, s->loop, s->metrics, e) != 0 ||
		loop_timer_new(&s->second, s->loop, on_second, s, e) != 0)
		return -1;
	conns_on_request(s->conns, dispatch_request, s->dispatch);
	return server_add_routes(s, system_api_routes(s->system), e);
}

int server_new(struct server **out, const struct server_conf *conf, struct loop *loop, struct store *store,
	const struct authenticator *auth, struct err *e)
{
	struct server *s = calloc(1, sizeof *s);

	if (s == NULL)
		return err_set(e, ERR_NOMEM, NULL, "http: out of memory");
	s->conf = *conf;
	s->loop = loop;
	if (server_new_parts(s, store, auth, e) != 0) {
		server_free(s);
		return -1;
	}
	*out = s;
	return 0;
}

void server_finish(struct server *s)
{
	health_free(s->health);
	s->health = NULL;
	if (s->dispatch != NULL)
		dispatch_finish(s->dispatch);
}

void server_free(struct server *s)
{
	if (s == NULL)
		return;
	server_finish(s);
	conns_free(s->conns);
	dispatch_free(s->dispatch);
	loop_timer_free(s->second);
	system_api_free(s->system);
	router_free(s->router);
	rest_metrics_free(s->metrics);
	free(s);
}

int server_add_routes(struct server *s, struct route_table table, struct err *e)
{
	for (size_t i = 0; i < table.n; i++)
		if (router_add(s->router, &table.rows[i], table.feature, e) != 0)
			return -1;
	return 0;
}

int server_add_health(struct server *s, const struct health_probe *probe, struct err *e)
{
	return health_add(s->health, probe, e);
}

int server_add_metrics(struct server *s, struct metrics *m, struct err *e)
{
	if (s->n_registries == SERVER_REGISTRIES_MAX)
		return err_set(e, ERR_INTERNAL, NULL, "http: more than %d metric registries", SERVER_REGISTRIES_MAX);
	s->registries[s->n_registries++] = m;
	return 0;
}

void server_set_plans(struct server *s, const struct rate_plans *plans)
{
	dispatch_set_plans(s->dispatch, plans);
}

int server_start(struct server *s, struct err *e)
{
	if (system_api_start(s->system, e) != 0 || health_start(s->health, e) != 0 || conns_listen(s->conns, e) != 0)
		return -1;
	loop_timer_every(s->second, 1000);
	s->serving = true;
	log_info("http_listening", log_s("listen", s->conf.listen), log_u("port", conns_port(s->conns)),
		log_s("tls", s->conf.tls != NULL ? "on" : "off"));
	return 0;
}

void server_reload(struct server *s, const struct server_conf *fresh)
{
	s->conf.cors_origins = fresh->cors_origins;
	s->conf.access_log = fresh->access_log;
	s->conf.per_identity = fresh->per_identity;
	s->conf.per_address = fresh->per_address;
	s->conf.login_per_address = fresh->login_per_address;
	conns_set_tls(s->conns, fresh->tls);
}

uint16_t server_port(const struct server *s)
{
	return conns_port(s->conns);
}

static void on_drained(void *arg)
{
	struct server *s = arg;

	log_info("http_stopped");
	s->stopped(s->stopped_arg); /* may free s */
}

void server_stop(struct server *s, void (*stopped)(void *arg), void *arg)
{
	s->serving = false;
	s->stopped = stopped;
	s->stopped_arg = arg;
	dispatch_drain(s->dispatch);
	conns_drain(s->conns, s->conf.stop_ms, on_drained, s);
}

struct parks *server_parks(struct server *s)
{
	return dispatch_parks(s->dispatch);
}
