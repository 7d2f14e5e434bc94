/* The parts that know what it is all for: identity, tunnels, and the clean-up behind them. */
#include "common/base/err.h"
#include "controld/app_parts.h"
#include "controld/balancer/balancer.h"
#include "controld/balancer/lb_health.h"
#include "controld/certs/certs.h"
#include "controld/clients/client_status.h"
#include "controld/clients/clients.h"
#include "controld/device_login/device_login.h"
#include "controld/dynamic.h"
#include "controld/erase_job.h"
#include "controld/events/hub.h"
#include "controld/fleet/fleet.h"
#include "controld/identity/service.h"
#include "controld/janitor.h"
#include "controld/jobs/jobs.h"
#include "controld/notify/notify.h"
#include "controld/panel/panels.h"
#include "controld/store/changes.h"
#include "controld/store/store.h"
#include "controld/store/watch.h"
#include "controld/tunnels/tunnels.h"

#define DAY_MS (24u * 60 * 60 * 1000)

/* ---- identity ---------------------------------------------------------------------------------------------------- */

int app_identity_open(struct app *a, struct err *e)
{
	const struct settings *s = a->settings;
	const struct identity_conf conf = {
		.issuer = s->tokens.issuer,
		.access_ms = s->tokens.access_ms,
		.refresh_ms = s->tokens.refresh_ms,
		.registration = s->registration.enabled,
		.api_keys_max = (unsigned)s->tokens.api_keys_max,
		.data_dir = s->data_dir,
		.admin_email = s->admin.email,
		.admin_password = s->admin.password,
		.api_key = s->admin.api_key,
	};

	if (identity_new(&a->identity, &conf, a->store, e) != 0 || identity_bootstrap(a->identity, e) != 0)
		return -1;
	a->authenticator = identity_authenticator(a->identity);
	return 0;
}

void app_identity_close(struct app *a)
{
	identity_free(a->identity);
}

/* ---- clients ----------------------------------------------------------------------------------------------------- */

int app_clients_open(struct app *a, struct err *e)
{
	const struct settings *s = a->settings;
	struct clients_conf conf = {
		.clients_max = (uint32_t)s->clients.max,
		.anonymous = { .enabled = s->anonymous.enabled,
			.per_hour = (uint32_t)s->anonymous.per_hour,
			.clients_max = (uint32_t)s->anonymous.clients_max,
			.connections_max = (uint32_t)s->anonymous.connections_max,
			.bandwidth = s->anonymous.bandwidth,
			.lifetime_ms = s->anonymous.lifetime_ms },
	};

	if (client_statuses_new(&a->client_statuses, e) != 0 || anonymous_bootstrap(&conf.anonymous, a->store, e) != 0)
		return -1;
	conf.statuses = a->client_statuses;
	conf.identity = a->identity;
	return clients_new(&a->clients, &conf, a->store, e);
}

void app_clients_close(struct app *a)
{
	clients_free(a->clients);
	client_statuses_free(a->client_statuses);
}

/* ---- fleet ------------------------------------------------------------------------------------------------------- */

static void bus_send(void *watch, const void *p, size_t n)
{
	watch_send(watch, p, n);
}

int app_fleet_open(struct app *a, struct err *e)
{
	const struct settings *s = a->settings;
	struct fleet_conf conf = {
		.listen = s->fleet.listen,
		.names = s->fleet.names,
		.offline_ms = s->fleet.offline_ms,
		.poll_wait_ms = s->fleet.poll_wait_ms,
		.balance_ms = s->fleet.balance_ms,
		.relays_max = (uint32_t)s->fleet.relays_max,
		.snapshots_max = (uint32_t)s->fleet.snapshots_max,
		.changes_max = (uint32_t)s->fleet.changes_max,
		.join_rate = (uint32_t)s->fleet.join_rate,
		.join_rate_all = (uint32_t)s->fleet.join_rate_all,
		.strangers_max = (uint32_t)s->fleet.strangers_max,
		.strangers_per_address = (uint32_t)s->fleet.strangers_per_address,
		.cert_days = (uint32_t)(s->fleet.cert_ms / DAY_MS),
		.self = a->self,
		.bus = { bus_send, a->watch },
		.clients = a->client_statuses,
	};
	struct parks *parks = server_parks(a->server);

	if (mapping_statuses_new(&a->statuses, parks, e) != 0 || lb_healths_new(&a->healths, a->store, e) != 0 ||
		fleet_bootstrap(a->store, e) != 0)
		return -1;
	conf.backends = a->healths;
	return fleet_new(&a->fleet, &conf, a->store, parks, a->statuses, e);
}

void app_fleet_close(struct app *a)
{
	fleet_free(a->fleet);
	lb_healths_free(a->healths);
	mapping_statuses_free(a->statuses);
}

/* ---- tunnels ----------------------------------------------------------------------------------------------------- */

