/* The part that answers: TLS, the HTTP server, what of it a reload changes. */
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/crypto/seal.h"
#include "common/crypto/tls.h"
#include "controld/app_metrics.h"
#include "controld/app_parts.h"
#include "controld/balancer/balancer.h"
#include "controld/certs/certs.h"
#include "controld/clients/clients.h"
#include "controld/device_login/device_login.h"
#include "controld/dynamic.h"
#include "controld/events/hub.h"
#include "controld/fleet/fleet.h"
#include "controld/identity/service.h"
#include "controld/jobs/jobs.h"
#include "controld/mail/mail.h"
#include "controld/notify/notify.h"
#include "controld/panel/panels.h"
#include "controld/platform/platform.h"
#include "controld/store/store.h"
#include "controld/tunnels/tunnels.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#define HTTP_PEM_MAX       (256u * 1024)
#define HTTP_ADDRESS_TIMES 5 /* how much more than one user an address may ask: several sit behind it */

/* ---- TLS --------------------------------------------------------------------------------------------------------- */

static int key_read(const char *path, uint8_t **pem, size_t *n, struct err *e)
{
	struct stat st;

	if (stat(path, &st) == 0 && (st.st_mode & 007) != 0)
		return err_set(e, ERR_PERMISSION, "http.tls_key",
			"http.tls_key %s: everybody may read it; chmod 600 %s", path, path);
	return file_read(path, HTTP_PEM_MAX, pem, n, e);
}

/* *out is NULL when the settings ask for plain HTTP. */
static int tls_load(struct tls_ctx **out, const struct settings *s, struct err *e)
{
	uint8_t *cert = NULL, *key = NULL;
	size_t cert_n, key_n = 0;
	int rc = -1;

	*out = NULL;
	if (*s->http.tls_cert == '\0')
		return 0;
	if (file_read(s->http.tls_cert, HTTP_PEM_MAX, &cert, &cert_n, e) == 0 &&
		key_read(s->http.tls_key, &key, &key_n, e) == 0) {
		const struct tls_conf conf = {
			.server = true,
			.cert_pem = (const char *)cert,
			.key_pem = (const char *)key,
			.peer = TLS_PEER_NONE,
			.min_version = 12,
		};

		rc = tls_ctx_new(out, &conf, e);
	}
	if (key != NULL)
		seal_wipe(key, key_n);
	free(key);
	free(cert);
	return rc;
}

/* ---- the server -------------------------------------------------------------------------------------------------- */

static struct server_conf conf_of(const struct settings *s, struct tls_ctx *tls)
{
	return (struct server_conf){
		.listen = s->http.listen,
		.tls = tls,
		.public_url = s->http.public_url,
		.cors_origins = s->http.cors_origins,
		.trusted_proxies = s->http.trusted_proxies,
		.access_log = (enum server_access_log)s->http.access_log,
		.connections_max = s->http.connections_max,
		.connections_per_address_max = s->http.connections_per_address_max,
		.requests_per_connection = s->http.requests_per_connection,
		.head_max = s->http.header_max,
		.body_max = s->http.body_max,
		.head_ms = s->http.header_ms,
		.body_ms = s->http.body_ms,
		.idle_ms = s->http.idle_ms,
		.write_ms = s->http.write_ms,
		.stop_ms = s->http.stop_ms,
		.db_threads = (unsigned)s->workers.db,
		.slow_threads = (unsigned)s->workers.slow,
		.db_queue_max = s->workers.db_queue,
		.slow_queue_max = s->workers.slow_queue,
		.parked_max = s->workers.parked,
		.per_identity = { s->http.rate, s->http.rate_burst },
		.per_address = { s->http.rate * HTTP_ADDRESS_TIMES, s->http.rate_burst * HTTP_ADDRESS_TIMES },
		.row_rate_percent = s->http.row_rate,
		.login_per_address = { s->http.login_rate, s->http.login_rate * 2 },
	};
}

