#include "controld/settings.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/password.h"
#include "common/crypto/seal.h"
#include "common/net/addr.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define SETTINGS_LISTEN "127.0.0.1:8080"
#define AT(member)      offsetof(struct settings, member)
#define MINUTE          60000u
#define DAY             (24 * 60 * MINUTE)

#define MASTER_KEYS_ALSO_MAX 3

static const char *const access_logs[] = { "off", "errors", "all", NULL };
static const char *const log_levels[] = { "debug", "info", "warn", "error", NULL };
static const char *const host_names_by[] = { "operator", "admin", "system", NULL };    /* enum host_names_by */
static const char *const hytale_environments[] = { "production", "staging", NULL };    /* enum hytale_environment */
static const char *const panel_drivers[] = { "auto", "pterodactyl", "pelican", NULL }; /* enum panels_driver */
static const char *const log_formats[] = { "text", "json", NULL };

/*
 * Rows: key, environment name, aliases (environment names and YAML paths of other programs), member, default, range,
 * flags, unit, help. Sorted by key.
 */
#define ROW(k, e, a, t, m, d, h) .key = k, .env = e, .aliases = a, .type = t, .offset = AT(m), .def = d, .help = h
#define TEXT(k, e, a, m, d, lo, hi, f, h)                                                     \
	{                                                                                     \
		ROW(k, e, a, CONF_STR, m, d, h), .min = lo, .max = hi, .flags = f, .unit = "" \
	}
#define LISTEN(k, e, a, m, d, h)                               \
	{                                                      \
		ROW(k, e, a, CONF_LISTEN, m, d, h), .unit = "" \
	}
#define CHOICE(k, e, a, m, d, c, f, h)                                                 \
	{                                                                              \
		ROW(k, e, a, CONF_ENUM, m, d, h), .choices = c, .flags = f, .unit = "" \
	}
#define SWITCH(k, e, a, m, d, f, h)                                      \
	{                                                                \
		ROW(k, e, a, CONF_BOOL, m, d, h), .flags = f, .unit = "" \
	}
#define NUMBER(k, e, a, m, d, lo, hi, f, u, h)                                               \
	{                                                                                    \
		ROW(k, e, a, CONF_U64, m, d, h), .min = lo, .max = hi, .flags = f, .unit = u \
	}
#define SIZE(k, e, a, m, d, lo, hi, h)                                                  \
	{                                                                               \
		ROW(k, e, a, CONF_SIZE, m, d, h), .min = lo, .max = hi, .unit = "bytes" \
	}
#define TIME(k, e, a, m, d, lo, hi, f, h)                                                                  \
	{                                                                                                  \
		ROW(k, e, a, CONF_DURATION, m, d, h), .min = lo, .max = hi, .flags = f, .unit = "duration" \
	}
/* Names of other programs that a file or an environment may still hold. */
#define UNUSED_NAMES(k, a)                                                                                   \
	{                                                                                                    \
		.key = k, .aliases = a, .type = CONF_STR, .flags = CONF_ALIAS_UNUSED, .unit = "", .help = "" \
	}