int app_tunnels_open(struct app *a, struct err *e)
{
	const struct settings *s = a->settings;
	const struct tunnels_conf conf = {
		.port_min = (uint16_t)s->tunnels.port_min,
		.port_max = (uint16_t)s->tunnels.port_max,
		.create_wait_ms = s->tunnels.create_wait_ms,
		.mappings_max = (uint32_t)s->tunnels.mappings_max,
		.series_retention_10s_ms = s->keep.samples_10s_ms,
		.series_retention_1m_ms = s->keep.samples_1m_ms,
		.series_retention_1h_ms = s->keep.samples_1h_ms,
		.samples = a->samples,
		.anonymous_mappings_max = (uint32_t)s->anonymous.mappings_max,
		.anonymous_bind = s->anonymous.bind,
		.host_names_by = s->tunnels.host_names,
		.clients = a->client_statuses,
	};

	return tunnels_new(
		&a->tunnels, &conf, a->store, server_parks(a->server), a->statuses, fleet_relays(a->fleet), e);
}

void app_tunnels_close(struct app *a)
{
	tunnels_free(a->tunnels);
}

/* ---- balancer ---------------------------------------------------------------------------------------------------- */

int app_balancer_open(struct app *a, struct err *e)
{
	const struct settings *s = a->settings;
	const struct balancer_conf conf = {
		.create_wait_ms = s->tunnels.create_wait_ms,
		.pools_max = (uint32_t)s->tunnels.pools_max,
		.routes_max = (uint32_t)s->tunnels.routes_max,
		.host_names_by = s->tunnels.host_names,
		.statuses = a->statuses,
	};

	if (balancer_bootstrap(a->store, e) != 0)
		return -1;
	if (balancer_new(&a->balancer, &conf, a->store, server_parks(a->server), fleet_relays(a->fleet), e) != 0)
		return -1;
	identity_set_usage(a->identity, &(struct tenant_usage_source){ balancer_usage, a->balancer });
	return 0;
}

void app_balancer_close(struct app *a)
{
	balancer_free(a->balancer);
}

/* ---- settings that change while it runs -------------------------------------------------------------------------- */

static int on_dynamic(const struct dynamic_values *v, void *arg, struct err *e)
{
	struct app *a = arg;
	const struct tunnels_limits tunnels = {
		.create_wait_ms = (uint64_t)v->of[DYNAMIC_CREATE_WAIT],
		.mappings_max = (uint32_t)v->of[DYNAMIC_MAPPINGS_MAX],
		.anonymous_mappings_max = (uint32_t)v->of[DYNAMIC_ANONYMOUS_MAPPINGS],
	};
	const struct clients_limits clients = {
		.clients_max = (uint32_t)v->of[DYNAMIC_CLIENTS_MAX],
		.anonymous = { .enabled = v->of[DYNAMIC_ANONYMOUS_ENABLED] != 0,
			.per_hour = (uint32_t)v->of[DYNAMIC_ANONYMOUS_PER_HOUR],
			.clients_max = (uint32_t)v->of[DYNAMIC_ANONYMOUS_CLIENTS],
			.connections_max = (uint32_t)v->of[DYNAMIC_ANONYMOUS_CONNECTIONS],
			.bandwidth = (uint64_t)v->of[DYNAMIC_ANONYMOUS_BANDWIDTH],
			.lifetime_ms = (uint64_t)v->of[DYNAMIC_ANONYMOUS_LIFETIME] },
	};

	tunnels_set_limits(a->tunnels, &tunnels);
	balancer_set_create_wait(a->balancer, tunnels.create_wait_ms);
	clients_set_limits(a->clients, &clients);
	return anonymous_bootstrap(&clients.anonymous, a->store, e);
}

int app_dynamic_open(struct app *a, struct err *e)
{
	if (dynamic_new(&a->dynamic, a->settings, a->store, e) != 0)
		return -1;
	return dynamic_watch(a->dynamic, on_dynamic, a, e);
}

void app_dynamic_close(struct app *a)
{
	dynamic_free(a->dynamic);
}

/* ---- events ------------------------------------------------------------------------------------------------------- */

int app_events_open(struct app *a, struct err *e)
{
	const struct settings *s = a->settings;
	const struct hub_conf conf = {
		.store = a->store,
		.loop = a->loop,
		.auth = &a->authenticator,
		.streams_max = (unsigned)s->events.streams_max,
		.streams_per_user_max = (unsigned)s->events.streams_per_user_max,
		.queue_max = s->events.queue_max,
		.beat_ms = s->events.beat_ms,
		.check_ms = s->events.beat_ms,
	};

	return hub_new(&a->events, &conf, e);
}

void app_events_close(struct app *a)
{
	hub_free(a->events);
}

/* ---- clean-up ---------------------------------------------------------------------------------------------------- */

#define PRUNE_BATCH    1000
#define PRUNE_YOUNG_MS (10 * 60 * 1000) /* younger rows stay however many there are */

struct prune {
	struct changes_keep keep;
	int64_t removed;
};

