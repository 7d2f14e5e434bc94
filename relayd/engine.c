#define _GNU_SOURCE 1
#include "relayd/engine.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "relayd/conf/refusals.h"
#include "relayd/conf/snapshot.h"
#include "relayd/data_dir.h"
#include "relayd/filter/access_log.h"
#include "relayd/filter/chain.h"
#include "relayd/health/health.h"
#include "relayd/http/http_service.h"
#include "relayd/http_setup.h"
#include "relayd/limit/quotas.h"
#include "relayd/loop/workers.h"
#include "relayd/meter/meter.h"
#include "relayd/pages.h"
#include "relayd/running.h"
#include "relayd/settings.h"
#include "relayd/spending.h"
#include "relayd/tls/certs.h"
#include "relayd/tunnel/agents.h"
#include "relayd/vhost/front.h"

#include <sched.h>
#include <sys/resource.h>

static void on_refusals(void *arg)
{
	struct engine *g = arg;

	g->events.on_refusals(g->arg);
}

/* On any thread; before there is anything to spend there is somebody to hear it. */
static void on_low(void *arg)
{
	const struct engine *g = arg;

	spending_low(g->spending);
}

static int on_send(void *arg, struct buf *message, void (*on_reply)(void *arg, const void *msg, size_t n), void *of)
{
	struct engine *g = arg;

	return g->events.send(g->arg, message, on_reply, of);
}

static void on_agents(void *arg)
{
	struct engine *g = arg;

	g->events.on_agents(g->arg);
}

static void on_backends(void *arg)
{
	struct engine *g = arg;

	g->events.on_backends(g->arg);
}

static void on_current(void *arg, struct snapshot *s)
{
	struct engine *g = arg;

	g->events.on_current(g->arg, s);
}

/* What it acknowledged may be lost with the other log. */
static void on_other_log(void *arg)
{
	struct engine *g = arg;

	log_warn("controld_has_another_history");
	meter_report_again(g->meter);
}

/* ---- counters reach the disk ------------------------------------------------------------------------------------- */

static void work_sync(uv_work_t *work)
{
	struct engine *g = work->data;
	int r = meter_sync(g->meter);

	if (r != 0)
		log_error("meter_sync_failed", log_errno(-r));
}

static void on_synced(uv_work_t *work, int status)
{
	struct engine *g = work->data;

	(void)status;
	g->syncing = false;
}

static void on_sync_timer(uv_timer_t *t)
{
	struct engine *g = t->data;

	if (g->syncing)
		return;
	g->syncing = true;
	uv_queue_work(g->loop, &g->sync_work, work_sync, on_synced);
}

void engine_set_sync_interval(struct engine *g, uint64_t ms)
{
	uv_timer_start(&g->sync_timer, on_sync_timer, ms, ms);
}

/* ---- beginning --------------------------------------------------------------------------------------------------- */

static uint32_t raise_fd_limit(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) != 0)
		return 1024;
	l.rlim_cur = l.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &l) != 0)
		getrlimit(RLIMIT_NOFILE, &l);
	return (uint32_t)MIN(l.rlim_cur, 1u << 30);
}

static unsigned cpus(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof set, &set) != 0)
		return 1;
	return (unsigned)MAX(CPU_COUNT(&set), 1);
}

/* The budget keeps FD_SPARE for itself; the setting says how many the relay wants in all. */
static void init_budget(struct engine *g, const struct settings *s)
{
	uint32_t more = (uint32_t)(s->fd_reserve > FD_SPARE ? s->fd_reserve - FD_SPARE : 0);

	g->fds_max = raise_fd_limit();
	fd_budget_init(&g->fds, g->fds_max > more + FD_SPARE ? g->fds_max - more : g->fds_max);
}

/* The first of the services: a mapping finds its client when it comes to it. */
static int start_agents(struct engine *g, const struct settings *s, struct service_env *env, struct err *e)
{
	const struct agents_conf conf = { .listen = s->agents_listen,
		.proxies = s->agents_proxies,
		.handshakes_per_s = s->agents_handshakes,
		.guests_max = s->agents_guests,
		.ping_ms = (uint32_t)s->agents_ping_ms,
		.backoff_ms = (uint32_t)s->agents_backoff_ms,
		.reserve = (uint32_t)s->agents_reserve,
		.links_max = s->agents_links_max,
		.on_change = on_agents,
		.arg = g };

	if (str_eq(s->agents_listen, "off"))
		return 0;
	if (agents_new(&g->agents, &g->services.list[0], env, &conf, e) != 0)
		return -1;
	g->services.n = 1;
	env->agents = g->agents;
	str_copy(g->agents_at, sizeof g->agents_at,
		s->agents_advertise[0] != '\0' ? s->agents_advertise : s->agents_listen);
	return 0;
}