/* clang-format off */
static const struct conf_key settings_keys[] = {
	TEXT("acme.ca_file", "CONTROLD_ACME_CA_FILE", NULL, acme.ca_file, "", 0, 4096, 0,
		"File with certificates that vouch for the certificate authority's own server; empty for those of outbound.ca_file."),
	TEXT("acme.contact", "CONTROLD_ACME_CONTACT", NULL, acme.contact, "", 0, 254, 0,
		"Mail address that the certificate authority writes to; empty for none."),
	TEXT("acme.eab_key", "CONTROLD_ACME_EAB_KEY", NULL, acme.eab_key, "", 0, 680, CONF_SECRET,
		"Key, in base64url, that binds controld's account there to one elsewhere (external account binding); with acme.eab_kid."),
	TEXT("acme.eab_kid", "CONTROLD_ACME_EAB_KID", NULL, acme.eab_kid, "", 0, 256, 0,
		"What the certificate authority calls that key; empty for none."),
	TIME("acme.relay_wait", "CONTROLD_ACME_RELAY_WAIT", NULL, acme.relay_wait_ms, "60s", 1000, 10 * MINUTE, 0,
		"How long relays may take to confirm what they are to answer; the certificate authority is told only then."),
	TIME("acme.retry", "CONTROLD_ACME_RETRY", NULL, acme.retry_ms, "10m", 100, DAY, 0,
		"From the first failure to get a certificate to the next attempt, doubled each time, at most 6 hours; a tenth of it before the certificate authority was told to look."),
	SWITCH("acme.terms_agreed", "CONTROLD_ACME_TERMS_AGREED", NULL, acme.terms_agreed, "false", 0,
		"Whether the terms of service of that certificate authority are agreed to."),
	TEXT("acme.url", "CONTROLD_ACME_URL", NULL, acme.url, "", 0, 500, 0,
		"Directory (RFC 8555) of the certificate authority that gives certificates of source acme; empty for none."),
	TEXT("admin.api_key", "CONTROLD_ADMIN_API_KEY", "BACKEND_API_KEY", admin.api_key, "", 0, 256, CONF_SECRET,
		"An API key with every right, made at start if it is not there."),
	TEXT("admin.email", "CONTROLD_ADMIN_EMAIL", NULL, admin.email, "admin@localhost", 1, 254, 0,
		"Address of the administrator that the first start makes."),
	TEXT("admin.password", "CONTROLD_ADMIN_PASSWORD", NULL, admin.password, "", 0, 256, CONF_SECRET,
		"Password of that administrator; without one it is generated."),
	SIZE("anonymous.bandwidth", "CONTROLD_ANONYMOUS_BANDWIDTH", NULL, anonymous.bandwidth, "1MiB", 0, 0,
		"Bytes per second of one anonymous client on each relay, both ways; 0 for no limit."),
	TEXT("anonymous.bind", "CONTROLD_ANONYMOUS_BIND", NULL, anonymous.bind, "", 0, 79, 0,
		"Address on the relays that ports of anonymous clients are bound to; empty for all."),
	NUMBER("anonymous.clients_max", "CONTROLD_ANONYMOUS_CLIENTS_MAX", NULL, anonymous.clients_max,
		"1000", 1, 10000000, 0, "clients",
		"Anonymous clients at once."),
	NUMBER("anonymous.connections_max", "CONTROLD_ANONYMOUS_CONNECTIONS_MAX", NULL, anonymous.connections_max,
		"100", 0, 1000000, 0, "connections",
		"Of one anonymous client at once, on each relay; 0 for no limit."),
	SWITCH("anonymous.enabled", "CONTROLD_ANONYMOUS_ENABLED", NULL, anonymous.enabled, "false", 0,
		"Whoever comes gets a client without an account, within the limits of this section."),
	TIME("anonymous.lifetime", "CONTROLD_ANONYMOUS_LIFETIME", NULL, anonymous.lifetime_ms, "8h", 1000, 30u * DAY, 0,
		"How long an anonymous client lasts."),
	NUMBER("anonymous.mappings_max", "CONTROLD_ANONYMOUS_MAPPINGS_MAX", NULL, anonymous.mappings_max,
		"5", 1, 10000, 0, "mappings",
		"Of one anonymous client."),
	NUMBER("anonymous.per_hour", "CONTROLD_ANONYMOUS_PER_HOUR", NULL, anonymous.per_hour,
		"20", 0, 1000000, 0, "clients",
		"That one address may make in an hour; 0 for no limit."),
	NUMBER("balancer.certificates_max", "CONTROLD_BALANCER_CERTIFICATES_MAX", NULL, tunnels.certificates_max,
		"1000", 0, 100000000, 0, "certificates",
		"Of one tenant; 0 for no limit."),
	NUMBER("balancer.pools_max", "CONTROLD_BALANCER_POOLS_MAX", NULL, tunnels.pools_max,
		"0", 0, 100000000, 0, "pools",
		"Of one tenant; 0 for no limit."),
	NUMBER("balancer.routes_max", "CONTROLD_BALANCER_ROUTES_MAX", NULL, tunnels.routes_max,
		"0", 0, 100000000, 0, "routes",
		"Of one tenant; 0 for no limit."),
	NUMBER("clients.max", "CONTROLD_CLIENTS_MAX", NULL, clients.max, "0", 0, 100000000, 0, "clients",
		"Of one tenant; 0 for no limit."),
	TEXT("cluster.name", "CONTROLD_CLUSTER_NAME", NULL, cluster.name, "", 0, 63, 0,
		"What this controld is called among those that share a database; empty for the host's name."),
	TEXT("data_dir", "CONTROLD_DATA_DIR", NULL, data_dir, "/var/lib/portway/controld", 1, 3072, 0,
		"Folder for the database and the master key; made with mode 0700 if it is not there."),
	TIME("database.answer_timeout", "CONTROLD_DATABASE_ANSWER_TIMEOUT", NULL, database.answer_ms,
		"5s", 100, 10 * MINUTE, 0,
		"Of PostgreSQL: how long one statement may take."),
	TIME("database.connect_timeout", "CONTROLD_DATABASE_CONNECT_TIMEOUT", NULL, database.connect_ms,
		"3s", 2000, MINUTE, 0,
		"Of PostgreSQL: how long connecting to one of its hosts may take."),
	NUMBER("database.group_max", "CONTROLD_DATABASE_GROUP_MAX", NULL, database.group_max,
		"64", 1, 1024, 0, "writes",
		"How many writes may share one commit to disk."),
	NUMBER("database.queue_max", "CONTROLD_DATABASE_QUEUE_MAX", NULL, database.queue_max,
		"1024", 1, 1000000, 0, "writes",
		"How many writes may wait; more are refused."),
	NUMBER("database.readers", "CONTROLD_DATABASE_READERS", "database.pool_size", database.readers,
		"25", 1, 256, 0, "connections",
		"How many requests may read at once."),
	TIME("database.start_wait", "CONTROLD_DATABASE_START_WAIT", NULL, database.start_wait_ms,
		"60s", 0, 60 * MINUTE, 0,
		"How long a start waits for a PostgreSQL that cannot be reached, or that another one keeps to itself."),
	TEXT("database.url", "CONTROLD_DATABASE_URL", "DATABASE_URL", database.url, "", 0, 3072, CONF_SECRET,
		"sqlite:PATH or postgresql://USER:PASSWORD@HOST/DATABASE; empty for portway.db in data_dir."),
	TIME("database.wait", "CONTROLD_DATABASE_WAIT", NULL, database.wait_ms, "2s", 10, 60000, 0,
		"How long a request waits for the database before it is refused."),
	TIME("events.beat", "CONTROLD_EVENTS_BEAT", NULL, events.beat_ms, "15s", 1000, 60 * MINUTE, 0,
		"How often a stream of events shows that it lives, and the credentials behind it are looked at again."),
	SIZE("events.queue_max", "CONTROLD_EVENTS_QUEUE_MAX", NULL, events.queue_max, "256KiB", 32768, 64 << 20,
		"What a subscriber may leave untaken before he is dropped."),
	NUMBER("events.streams_max", "CONTROLD_EVENTS_STREAMS_MAX", NULL, events.streams_max, "1000", 0, 100000, 0, "streams",
		"Subscribers at once."),
	NUMBER("events.streams_per_user_max", "CONTROLD_EVENTS_STREAMS_PER_USER_MAX", NULL, events.streams_per_user_max,
		"10", 0, 100000, 0, "streams", "Of one user or API key."),
	TIME("fleet.balance_after", "CONTROLD_FLEET_BALANCE_AFTER", NULL, fleet.balance_ms, "30s", 0, 60 * MINUTE, 0,
		"Of several controlds: relays go over to one that is there again after so long; 0 is never."),
	TIME("fleet.cert_life", "CONTROLD_FLEET_CERT_LIFE", NULL, fleet.cert_ms, "90d", DAY, 3650u * (uint64_t)DAY, 0,
		"How long a relay's certificate is good; relays renew theirs in time."),
	NUMBER("fleet.changes_max", "CONTROLD_FLEET_CHANGES_MAX", NULL, fleet.changes_max,
		"16384", 16, 10000000, 0, "changes",
		"Of one group, kept in memory; a relay that is further behind gets a snapshot."),
	NUMBER("fleet.join_rate", "CONTROLD_FLEET_JOIN_RATE", NULL, fleet.join_rate, "20", 1, 100000, 0, "joins/s",
		"Of one address."),
	NUMBER("fleet.join_rate_all", "CONTROLD_FLEET_JOIN_RATE_ALL", NULL, fleet.join_rate_all,
		"100", 1, 100000, 0, "joins/s",
		"Of all addresses."),
	LISTEN("fleet.listen", "CONTROLD_FLEET_LISTEN", NULL, fleet.listen, "127.0.0.1:7400",
		"Where relays connect to."),
	TEXT("fleet.names", "CONTROLD_FLEET_NAMES", NULL, fleet.names, "", 0, 4096, 0,
		"Further names and addresses, by comma, by which relays reach it; they go into its certificate."),
	TIME("fleet.offline_after", "CONTROLD_FLEET_OFFLINE_AFTER", NULL, fleet.offline_ms, "15s", 1000, 60 * MINUTE, 0,
		"A relay that was silent so long is offline; it says something every 5s."),
	TIME("fleet.poll_wait", "CONTROLD_FLEET_POLL_WAIT", NULL, fleet.poll_wait_ms, "25s", 1000, 30000, 0,
		"A relay that asks for news is answered after this even if there is none."),
	NUMBER("fleet.relays_max", "CONTROLD_FLEET_RELAYS_MAX", NULL, fleet.relays_max, "4096", 1, 100000, 0, "relays",
		"Connected at once."),
	NUMBER("fleet.snapshots_max", "CONTROLD_FLEET_SNAPSHOTS_MAX", NULL, fleet.snapshots_max,
		"4", 1, 1000, 0, "snapshots",
		"Large ones sent at once; other relays are told when to come back."),
	NUMBER("fleet.strangers_max", "CONTROLD_FLEET_STRANGERS_MAX", NULL, fleet.strangers_max, "64", 1, 100000, 0,
		"connections", "Connected at once without a certificate, which is how a relay joins; each has 10s for it."),
	NUMBER("fleet.strangers_per_address", "CONTROLD_FLEET_STRANGERS_PER_ADDRESS", NULL, fleet.strangers_per_address,
		"8", 1, 100000, 0, "connections",
		"Of these from one address; IPv6 counts by /64, this machine itself does not count."),
	CHOICE("http.access_log", "CONTROLD_HTTP_ACCESS_LOG", NULL, http.access_log,
		"all", access_logs, CONF_RELOAD,
		"Which requests are logged."),
	SIZE("http.body_max", "CONTROLD_HTTP_BODY_MAX", NULL, http.body_max, "1MiB", 1024, 64u << 20,
		"Largest body of a request, inflated; of JSON it may hold 50,000 values, nested 32 deep."),
	TIME("http.body_timeout", "CONTROLD_HTTP_BODY_TIMEOUT", "SERVER_READ_TIMEOUT server.read_timeout", http.body_ms,
		"30s", 100, 10 * MINUTE, 0,
		"From the end of a request's headers to the end of its body."),
	NUMBER("http.connections", "CONTROLD_HTTP_CONNECTIONS", NULL, http.connections_max,
		"10000", 1, 1000000, 0, "connections",
		"At once."),
	NUMBER("http.connections_per_address", "CONTROLD_HTTP_CONNECTIONS_PER_ADDRESS", NULL, http.connections_per_address_max,
		"1000", 0, 1000000, 0, "connections",
		"At once from one address; 0 for no such limit."),
	TEXT("http.cors_origins", "CONTROLD_HTTP_CORS_ORIGINS", "CORS_ORIGINS server.cors.origins", http.cors_origins,
		"", 0, 4096, CONF_RELOAD,
		"Origins that browsers may call from, by comma; * for all."),
	SIZE("http.header_max", "CONTROLD_HTTP_HEADER_MAX", NULL, http.header_max, "16KiB", 1024, 1 << 20,
		"Largest request line with headers."),
	TIME("http.header_timeout", "CONTROLD_HTTP_HEADER_TIMEOUT", NULL, http.header_ms,
		"10s", 100, 10 * MINUTE, 0,
		"From a request's first byte to the end of its headers."),
	TEXT("http.host", NULL, "SERVER_HOST server.host", http.host, "", 0, 255, 0,
		"Replaces the address of http.listen if that is not set."),
	TIME("http.idle_timeout", "CONTROLD_HTTP_IDLE_TIMEOUT", NULL, http.idle_ms, "60s", 100, 60 * MINUTE, 0,
		"Between two requests on one connection."),
	LISTEN("http.listen", "CONTROLD_HTTP_LISTEN", NULL, http.listen, SETTINGS_LISTEN,
		"Where the API listens."),
	NUMBER("http.login_rate_limit", "CONTROLD_HTTP_LOGIN_RATE_LIMIT", NULL, http.login_rate,
		"20", 0, 100000, CONF_RELOAD, "requests/s",
		"Logins from one address; 0 for no such limit."),
	NUMBER("http.port", NULL, "BACKEND_PORT SERVER_PORT server.port", http.port, "0", 0, 65535, 0, "",
		"Replaces the port of http.listen if that is not set; 0 for none."),
	TEXT("http.public_url", "CONTROLD_HTTP_PUBLIC_URL", NULL, http.public_url, "", 0, 1024, 0,
		"The API as clients reach it, for links in answers."),
	NUMBER("http.rate_burst", "CONTROLD_HTTP_RATE_BURST", NULL, http.rate_burst,
		"400", 1, 1000000, CONF_RELOAD, "requests",
		"How many requests may come at once before http.rate_limit holds."),
	NUMBER("http.rate_limit", "CONTROLD_HTTP_RATE_LIMIT", "server.rate_limit", http.rate,
		"200", 0, 1000000, CONF_RELOAD, "requests/s",
		"Of one user or API key; one address may send five times as many. 0 for no limit."),
	NUMBER("http.requests_per_connection", "CONTROLD_HTTP_REQUESTS_PER_CONNECTION", NULL, http.requests_per_connection,
		"100000", 0, 1000000000, 0, "requests",
		"Then the connection is closed; 0 for no limit."),
	NUMBER("http.row_rate_limit", "CONTROLD_HTTP_ROW_RATE_LIMIT", NULL, http.row_rate,
		"100", 0, 1000000, CONF_RELOAD, "percent",
		"Of the limits that some calls have of their own, such as device logins; 0 for none."),
	TIME("http.stop_timeout", "CONTROLD_HTTP_STOP_TIMEOUT", "SERVER_SHUTDOWN_TIMEOUT server.shutdown_timeout", http.stop_ms,
		"8s", 0, 9000, 0,
		"How long running requests may go on after a stop was asked."),
	TEXT("http.tls_cert", "CONTROLD_HTTP_TLS_CERT", NULL, http.tls_cert, "", 0, 4096, CONF_RELOAD,
		"File with the API's certificate chain (PEM); empty for plain HTTP."),
	TEXT("http.tls_key", "CONTROLD_HTTP_TLS_KEY", NULL, http.tls_key, "", 0, 4096, CONF_RELOAD,
		"File with its key (PEM), readable by nobody else."),
	TEXT("http.trusted_proxies", "CONTROLD_HTTP_TRUSTED_PROXIES", NULL, http.trusted_proxies, "", 0, 4096, 0,
		"Ranges (CIDR, by comma) whose X-Forwarded-For is believed."),
	TIME("http.write_timeout", "CONTROLD_HTTP_WRITE_TIMEOUT", "SERVER_WRITE_TIMEOUT server.write_timeout", http.write_ms,
		"30s", 100, 10 * MINUTE, 0,
		"For a client to take an answer."),
	TEXT("hytale.accounts_url", "CONTROLD_HYTALE_ACCOUNTS_URL", NULL, hytale.accounts_url, "", 0, 1024, 0,
		"Of the service that lists profiles; empty for the one of hytale.environment."),
	CHOICE("hytale.environment", "CONTROLD_HYTALE_ENVIRONMENT", "HYTALE_ENVIRONMENT", hytale.environment,
		"production", hytale_environments, 0,
		"Which account service device logins go to."),
	TEXT("hytale.oauth_url", "CONTROLD_HYTALE_OAUTH_URL", NULL, hytale.oauth_url, "", 0, 1024, 0,
		"Of the service that gives codes and tokens; empty for the one of hytale.environment."),
	SWITCH("hytale.open", "CONTROLD_HYTALE_OPEN", NULL, hytale.open, "true", 0,
		"Whether a device login may be begun without an API key; rates are limited by address."),
	NUMBER("hytale.sessions_max", "CONTROLD_HYTALE_SESSIONS_MAX", NULL, hytale.sessions_max, "100", 1, 100000, 0, "sessions",
		"Game sessions of one account at once that the service is known to allow; told when it refuses one."),
	TEXT("hytale.sessions_url", "CONTROLD_HYTALE_SESSIONS_URL", NULL, hytale.sessions_url, "", 0, 1024, 0,
		"Of the service that gives game sessions and their keys; empty for the one of hytale.environment."),
	SWITCH("hytale.use_staging", "CONTROLD_HYTALE_USE_STAGING", "HYTALE_USE_STAGING", hytale.use_staging, "false", 0,
		"The same as hytale.environment: staging."),
	TIME("jobs.lease", "CONTROLD_JOBS_LEASE", NULL, jobs.lease_ms, "15s", 1000, 10 * MINUTE, 0,
		"A controld that was not heard of so long is dead, and others do its jobs."),
	NUMBER("jobs.waiting_max", "CONTROLD_JOBS_WAITING_MAX", NULL, jobs.waiting_max,
		"1000000", 1, 1000000000, 0, "jobs",
		"How many may wait in the queues; more are refused."),
	NUMBER("jobs.workers", "CONTROLD_JOBS_WORKERS", NULL, jobs.workers, "30", 0, 1000, 0, "threads",
		"Jobs that this controld runs at once, of all queues; 0 leaves them to others."),
	TIME("keep.changes", "CONTROLD_KEEP_CHANGES", NULL, keep.changes_ms, "90d", 60 * MINUTE, 0, 0,
		"How long the change log (the audit trail) goes back."),
	NUMBER("keep.changes_max", "CONTROLD_KEEP_CHANGES_MAX", NULL, keep.changes_max, "1000000", 1000, 1000000000, 0,
		"changes", "Of these at most; the last 10 minutes stay in any case."),
	TIME("keep.deliveries", "CONTROLD_KEEP_DELIVERIES", NULL, keep.deliveries_ms, "7d", MINUTE, 0, 0,
		"How long it is kept what was sent to webhooks and what came of it."),
	TIME("keep.jobs", "CONTROLD_KEEP_JOBS", NULL, keep.jobs_ms, "7d", MINUTE, 0, 0,
		"How long jobs are kept that have ended, with results and logs."),
	TIME("keep.jobs_dead", "CONTROLD_KEEP_JOBS_DEAD", NULL, keep.jobs_dead_ms, "30d", MINUTE, 0, 0,
		"How long jobs are kept that failed for good."),
	TIME("keep.samples_10s", "CONTROLD_KEEP_SAMPLES_10S", NULL, keep.samples_10s_ms, "2d", 60 * MINUTE, 0, 0,
		"How long traffic is kept in steps of 10 seconds."),
	TIME("keep.samples_1h", "CONTROLD_KEEP_SAMPLES_1H", NULL, keep.samples_1h_ms, "730d", DAY, 0, 0,
		"How long traffic is kept in steps of one hour."),
	TIME("keep.samples_1m", "CONTROLD_KEEP_SAMPLES_1M", NULL, keep.samples_1m_ms, "30d", 60 * MINUTE, 0, 0,
		"How long traffic is kept in steps of one minute."),
	CHOICE("log.format", "CONTROLD_LOG_FORMAT", "LOGGING_FORMAT logging.format", log.format,
		"text", log_formats, 0,
		"One event, one line, in this form."),
	CHOICE("log.level", "CONTROLD_LOG_LEVEL", "LOG_LEVEL LOGGING_LEVEL logging.level", log.level,
		"info", log_levels, CONF_RELOAD,
		"The least important events that are logged."),
	TEXT("mail.from", "CONTROLD_MAIL_FROM", "EMAIL_FROM", mail.from, "", 0, 254, 0,
		"Sender of mail: name@host, or Name <name@host>; empty for no mail."),
	NUMBER("mail.rate", "CONTROLD_MAIL_RATE", NULL, mail.rate, "2", 0, 1000, 0, "mails/s",
		"That the mail service takes; 0 for as many as there are."),
	TEXT("mail.resend_key", "CONTROLD_MAIL_RESEND_KEY", "RESEND_API_KEY", mail.resend_key, "", 0, 512, CONF_SECRET,
		"API key of the mail service (Resend)."),
	TIME("mail.timeout", "CONTROLD_MAIL_TIMEOUT", NULL, mail.timeout_ms, "30s", 100, 5 * MINUTE, 0,
		"How long the mail service may take for one mail."),
	TEXT("mail.url", "CONTROLD_MAIL_URL", NULL, mail.url, "https://api.resend.com", 1, 512, 0,
		"The mail service."),
	TEXT("mail.webhook_secret", "CONTROLD_MAIL_WEBHOOK_SECRET", "RESEND_WEBHOOK_SECRET", mail.webhook_secret, "", 0, 170, CONF_SECRET,
		"What the mail service signs its events with (whsec_...); they go to /api/v1/email/events."),
	TEXT("master_key", "CONTROLD_MASTER_KEY", "ENCRYPTION_KEY", master_key, "", 0, 64, CONF_SECRET,
		"32 bytes in hex that secrets in the database are sealed with; empty for the file master.key in data_dir."),
	TEXT("master_keys_also", "CONTROLD_MASTER_KEYS_ALSO", "ENCRYPTION_KEY_OLD", master_keys_also, "", 0, 256, CONF_SECRET,
		"Further keys, by comma, that what is sealed may be opened with: the one before, until 'controld db rotate-key' has ended."),
	TEXT("outbound.allow", "CONTROLD_OUTBOUND_ALLOW", NULL, outbound.allow, "", 0, 4096, 0,
		"Ranges (CIDR, by comma) that calls to the outside may reach although they are private, loopback or the like."),
	TEXT("outbound.ca_file", "CONTROLD_OUTBOUND_CA_FILE", NULL, outbound.ca_file, "", 0, 4096, 0,
		"File with certificates that vouch for who is called; empty for the system's."),
	NUMBER("outbound.calls_max", "CONTROLD_OUTBOUND_CALLS_MAX", NULL, outbound.calls_max, "256", 1, 100000, 0, "calls",
		"To the outside, under way at once."),
	SWITCH("panel.auto_sync", "CONTROLD_PANEL_AUTO_SYNC", "AUTO_SYNC_ENABLED", panel.auto_sync, "false", 0,
		"Whether panels are synchronised by the clock."),
	TIME("panel.auto_sync_interval", "CONTROLD_PANEL_AUTO_SYNC_INTERVAL", "AUTO_SYNC_INTERVAL", panel.auto_sync_ms,
		"1h", MINUTE, 30u * (uint64_t)DAY, 0,
		"From one to the next."),
	NUMBER("panel.batch", "CONTROLD_PANEL_BATCH", "SYNC_BATCH_SIZE", panel.batch, "100", 1, 1000, 0, "objects",
		"Written in one transaction."),
	TEXT("panel.cf_access_id", "CONTROLD_PANEL_CF_ACCESS_ID", "CF_ACCESS_CLIENT_ID", panel.cf_access_id, "", 0, 256, 0,
		"Sent to panels behind Cloudflare Access."),
	TEXT("panel.cf_access_secret", "CONTROLD_PANEL_CF_ACCESS_SECRET", "CF_ACCESS_CLIENT_SECRET", panel.cf_access_secret,
		"", 0, 512, CONF_SECRET,
		"Sent with it."),
	CHOICE("panel.driver", "CONTROLD_PANEL_DRIVER", NULL, panel.driver, "auto", panel_drivers, 0,
		"What stands at panel.pterodactyl_url; auto finds out."),
	NUMBER("panel.parallel", "CONTROLD_PANEL_PARALLEL", NULL, panel.parallel, "4", 1, 32, 0, "requests",
		"To one panel at once."),
	TEXT("panel.pterodactyl_client_key", "CONTROLD_PANEL_PTERODACTYL_CLIENT_KEY", "PTERODACTYL_CLIENT_API_KEY",
		panel.pterodactyl_client_key, "", 0, 512, CONF_SECRET,
		"Key of the panel's client API."),
	TEXT("panel.pterodactyl_key", "CONTROLD_PANEL_PTERODACTYL_KEY", "PTERODACTYL_API_KEY", panel.pterodactyl_key,
		"", 0, 512, CONF_SECRET,
		"Key of the panel's application API."),
	TEXT("panel.pterodactyl_url", "CONTROLD_PANEL_PTERODACTYL_URL", "PTERODACTYL_URL", panel.pterodactyl_url, "", 0, 2048, 0,
		"A Pterodactyl or Pelican panel that is synchronised; empty for none."),
	NUMBER("panel.rate_limit", "CONTROLD_PANEL_RATE_LIMIT", NULL, panel.rate_limit, "240", 0, 4096, 0, "requests",
		"To one panel in panel.rate_window; 0 for as many as it takes."),
	TIME("panel.rate_window", "CONTROLD_PANEL_RATE_WINDOW", NULL, panel.rate_window_ms, "60s", 100, 60 * MINUTE, 0,
		"In which a panel counts requests."),
	SWITCH("panel.report_all", "CONTROLD_PANEL_REPORT_ALL", "SYNC_REPORT_ALL", panel.report_all, "false", 0,
		"Whether a mail is sent about every sync, not only about those that go wrong."),
	TEXT("panel.report_email", "CONTROLD_PANEL_REPORT_EMAIL", "SYNC_REPORT_EMAIL", panel.report_email, "", 0, 254, 0,
		"Who gets a mail when a sync has ended; empty for nobody."),
	TIME("panel.timeout", "CONTROLD_PANEL_TIMEOUT", NULL, panel.timeout_ms, "30s", 100, 10 * MINUTE, 0,
		"How long a panel may take for a page."),
	TEXT("panel.virtfusion_key", "CONTROLD_PANEL_VIRTFUSION_KEY", "VIRTFUSION_API_KEY", panel.virtfusion_key,
		"", 0, 2048, CONF_SECRET,
		"Key of its API."),
	TEXT("panel.virtfusion_url", "CONTROLD_PANEL_VIRTFUSION_URL", "VIRTFUSION_URL", panel.virtfusion_url, "", 0, 2048, 0,
		"A VirtFusion panel that is synchronised; empty for none."),
	SWITCH("registration.enabled", "CONTROLD_REGISTRATION_ENABLED", NULL, registration.enabled, "false", 0,
		"Whether strangers may make a tenant of their own (POST /auth/register)."),
	TIME("tokens.access_ttl", "CONTROLD_TOKENS_ACCESS_TTL", NULL, tokens.access_ms, "1h", MINUTE, DAY, 0,
		"How long an access token is good."),
	NUMBER("tokens.api_keys", "CONTROLD_TOKENS_API_KEYS", NULL, tokens.api_keys_max, "100", 1, 100000, 0, "keys",
		"API keys of one tenant at once."),
	TEXT("tokens.issuer", "CONTROLD_TOKENS_ISSUER", "JWT_ISSUER jwt.issuer", tokens.issuer,
		"portway", 1, 255, 0,
		"The iss claim of tokens."),
	TIME("tokens.refresh_ttl", "CONTROLD_TOKENS_REFRESH_TTL", NULL, tokens.refresh_ms, "7d", 10 * MINUTE, 0, 0,
		"How long a login lasts without being used."),
	TIME("tunnels.create_wait", "CONTROLD_TUNNELS_CREATE_WAIT", NULL, tunnels.create_wait_ms,
		"500ms", 0, 5000, 0,
		"How long the answer to a new mapping waits for the relays."),
	CHOICE("tunnels.host_names", "CONTROLD_TUNNELS_HOST_NAMES", NULL, tunnels.host_names,
		"operator", host_names_by, 0,
		"Who may give a mapping a host name outside of its group's domain: operators of a tenant, its administrators, or "
		"system administrators only."),
	NUMBER("tunnels.mappings_max", "CONTROLD_TUNNELS_MAPPINGS_MAX", NULL, tunnels.mappings_max,
		"0", 0, 100000000, 0, "mappings",
		"Of one tenant; 0 for no limit."),
	NUMBER("tunnels.port_max", "CONTROLD_TUNNELS_PORT_MAX", NULL, tunnels.port_max, "32767", 1, 65535, 0, "",
		"Last port that is picked when a mapping asks for port 0."),
	NUMBER("tunnels.port_min", "CONTROLD_TUNNELS_PORT_MIN", NULL, tunnels.port_min, "10000", 1, 65535, 0, "",
		"First port that is picked when a mapping asks for port 0."),
	UNUSED_NAMES("unused.elasticsearch",
		"ELASTICSEARCH_URL ELASTICSEARCH_ADDRESSES ELASTICSEARCH_INDEX "
		"LOGGING_ELASTICSEARCH_ADDRESSES LOGGING_ELASTICSEARCH_INDEX"),
	UNUSED_NAMES("unused.environment",
		"ENV"),
	UNUSED_NAMES("unused.grpc",
		"GRPC_AUTH_ADDRESS GRPC_CRM_ADDRESS GRPC_HRM_ADDRESS GRPC_FINANCE_ADDRESS "
		"GRPC_SERVICES_AUTH_ADDRESS GRPC_SERVICES_AUTH_TIMEOUT GRPC_SERVICES_CRM_ADDRESS"),
	UNUSED_NAMES("unused.jwt",
		"JWT_PUBLIC_KEY_PATH JWT_JWKS_URL JWT_ALGORITHM JWT_CACHE_TTL JWT_SECRET "
		"TUNNOX_JWT_SECRET_KEY"),
	UNUSED_NAMES("unused.kafka",
		"KAFKA_BROKERS KAFKA_CLIENT_ID KAFKA_MAX_RETRIES"),
	UNUSED_NAMES("unused.redis",
		"REDIS_URL REDIS_ADDRESS REDIS_PASSWORD REDIS_DB REDIS_POOL_SIZE"),
	UNUSED_NAMES("unused.scalar",
		"SCALAR_URL SCALAR_API_KEY"),
	UNUSED_NAMES("unused.tunnox",
		"TUNNOX_API_ENDPOINT TUNNOX_NODE_ID"),
	NUMBER("webhooks.attempts", "CONTROLD_WEBHOOKS_ATTEMPTS", NULL, webhooks.attempts, "20", 1, 1000, 0, "attempts",
		"That fail in a row until a webhook is paused; what waits for it is kept."),
	TIME("webhooks.retry", "CONTROLD_WEBHOOKS_RETRY", NULL, webhooks.retry_ms, "1s", 10, 10 * MINUTE, 0,
		"From the first failure to the next attempt; doubled each time."),
	TIME("webhooks.retry_max", "CONTROLD_WEBHOOKS_RETRY_MAX", NULL, webhooks.retry_max_ms, "10m", 10, DAY, 0,
		"The longest time between two attempts."),
	NUMBER("webhooks.senders", "CONTROLD_WEBHOOKS_SENDERS", NULL, webhooks.senders, "8", 1, 256, 0, "threads",
		"Webhooks that are served at once; a tenant has half of them at most."),
	TIME("webhooks.timeout", "CONTROLD_WEBHOOKS_TIMEOUT", NULL, webhooks.timeout_ms, "10s", 100, 5 * MINUTE, 0,
		"How long a receiver may take to answer."),
	NUMBER("webhooks.waiting_max", "CONTROLD_WEBHOOKS_WAITING_MAX", NULL, webhooks.waiting_max, "10000", 1, 1000000, 0,
		"deliveries", "How many may wait for one webhook; more are dropped and counted."),
	NUMBER("workers.db", "CONTROLD_WORKERS_DB", NULL, workers.db, "8", 1, 256, 0, "threads",
		"For requests that read and write the database."),
	NUMBER("workers.db_queue", "CONTROLD_WORKERS_DB_QUEUE", NULL, workers.db_queue,
		"4096", 1, 1000000, 0, "requests",
		"How many of them may wait; more are refused."),
	NUMBER("workers.parked", "CONTROLD_WORKERS_PARKED", NULL, workers.parked,
		"10000", 1, 1000000, 0, "requests",
		"How many answers may wait for relays without holding a thread."),
	NUMBER("workers.slow", "CONTROLD_WORKERS_SLOW", NULL, workers.slow, "4", 1, 256, 0, "threads",
		"For requests that hash passwords, and as many for those that wait for servers of others."),
	NUMBER("workers.slow_queue", "CONTROLD_WORKERS_SLOW_QUEUE", NULL, workers.slow_queue,
		"64", 1, 100000, 0, "requests",
		"How many of them may wait; more are refused."),
};
/* clang-format on */

