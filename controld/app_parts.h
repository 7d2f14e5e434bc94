/*
 * app_parts - the root of the program and the parts it is made of; private to app*.c.
 *
 * A part opens into its fields of struct app and closes them again, whole or half-built. The table of parts in app.c
 * says the order; what must end before something else, although it began after it, is said at its close function.
 */
#ifndef PORTWAY_CONTROLD_APP_PARTS_H
#define PORTWAY_CONTROLD_APP_PARTS_H

#include "common/base/macros.h"
#include "common/base/rand.h"
#include "controld/identity/identity.h"
#include "controld/rest/server.h"
#include "controld/settings.h"

#include <stdbool.h>
#include <stddef.h>

struct err;
struct options;

struct app {
	const struct options *options;
	struct settings *settings; /* of the start: what the parts borrow their strings from */
	struct settings *live;     /* of the last reload, or the same */
	size_t opened;             /* parts */
	bool stopping;
	char self[RAND_ID_SIZE]; /* this run, among the controlds of the database */

	struct upkeep_lock *database_lock;
	struct store *store;
	struct store *samples; /* series, which need not survive a crash of the machine to the last second */
	struct loop *loop;
	struct app_metrics *metrics;
	struct identity_service *identity;
	struct authenticator authenticator;
	struct tls_ctx *tls;
	struct server *server;
	struct outbound *outbound;
	struct platform *platform;
	struct panels *panels;
	struct mail *mail;
	struct device_login *device_login;
	struct jobs *jobs;
	struct notify *notify;
	struct hub *events;
	struct dynamic *dynamic;
	struct client_statuses *client_statuses;
	struct lb_healths *healths; /* of backends */
	struct clients *clients;
	struct mapping_statuses *statuses;
	struct fleet *fleet;
	struct tunnels *tunnels;
	struct balancer *balancer;
	struct outbound *to_ca; /* of certificates; NULL: there is none */
	struct certs *certs;
	struct janitor *janitor;
	struct watch *watch;
	struct cluster *cluster;
};

/* app_store.c */
int app_store_open(struct app *a, struct err *e) MUST_CHECK;
void app_store_close(struct app *a);

/* app_http.c */
int app_http_open(struct app *a, struct err *e) MUST_CHECK;
void app_http_close(struct app *a);
int app_serve_open(struct app *a, struct err *e) MUST_CHECK;
void app_serve_close(struct app *a);
/* What the settings say that may change while it serves. */
int app_http_reload(struct app *a, const struct settings *fresh, struct err *e) MUST_CHECK;

/* app_features.c */
int app_identity_open(struct app *a, struct err *e) MUST_CHECK;
void app_identity_close(struct app *a);
int app_dynamic_open(struct app *a, struct err *e) MUST_CHECK;
void app_dynamic_close(struct app *a);
int app_clients_open(struct app *a, struct err *e) MUST_CHECK;
void app_clients_close(struct app *a);
int app_fleet_open(struct app *a, struct err *e) MUST_CHECK;
void app_fleet_close(struct app *a);
int app_tunnels_open(struct app *a, struct err *e) MUST_CHECK;
void app_tunnels_close(struct app *a);
int app_balancer_open(struct app *a, struct err *e) MUST_CHECK;
void app_balancer_close(struct app *a);
int app_events_open(struct app *a, struct err *e) MUST_CHECK;
void app_events_close(struct app *a);
int app_janitor_open(struct app *a, struct err *e) MUST_CHECK;
void app_janitor_close(struct app *a);

/* app_certs.c, app_mail.c, app_panel.c, app_platform.c */
int app_certs_open(struct app *a, struct err *e) MUST_CHECK;
void app_certs_close(struct app *a);
int app_mail_open(struct app *a, struct err *e) MUST_CHECK;
void app_mail_close(struct app *a);
int app_panel_open(struct app *a, struct err *e) MUST_CHECK;
void app_panel_close(struct app *a);
int app_platform_open(struct app *a, struct err *e) MUST_CHECK;
void app_platform_close(struct app *a);
int app_device_login_open(struct app *a, struct err *e) MUST_CHECK;
void app_device_login_close(struct app *a);

/* app_jobs.c, app_cluster.c */
int app_outbound_open(struct app *a, struct err *e) MUST_CHECK;
void app_outbound_close(struct app *a);
int app_jobs_open(struct app *a, struct err *e) MUST_CHECK;
void app_jobs_close(struct app *a);
/* Takes no more jobs; what runs has time until app_work_close(). */
void app_jobs_wind_down(struct app *a);
int app_notify_open(struct app *a, struct err *e) MUST_CHECK;
void app_notify_close(struct app *a);
int app_work_open(struct app *a, struct err *e) MUST_CHECK;
void app_work_close(struct app *a);
int app_cluster_open(struct app *a, struct err *e) MUST_CHECK;
void app_cluster_close(struct app *a);
int app_company_open(struct app *a, struct err *e) MUST_CHECK;
void app_company_close(struct app *a);

#endif