/* Before who shows them: when a route comes its certificate is there. */
static int start_certs(struct engine *g, struct service_env *env, struct err *e)
{
	struct certs *certs;

	if (certs_new(&certs, &g->services.list[g->services.n], env, e) != 0)
		return -1;
	g->services.n++;
	env->certs = certs;
	return 0;
}

/* The shared ports; their services come with the others. */
static int make_fronts(struct engine *g, const struct settings *s, const struct service_env *env, struct err *e)
{
	const struct front_conf common = { .timeout_ms = (uint32_t)s->hosts_timeout_ms,
		.waiting_max = (uint32_t)s->hosts_waiting,
		.waiting_per_source = (uint32_t)s->hosts_waiting_per_source,
		.workers = workers_count(g->workers) };
	struct front_conf conf[FRONTS_N] = { common, common };

	conf[FRONT_HTTP].protocol = MAPPING_HTTP;
	conf[FRONT_HTTP].name = "http";
	conf[FRONT_HTTP].listen = s->http_listen;
	conf[FRONT_HTTP].port = (uint16_t)s->http_public_port;
	conf[FRONT_TLS].protocol = MAPPING_TLS;
	conf[FRONT_TLS].name = "tls";
	conf[FRONT_TLS].listen = s->tls_listen;
	conf[FRONT_TLS].port = (uint16_t)s->tls_public_port;
	for (int i = 0; i < FRONTS_N; i++)
		if (front_new(&g->fronts[i], &conf[i], env, e) != 0)
			return -1;
	return 0;
}

void engine_set_identity(struct engine *g, const char *node, const char *cert, const char *ca, const char *key)
{
	struct err e = { .code = ERR_NONE };

	if (g->agents != NULL && agents_set_identity(g->agents, node, cert, ca, key, &e) != 0)
		log_error("agents_not_accepted", log_err(&e));
}

static int make_filters(struct engine *g, const struct settings *s, struct err *e)
{
	const unsigned workers = workers_count(g->workers);

	if (!str_eq(s->access_log, "off") && access_log_new(&g->access_log, s->access_log, workers, e) != 0)
		return -1;
	if (chain_new(&g->filters, g->access_log, workers, e) != 0)
		return -1;
	g->http.filters = chain_filters(g->filters);
	return 0;
}

static int start_forwarding(struct engine *g, const struct settings *s, struct err *e)
{
	struct service_env env = { .workers = g->workers,
		.fds = &g->fds,
		.meter = g->meter,
		.refusals = g->refusals,
		.loop = g->loop,
		.fronts = g->fronts,
		.http = &g->http,
		.quotas = g->quotas };
	const struct running_conf conf = { .services = &g->services,
		.refusals = g->refusals,
		.on_current = on_current,
		.on_other_log = on_other_log,
		.arg = g };

	struct health_env health = { .worker = workers_at(g->workers, 0), .loop = g->loop };
	struct spending_conf spending = { .quotas = g->quotas,
		.refusals = g->refusals,
		.boot = meter_boot(g->meter),
		.send = on_send,
		.hurry = on_refusals,
		.arg = g };

	if (http_setup_init(&g->http, s) != 0)
		return err_set(e, ERR_NOMEM, NULL, "routes: out of memory");
	g->health.hurry = on_backends;
	g->health.arg = g;
	if (make_filters(g, s, e) != 0 || start_agents(g, s, &env, e) != 0)
		return -1;
	health.agents = g->agents;
	if (start_certs(g, &env, e) != 0 || make_fronts(g, s, &env, e) != 0 ||
		services_init(&g->services, &env, e) != 0 ||
		pool_watch_open(&g->health, &g->services, &health, e) != 0 || workers_start(g->workers, e) != 0)
		return -1;
	if (running_new(&g->running, &conf, e) != 0)
		return -1;
	spending.running = g->running;
	return spending_new(&g->spending, g->loop, &spending, e);
}