const struct conf_table settings_table = { "controld", settings_keys, ARRAY_LEN(settings_keys) };

/* ---- rules that need more than one setting ----------------------------------------------------------------------- */

static bool is_master_key(const char *hex, size_t n)
{
	static const char digits[] = "0123456789abcdefABCDEF";

	return n == 2 * SEAL_KEY_SIZE && strspn(hex, digits) >= n;
}

static void check_master_key(const struct settings *s, struct err_list *errs)
{
	const char *also = s->master_keys_also;
	unsigned n_also = 0;

	if (*s->master_key != '\0' && !is_master_key(s->master_key, strlen(s->master_key)))
		err_list_add(errs, ERR_VALIDATION, "master_key", "format", "***",
			"master_key: must be 64 hexadecimal digits (openssl rand -hex 32)");
	while (*also != '\0') {
		const size_t n = strcspn(also, ", ");

		if ((n > 0 && !is_master_key(also, n)) || (n_also += n > 0) > MASTER_KEYS_ALSO_MAX)
			err_list_add(errs, ERR_VALIDATION, "master_keys_also", "format", "***",
				"master_keys_also: must be at most %d times 64 hexadecimal digits, by comma",
				MASTER_KEYS_ALSO_MAX);
		also += n + (also[n] != '\0');
	}
}