int app_http_open(struct app *a, struct err *e)
{
	struct server_conf conf;

	if (tls_load(&a->tls, a->settings, e) != 0)
		return -1;
	conf = conf_of(a->settings, a->tls);
	return server_new(&a->server, &conf, a->loop, a->store, &a->authenticator, e);
}

void app_http_close(struct app *a)
{
	server_free(a->server);
	tls_ctx_unref(a->tls);
	app_metrics_free(a->metrics);
}

int app_http_reload(struct app *a, const struct settings *fresh, struct err *e)
{
	struct server_conf conf;
	struct tls_ctx *tls;

	if (tls_load(&tls, fresh, e) != 0)
		return -1;
	conf = conf_of(fresh, tls);
	server_reload(a->server, &conf);
	if (tls != NULL && a->tls != NULL) {
		tls_ctx_unref(a->tls);
		a->tls = tls;
	} else {
		tls_ctx_unref(tls); /* turning TLS on or off needs a restart */
	}
	return 0;
}

/* ---- serving: when all features are there ------------------------------------------------------------------------ */

static int database_check(void *self, struct err *e)
{
	return store_ping(self, e);
}

static int line_check(void *self, struct err *e)
{
	return fleet_check(self, e);
}

static int add_notify(struct app *a, struct err *e)
{
	for (size_t i = 0; i < NOTIFY_ROUTES; i++)
		if (server_add_routes(a->server, notify_routes(a->notify, i), e) != 0)
			return -1;
	return 0;
}

static int balancer_probe(void *self, struct err *e)
{
	return balancer_check(self, e);
}

int app_serve_open(struct app *a, struct err *e)
{
	const struct health_probe balancer = { "load_balancer", balancer_probe, a->balancer, false };
	const struct app_metrics_sources sources = { a->store, a->samples, a->identity, a->fleet, a->watch, a->cluster,
		a->outbound, a->certs, a->clients };
	const struct health_probe database = { "database", database_check, a->store, true };
	const struct health_probe fleet = { "fleet", line_check, a->fleet, true };

	const struct rate_plans plans = { identity_plan_per_hour, a->identity };

	server_set_plans(a->server, &plans);
	if (app_metrics_new(&a->metrics, &sources, e) != 0 ||
		server_add_routes(a->server, identity_routes(a->identity), e) != 0 ||
		server_add_routes(a->server, clients_routes(a->clients), e) != 0 ||
		server_add_routes(a->server, tunnels_routes(a->tunnels), e) != 0 ||
		server_add_routes(a->server, balancer_routes(a->balancer), e) != 0 ||
		server_add_routes(a->server, certs_routes(a->certs), e) != 0 ||
		server_add_routes(a->server, dynamic_routes(a->dynamic), e) != 0 ||
		server_add_routes(a->server, platform_routes(a->platform), e) != 0 ||
		server_add_routes(a->server, panels_routes(a->panels), e) != 0 ||
		server_add_routes(a->server, mail_routes(a->mail), e) != 0 ||
		server_add_routes(a->server, fleet_routes(a->fleet), e) != 0 ||
		server_add_routes(a->server, jobs_routes(a->jobs), e) != 0 ||
		server_add_metrics(a->server, jobs_metrics(a->jobs), e) != 0 || add_notify(a, e) != 0 ||
		server_add_routes(a->server, device_login_routes(a->device_login), e) != 0 ||
		server_add_metrics(a->server, notify_metrics(a->notify), e) != 0 ||
		server_add_routes(a->server, hub_routes(a->events), e) != 0 ||
		server_add_metrics(a->server, hub_metrics(a->events), e) != 0 ||
		server_add_health(a->server, &fleet, e) != 0 || server_add_health(a->server, &balancer, e) != 0 ||
		server_add_health(a->server, &database, e) != 0 ||
		server_add_metrics(a->server, app_metrics_registry(a->metrics), e) != 0)
		return -1;
	return fleet_start(a->fleet, e) != 0 ? -1 : server_start(a->server, e);
}

/* Before the features go: a worker may be in one of their handlers, and the fleet may be waking what they parked. */
void app_serve_close(struct app *a)
{
	server_finish(a->server);
	fleet_stop(a->fleet);
}
