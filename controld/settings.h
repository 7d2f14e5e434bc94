/*
 * settings - what an operator may choose about controld: one table, one struct.
 *
 * Owner: app; a reload loads a second one and takes over what may change. Units: bytes, milliseconds, as the table says.
 */
#ifndef PORTWAY_CONTROLD_SETTINGS_H
#define PORTWAY_CONTROLD_SETTINGS_H

#include "common/base/macros.h"
#include "common/conf/conf.h"
#include "controld/acme/acme_settings.h"

#include <stdbool.h>
#include <stdint.h>

struct err_list;

enum hytale_environment { HYTALE_PRODUCTION, HYTALE_STAGING };

struct settings {
	char *data_dir;
	char *master_key;       /* hex, or "" for the file in data_dir */
	char *master_keys_also; /* by comma */
	struct acme_settings acme;
	struct {
		char *email, *password, *api_key;
	} admin;
	struct {
		bool enabled;
		char *bind;
		uint64_t per_hour, clients_max, mappings_max, connections_max, bandwidth, lifetime_ms;
	} anonymous;
	struct {
		uint64_t max;
	} clients;
	struct {
		char *name; /* "" for the host's */
	} cluster;
	struct {
		char *url; /* "" for the file in data_dir */
		uint64_t readers, group_max, queue_max, wait_ms, answer_ms, connect_ms, start_wait_ms;
	} database;
	struct {
		uint64_t changes_ms, changes_max, deliveries_ms, jobs_ms, jobs_dead_ms, samples_10s_ms, samples_1m_ms,
			samples_1h_ms;
	} keep;
	struct {
		uint64_t streams_max, streams_per_user_max, queue_max, beat_ms;
	} events;
	struct {
		char *listen, *names;
		uint64_t offline_ms, poll_wait_ms, balance_ms, relays_max, snapshots_max, changes_max;
		uint64_t join_rate, join_rate_all, cert_ms, strangers_max, strangers_per_address;
	} fleet;
	struct {
		char *listen, *host;
		uint64_t port;
		char *tls_cert, *tls_key, *public_url, *cors_origins, *trusted_proxies;
		int access_log;
		uint64_t connections_max, connections_per_address_max, requests_per_connection;
		uint64_t header_max, body_max, header_ms, body_ms, idle_ms, write_ms, stop_ms;
		uint64_t rate, rate_burst, login_rate, row_rate;
	} http;
	struct {
		char *oauth_url, *accounts_url, *sessions_url; /* "" for the environment's */
		int environment;
		bool use_staging, open;
		uint64_t sessions_max;
	} hytale;
	struct {
		uint64_t workers, lease_ms, waiting_max;
	} jobs;
	struct {
		int level, format;
	} log;
	struct {
		char *resend_key, *from, *url, *webhook_secret;
		uint64_t rate, timeout_ms;
	} mail;
	struct {
		char *allow, *ca_file;
		uint64_t calls_max;
	} outbound;
	struct {
		char *pterodactyl_url, *pterodactyl_key, *pterodactyl_client_key, *virtfusion_url, *virtfusion_key;
		char *cf_access_id, *cf_access_secret, *report_email;
		bool auto_sync, report_all;
		int driver; /* enum panels_driver */
		uint64_t auto_sync_ms, batch, rate_limit, rate_window_ms, parallel, timeout_ms;
	} panel;
	struct {
		bool enabled;
	} registration;
	struct {
		char *issuer;
		uint64_t access_ms, refresh_ms, api_keys_max;
	} tokens;
	struct {
		uint64_t port_min, port_max, create_wait_ms, mappings_max, pools_max, routes_max, certificates_max;
		int host_names; /* enum host_names_by */
	} tunnels;
	struct {
		uint64_t attempts, retry_ms, retry_max_ms, senders, timeout_ms, waiting_max;
	} webhooks;
	struct {
		uint64_t db, db_queue, slow, slow_queue, parked;
	} workers;
};

extern const struct conf_table settings_table;

/* 0, or -1 with every error in *errs. */
int settings_load(struct settings **out, const struct conf_source *src, struct err_list *errs) MUST_CHECK;
void settings_free(struct settings *s);                   /* takes NULL; wipes the secrets */
const char *settings_log_level(const struct settings *s); /* its name */
/* URL of the main database, and of the one for samples, which may be the same; dst of size bytes. */
int settings_database_url(const struct settings *s, char *dst, size_t size) MUST_CHECK;
int settings_samples_url(const struct settings *s, char *dst, size_t size) MUST_CHECK;

#endif