/* What the first start would refuse is said before it. */
static void check_admin(const struct settings *s, struct err_list *errs)
{
	const char *at = strchr(s->admin.email, '@');

	if (at == NULL || at == s->admin.email || at[1] == '\0')
		err_list_add(errs, ERR_VALIDATION, "admin.email", "format", s->admin.email,
			"admin.email: '%s' is not name@host", s->admin.email);
	if (*s->admin.password != '\0' && strlen(s->admin.password) < PASSWORD_MIN)
		err_list_add(errs, ERR_VALIDATION, "admin.password", "length", "***",
			"admin.password: must have %d characters or more", PASSWORD_MIN);
}

static void check_together(const struct settings *s, struct err_list *errs)
{
	check_master_key(s, errs);
	check_admin(s, errs);
	if ((*s->http.tls_cert == '\0') != (*s->http.tls_key == '\0'))
		err_list_add(errs, ERR_VALIDATION, "http.tls_key", "required", s->http.tls_key,
			"http.tls_cert and http.tls_key: both or none must be set");
	if (*s->acme.url != '\0' && !str_starts(s->acme.url, "https://"))
		err_list_add(errs, ERR_VALIDATION, "acme.url", "format", s->acme.url,
			"acme.url: '%s' must begin with https://", s->acme.url);
	if ((*s->acme.eab_kid == '\0') != (*s->acme.eab_key == '\0'))
		err_list_add(errs, ERR_VALIDATION, "acme.eab_key", "required", "***",
			"acme.eab_kid and acme.eab_key: both or none must be set");
	if (s->tunnels.port_min > s->tunnels.port_max)
		err_list_add(errs, ERR_VALIDATION, "tunnels.port_min", "range", NULL,
			"tunnels.port_min: %llu must not be above tunnels.port_max %llu",
			(unsigned long long)s->tunnels.port_min, (unsigned long long)s->tunnels.port_max);
}