static int work_prune(struct db *tx, void *arg, struct err *e)
{
	struct prune *p = arg;

	return changes_prune(tx, &p->keep, PRUNE_BATCH, &p->removed, e);
}

static int clean_changes(void *arg, int64_t now_ms, struct err *e)
{
	struct app *a = arg;
	struct prune p = { .keep = { .before_ms = now_ms - (int64_t)a->settings->keep.changes_ms,
				   .rows_max = (int64_t)a->settings->keep.changes_max,
				   .rows_ms = now_ms - PRUNE_YOUNG_MS } };

	do {
		if (store_write(a->store, STORE_OPERATIONAL, work_prune, &p, e) != 0)
			return -1;
	} while (p.removed == PRUNE_BATCH);
	return 0;
}

static int write_key_uses(void *arg, int64_t now_ms, struct err *e)
{
	(void)now_ms;
	return identity_write_uses(arg, e);
}

static int rotate_identity(void *arg, int64_t now_ms, struct err *e)
{
	(void)now_ms;
	return identity_rotate(arg, e);
}

static int clean_identity(void *arg, int64_t now_ms, struct err *e)
{
	(void)now_ms;
	return identity_clean(arg, e);
}

static int clean_messages(void *arg, int64_t now_ms, struct err *e)
{
	return watch_clean(arg, now_ms, e);
}

static int erase_leaving(void *arg, int64_t now_ms, struct err *e)
{
	struct app *a = arg;

	(void)now_ms;
	return erase_job_start(a->jobs, a->store, e);
}

static int clean_jobs(void *arg, int64_t now_ms, struct err *e)
{
	return jobs_clean(arg, now_ms, e);
}

static int clean_deliveries(void *arg, int64_t now_ms, struct err *e)
{
	return notify_clean(arg, now_ms, e);
}

static int tick_device_logins(void *arg, int64_t now_ms, struct err *e)
{
	return device_login_tick(arg, now_ms, e);
}

static int tick_tunnels(void *arg, int64_t now_ms, struct err *e)
{
	return tunnels_tick(arg, now_ms, e);
}

static int move_ports(void *arg, int64_t now_ms, struct err *e)
{
	return tunnels_move_ports(arg, now_ms, e);
}

static int follow_dynamic(void *arg, int64_t now_ms, struct err *e)
{
	(void)now_ms;
	return dynamic_reload(arg, e);
}

static int tick_quotas(void *arg, int64_t now_ms, struct err *e)
{
	return tunnels_quotas(arg, now_ms, e);
}

static int tick_clients(void *arg, int64_t now_ms, struct err *e)
{
	return clients_tick(arg, now_ms, e);
}

static int see_clients(void *arg, int64_t now_ms, struct err *e)
{
	return clients_see(arg, now_ms, e);
}

static int tick_panels(void *arg, int64_t now_ms, struct err *e)
{
	return panels_tick(arg, now_ms, e);
}

static int clean_panels(void *arg, int64_t now_ms, struct err *e)
{
	return panels_clean(arg, now_ms, e);
}

int app_janitor_open(struct app *a, struct err *e)
{
	const struct janitor_task tasks[] = {
		{ "tunnels", 5 * 1000, tick_tunnels, a->tunnels, true },
		{ "picked ports", 1000, move_ports, a->tunnels, false },
		{ "config", 2 * 1000, follow_dynamic, a->dynamic, false },
		{ "certificates", 5 * 1000, certs_tick, a->certs, true },
		{ "ticket keys", 60 * 1000, certs_rotate_tickets, a->certs, true },
		{ "quotas", 1000, tick_quotas, a->tunnels, true },
		{ "clients", 5 * 1000, tick_clients, a->clients, true },
		{ "backends", 1000, lb_healths_write, a->healths, false },
		{ "rates", 10 * 1000, balancer_tick, a->balancer, false },
		{ "months", 60 * 1000, balancer_months, a->balancer, true },
		{ "clients seen", 5 * 1000, see_clients, a->clients, false },
		{ "eraser", 5 * 1000, erase_leaving, a, true },
		{ "jobs", 60 * 1000, clean_jobs, a->jobs, true },
		{ "deliveries", 60 * 1000, clean_deliveries, a->notify, true },
		{ "device logins", 10 * 1000, tick_device_logins, a->device_login, true },
		{ "signing keys", 60 * 1000, rotate_identity, a->identity, false },
		{ "key uses", 5 * 1000, write_key_uses, a->identity, false },
		{ "identity", 60 * 1000, clean_identity, a->identity, true },
		{ "panels", 5 * 1000, tick_panels, a->panels, true },
		{ "panels clean", 60 * 1000, clean_panels, a->panels, true },
		{ "changes", 10 * 60 * 1000, clean_changes, a, true },
		{ "peer messages", 60 * 1000, clean_messages, a->store, true },
	};
	const struct janitor_conf conf = { tasks, ARRAY_LEN(tasks), a->store, a->self };

	return janitor_new(&a->janitor, &conf, e);
}

void app_janitor_close(struct app *a)
{
	janitor_free(a->janitor);
}
