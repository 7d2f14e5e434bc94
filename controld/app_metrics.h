/*
 * app_metrics - what /metrics says about controld beside its HTTP server: database, process, logins, relays.
 *
 * Values are read when the page is printed. Owner: app. Thread: any.
 */
#ifndef PORTWAY_CONTROLD_APP_METRICS_H
#define PORTWAY_CONTROLD_APP_METRICS_H

#include "common/base/macros.h"

struct app_metrics;
struct certs;
struct clients;
struct cluster;
struct outbound;
struct err;
struct fleet;
struct identity_service;
struct metrics;
struct store;
struct watch;

/* Borrowed for as long as the metrics live. */
struct app_metrics_sources {
	struct store *store;
	struct store *samples;
	struct identity_service *identity;
	struct fleet *fleet;
	struct watch *watch;
	struct cluster *cluster;
	struct outbound *outbound;
	struct certs *certs;
	struct clients *clients;
};

int app_metrics_new(struct app_metrics **out, const struct app_metrics_sources *sources, struct err *e) MUST_CHECK;
void app_metrics_free(struct app_metrics *m); /* takes NULL */
struct metrics *app_metrics_registry(struct app_metrics *m);

#endif