/* host and port come from programs that know no other way; the address that is set as a whole wins over them. */
static void resolve_listen(struct settings *s, struct err_list *errs)
{
	char text[300];
	const char *host = *s->http.host != '\0' ? s->http.host : "127.0.0.1";
	unsigned port = s->http.port != 0 ? (unsigned)s->http.port : 8080;
	bool v6 = strchr(host, ':') != NULL;
	struct addr a;
	char *copy;

	if (!str_eq(s->http.listen, SETTINGS_LISTEN) || (*s->http.host == '\0' && s->http.port == 0))
		return;
	if (str_fmt(text, sizeof text, "%s%s%s:%u", v6 ? "[" : "", host, v6 ? "]" : "", port) != 0 ||
		addr_parse(&a, text) != 0) {
		err_list_add(errs, ERR_VALIDATION, "http.host", "format", host, "http.host: '%s' must be an IP address",
			host);
		return;
	}
	if ((copy = strdup(text)) == NULL) {
		err_list_add(errs, ERR_NOMEM, "http.listen", NULL, NULL, "http.listen: out of memory");
		return;
	}
	free(s->http.listen);
	s->http.listen = copy;
}

/* ---- load and free ----------------------------------------------------------------------------------------------- */

int settings_load(struct settings **out, const struct conf_source *src, struct err_list *errs)
{
	struct settings *s = calloc(1, sizeof *s);

	if (s == NULL)
		return err_list_add(errs, ERR_NOMEM, NULL, NULL, NULL, "settings: out of memory");
	if (conf_load(&settings_table, s, src, errs) != 0 && conf_is_partial(errs))
		goto fail;
	check_together(s, errs);
	resolve_listen(s, errs);
	if (errs->n > 0)
		goto fail;
	*out = s;
	return 0;
fail:
	settings_free(s);
	return -1;
}