int engine_init(struct engine *g, uv_loop_t *loop, const struct settings *s, const struct data_dir *dir,
	const struct engine_events *events, void *arg, struct err *e)
{
	uint32_t workers = (uint32_t)(s->workers != 0 ? s->workers : cpus());

	g->loop = loop;
	g->events = *events;
	g->arg = arg;
	load_init(&g->load);
	init_budget(g, s);
	if (refusals_new(&g->refusals, on_refusals, g, e) != 0)
		return -1;
	/* Above every serial of an earlier process: those counted up from an earlier time, a million a second at most. */
	refusals_start(g->refusals, (uint64_t)clock_wall_ms() * 1000);
	if (quotas_new(&g->quotas, s->quota_overdraft, on_low, g) != 0)
		return err_set(e, ERR_NOMEM, NULL, "quotas: out of memory");
	if (meter_open(&g->meter, dir->meter, (uint32_t)s->meter_slots, workers, e) != 0 ||
		workers_new(&g->workers, workers, &g->fds, e) != 0)
		return -1;
	workers_set_busy_poll(g->workers, s->busy_poll_us * 1000);
	uv_timer_init(loop, &g->sync_timer);
	g->sync_timer.data = g->sync_work.data = g;
	g->sync_timer_open = true;
	engine_set_sync_interval(g, s->meter_sync_ms);
	return start_forwarding(g, s, e);
}

/* ---- end --------------------------------------------------------------------------------------------------------- */

void engine_halt(struct engine *g)
{
	if (g->workers != NULL)
		workers_stop(g->workers);
}

void engine_stop(struct engine *g)
{
	engine_halt(g);
	pool_watch_halt(&g->health);
	services_stop(&g->services);
	pool_watch_close(&g->health);
	spending_close(g->spending);
	g->spending = NULL;
	if (g->sync_timer_open)
		uv_close((uv_handle_t *)&g->sync_timer, NULL);
	g->sync_timer_open = false;
}

void engine_fini(struct engine *g)
{
	running_free(g->running);
	for (int i = 0; i < FRONTS_N; i++)
		front_free(g->fronts[i]);
	chain_free(g->filters);
	access_log_free(g->access_log);
	workers_free(g->workers);
	http_setup_fini(&g->http);
	meter_close(g->meter);
	quotas_free(g->quotas);
	refusals_free(g->refusals);
}

/* ---- how it is --------------------------------------------------------------------------------------------------- */

void engine_load(struct engine *g, struct node_load *out)
{
	struct service_stats stats;
	uint64_t objects = running_snapshot(g->running)->n, refused = refusals_count(g->refusals);

	services_stats(&g->services, &stats);
	*out = (struct node_load){ .uptime_s = load_uptime_s(&g->load),
		.workers = workers_count(g->workers),
		.fds = fd_budget_used(&g->fds),
		.fds_max = g->fds_max,
		.connections = (uint32_t)stats.connections,
		.mappings = (uint32_t)(objects > refused ? objects - refused : 0),
		.cpu_permille = load_cpu_permille(&g->load),
		.rss_bytes = load_rss_bytes(),
		.loop_lag_us = (uint32_t)MIN(workers_take_lag_ns(g->workers) / 1000, UINT32_MAX) };
	str_copy(out->version, sizeof out->version, PORTWAY_VERSION);
	str_copy(out->agents, sizeof out->agents, g->agents_at);
	out->http_port = front_port(g->fronts[FRONT_HTTP]);
	out->tls_port = front_port(g->fronts[FRONT_TLS]);
}

void engine_view(struct engine *g, struct pages_view *out)
{
	const struct snapshot *s = running_snapshot(g->running);

	engine_load(g, &out->load);
	services_stats(&g->services, &out->services);
	out->looks = workers_looks(g->workers);
	if (g->agents != NULL)
		agents_counts(g->agents, &out->agents);
	out->takes_agents = g->agents != NULL;
	for (int i = 0; i < FRONTS_N; i++) {
		out->fronts[i].name = i == FRONT_HTTP ? "http" : "tls";
		out->fronts[i].open = front_port(g->fronts[i]) != 0;
		front_counts(g->fronts[i], &out->fronts[i].counts);
	}
	http_service_counts(services_find(&g->services, HTTP_SERVICE_NAME)->self, &out->http);
	out->revision = s->revision;
	out->objects = s->n;
	out->refusals = refusals_count(g->refusals);
	out->cpu_ns = load_cpu_ns();
	out->meter = g->meter;
	if (g->access_log != NULL)
		access_log_counts(g->access_log, &out->access_log);
	out->has_snapshot = running_has_snapshot(g->running);
}
