/*
 * settings - what an operator may set on a relay, from one table (settings.c).
 *
 * Owner: main, then app. Thread: control thread; on SIGHUP a second one is loaded and the reloadable values are taken.
 */
#ifndef PORTWAY_RELAYD_SETTINGS_H
#define PORTWAY_RELAYD_SETTINGS_H

#include "common/conf/conf.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct settings {
	char *access_log;       /* path, "stdout", or "off" */
	char *agents_advertise; /* host:port; "": agents_listen */
	char *agents_listen;    /* address:port or "off" */
	uint64_t agents_handshakes;
	uint64_t agents_guests;
	uint64_t agents_ping_ms;
	char *agents_proxies;
	uint64_t agents_reserve;
	uint64_t agents_links_max;
	uint64_t agents_backoff_ms;
	uint64_t backends_idle_max, backends_idle_ms;
	uint64_t http_body_max, http_fields_max, http_head_max;
	uint64_t http_body_timeout_ms, http_head_timeout_ms, http_idle_timeout_ms;
	uint64_t http_mirror_body_max, http_mirror_max;
	uint64_t http_response_timeout_ms, http_tunnel_timeout_ms;
	char *http_trusted_proxies;                 /* ranges by comma */
	char *region;                               /* "": none */
	char *controld;                             /* host:port, several by comma */
	char *http_listen, *tls_listen;             /* address:port, several by comma, or "off" */
	uint64_t http_public_port, tls_public_port; /* 0: as listen */
	uint64_t hosts_timeout_ms;
	uint64_t hosts_waiting, hosts_waiting_per_source;
	char *join_token; /* "" once joined */
	char *name;       /* "": the host's name */
	char *data_dir;
	char *metrics_listen; /* address:port or "off" */
	uint64_t metrics_series;
	uint64_t metrics_connections;
	uint64_t workers; /* 0: one per CPU */
	uint64_t busy_poll_us;
	uint64_t meter_slots;
	uint64_t meter_sync_ms;
	uint64_t heartbeat_ms;
	uint64_t report_ms;
	uint64_t answer_timeout_ms;
	uint64_t drain_timeout_ms;
	uint64_t handover_timeout_ms;
	uint64_t max_stale_ms;
	uint64_t fd_reserve;
	uint64_t quota_overdraft;
	int log_level;  /* enum log_level */
	int log_format; /* enum log_format */
};

const struct conf_table *settings_table(void);
/* Defaults, file, environment, flags, and what no single row can check. 0, or -1 with every error in *errs. */
int settings_load(struct settings *out, const struct conf_source *src, struct err_list *errs) MUST_CHECK;
void settings_free(struct settings *s);                   /* also of a zeroed one */
const char *settings_log_level(const struct settings *s); /* "info" */

#endif