static void wipe_text(char *s)
{
	if (s != NULL)
		seal_wipe(s, strlen(s));
}

void settings_free(struct settings *s)
{
	if (s == NULL)
		return;
	wipe_text(s->admin.password);
	wipe_text(s->admin.api_key);
	wipe_text(s->master_key);
	wipe_text(s->master_keys_also);
	wipe_text(s->panel.pterodactyl_key);
	wipe_text(s->panel.pterodactyl_client_key);
	wipe_text(s->panel.virtfusion_key);
	wipe_text(s->panel.cf_access_secret);
	wipe_text(s->mail.resend_key);
	wipe_text(s->mail.webhook_secret);
	conf_free(&settings_table, s);
	free(s);
}

const char *settings_log_level(const struct settings *s)
{
	return log_levels[s->log.level];
}

int settings_database_url(const struct settings *s, char *dst, size_t size)
{
	if (*s->database.url != '\0')
		return str_copy(dst, size, s->database.url);
	return str_fmt(dst, size, "sqlite:%s/portway.db", s->data_dir);
}

int settings_samples_url(const struct settings *s, char *dst, size_t size)
{
	if (*s->database.url != '\0' && !str_starts(s->database.url, "sqlite:"))
		return str_copy(dst, size, s->database.url);
	return str_fmt(dst, size, "sqlite:%s/samples.db", s->data_dir);
}
