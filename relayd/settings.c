#include "relayd/settings.h"

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/net/addr.h"
#include "common/net/allow.h"
#include "proto/join.h"
#include "proto/report.h"
#include "relayd/http_setup.h"
#include "relayd/vhost/front.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AT(member) offsetof(struct settings, member)

static const char *const log_levels[] = { "debug", "info", "warn", "error", NULL };
static const char *const log_formats[] = { "text", "json", NULL };

/* Sorted by key. */
static const struct conf_key keys[] = {
	{ .key = "access_log",
		.env = "RELAYD_ACCESS_LOG",
		.type = CONF_STR,
		.offset = AT(access_log),
		.def = "off",
		.unit = "path",
		.help = "File with a line of JSON for each request that a route took; stdout; off for none; it is made "
			"anew "
			"when it was moved away." },
	{ .key = "agents.advertise",
		.env = "RELAYD_AGENTS_ADVERTISE",
		.type = CONF_STR,
		.offset = AT(agents_advertise),
		.def = "",
		.unit = "host:port",
		.help = "Where agents are told to connect, when that is not where agents.listen is: behind NAT, or by "
			"name." },
	{ .key = "agents.backoff",
		.env = "RELAYD_AGENTS_BACKOFF",
		.type = CONF_DURATION,
		.offset = AT(agents_backoff_ms),
		.def = "30s",
		.min = 1000,
		.max = 3600000,
		.unit = "duration",
		.help = "The longest that an agent which lost this relay waits between two attempts to come back." },
	{ .key = "agents.guests",
		.env = "RELAYD_AGENTS_GUESTS",
		.type = CONF_U64,
		.offset = AT(agents_guests),
		.def = "512",
		.min = 1,
		.max = 65536,
		.unit = "connections",
		.help = "Connections to the agents' address that have said nothing yet, per worker; beyond it the one "
			"that has been silent longest is closed; one address (an IPv6 /64) has an eighth of them; as "
			"many "
			"more may be in the midst of their handshakes; others wait their turn." },
	{ .key = "agents.handshakes",
		.env = "RELAYD_AGENTS_HANDSHAKES",
		.type = CONF_U64,
		.offset = AT(agents_handshakes),
		.def = "1000",
		.min = 1,
		.max = 1000000,
		.unit = "1/s",
		.help = "TLS handshakes with agents that are begun in a second; others wait their turn, which goes "
			"round by address, those of agents that were let in lately first." },
	{ .key = "agents.links_per_client",
		.env = "RELAYD_AGENTS_LINKS_PER_CLIENT",
		.type = CONF_U64,
		.offset = AT(agents_links_max),
		.def = "256",
		.min = 8,
		.max = 65536,
		.unit = "links",
		.help = "Links that one client's agents may have with this relay, all together; of these three "
			"quarters "
			"may be links for one connection at a time." },
	{ .key = "agents.listen",
		.env = "RELAYD_AGENTS_LISTEN",
		.type = CONF_STR,
		.offset = AT(agents_listen),
		.def = "off",
		.unit = "address:port",
		.help = "Where agents connect (portway agent), so that services behind NAT are reached; off for no "
			"agents." },
	{ .key = "agents.ping_interval",
		.env = "RELAYD_AGENTS_PING_INTERVAL",
		.type = CONF_DURATION,
		.offset = AT(agents_ping_ms),
		.def = "5s",
		.min = 100,
		.max = 3600000,
		.unit = "duration",
		.help = "How long a link to an agent may be silent before it is tried, unless the client sets "
			"heartbeat_interval; three times that ends it." },
	{ .key = "agents.proxies",
		.env = "RELAYD_AGENTS_PROXIES",
		.type = CONF_STR,
		.offset = AT(agents_proxies),
		.def = "",
		.unit = "addresses or ranges",
		.help = "Web servers in front of agents.listen, several by comma: of an agent that comes through one "
			"of these in a WebSocket, the last address in X-Forwarded-For is its own." },
	{ .key = "agents.reserve",
		.env = "RELAYD_AGENTS_RESERVE",
		.type = CONF_U64,
		.offset = AT(agents_reserve),
		.def = "2",
		.min = 0,
		.max = 16,
		.help = "Links that an agent has ready for each of this relay's workers, while its client's mappings "
			"want a link for each connection, or carry so much that they get one; 0 for none." },
	{ .key = "backends.idle_max",
		.env = "RELAYD_BACKENDS_IDLE_MAX",
		.type = CONF_U64,
		.offset = AT(backends_idle_max),
		.def = "256",
		.min = 0,
		.max = 65536,
		.unit = "connections",
		.help = "Connections to a backend that wait for a next request, for each backend and worker, where its "
			"pool does not say it; 0 for none." },
	{ .key = "backends.idle_timeout",
		.env = "RELAYD_BACKENDS_IDLE_TIMEOUT",
		.type = CONF_DURATION,
		.offset = AT(backends_idle_ms),
		.def = "30s",
		.min = 100,
		.max = 3600000,
		.unit = "duration",
		.help = "How long one of them waits, where its pool does not say it; less than the backends do." },
	{ .key = "busy_poll",
		.env = "RELAYD_BUSY_POLL",
		.type = CONF_U64,
		.offset = AT(busy_poll_us),
		.def = "0",
		.min = 0,
		.max = 500,
		.unit = "microseconds",
		.help = "How long a worker whose events came fast of late looks for the next before it sleeps: less "
			"delay "
			"for more CPU time; 0 to sleep at once." },
	{ .key = "controld",
		.env = "RELAYD_CONTROLD",
		.type = CONF_STR,
		.offset = AT(controld),
		.def = "127.0.0.1:7400",
		.unit = "host:port",
		.help = "Where controld's fleet listener is; several by comma, or a name with several addresses: the "
			"next "
			"one is tried when one does not answer." },
	{ .key = "data_dir",
		.env = "RELAYD_DATA_DIR",
		.type = CONF_STR,
		.offset = AT(data_dir),
		.def = "/var/lib/portway/relayd",
		.unit = "path",
		.help = "Folder for the relay's key and certificate, the last good configuration and the counters." },
	{ .key = "descriptors.reserve",
		.env = "RELAYD_DESCRIPTORS_RESERVE",
		.type = CONF_U64,
		.offset = AT(fd_reserve),
		.def = "256",
		.min = 64,
		.max = 1000000,
		.unit = "descriptors",
		.help = "File descriptors that listening sockets and connections leave free for the relay itself." },
	{ .key = "drain_timeout",
		.env = "RELAYD_DRAIN_TIMEOUT",
		.type = CONF_DURATION,
		.offset = AT(drain_timeout_ms),
		.def = "30s",
		.min = 0,
		.max = 86400000,
		.flags = CONF_RELOAD,
		.unit = "duration",
		.help = "How long live connections may go on after SIGTERM, or in the old process after a handover." },
	{ .key = "handover_timeout",
		.env = "RELAYD_HANDOVER_TIMEOUT",
		.type = CONF_DURATION,
		.offset = AT(handover_timeout_ms),
		.def = "20s",
		.min = 1000,
		.max = 600000,
		.flags = CONF_RELOAD,
		.unit = "duration",
		.help = "How long a successor started by SIGUSR2 may take before the running relay gives it up and "
			"goes on." },
	{ .key = "hosts.timeout",
		.env = "RELAYD_HOSTS_TIMEOUT",
		.type = CONF_DURATION,
		.offset = AT(hosts_timeout_ms),
		.def = "10s",
		.min = 100,
		.max = 600000,
		.unit = "duration",
		.help = "How long a connection to http.listen or tls.listen may take to say which host it is for." },
	{ .key = "hosts.waiting",
		.env = "RELAYD_HOSTS_WAITING",
		.type = CONF_U64,
		.offset = AT(hosts_waiting),
		.def = "4096",
		.min = 1,
		.max = 1000000,
		.unit = "connections",
		.help = "Connections to each of the two that have not said it yet; beyond it the one that has been "
			"silent longest "
			"is closed." },
	{ .key = "hosts.waiting_per_source",
		.env = "RELAYD_HOSTS_WAITING_PER_SOURCE",
		.type = CONF_U64,
		.offset = AT(hosts_waiting_per_source),
		.def = "256",
		.min = 0,
		.max = 1000000,
		.unit = "connections",
		.help = "Of these from one source address; 0 for no limit, as behind a load balancer." },
	{ .key = "http.body_max",
		.env = "RELAYD_HTTP_BODY_MAX",
		.type = CONF_SIZE,
		.offset = AT(http_body_max),
		.def = "0",
		.min = 0,
		.max = 1125899906842624,
		.unit = "bytes",
		.help = "Content of a request to a route that has no limit of its own; 0 for no limit." },
	{ .key = "http.body_timeout",
		.env = "RELAYD_HTTP_BODY_TIMEOUT",
		.type = CONF_DURATION,
		.offset = AT(http_body_timeout_ms),
		.def = "60s",
		.min = 100,
		.max = 3600000,
		.unit = "duration",
		.help = "How long the content of a request may be silent." },
	{ .key = "http.fields_max",
		.env = "RELAYD_HTTP_FIELDS_MAX",
		.type = CONF_U64,
		.offset = AT(http_fields_max),
		.def = "100",
		.min = 10,
		.max = 128,
		.unit = "fields",
		.help = "Fields in the head of a request or an answer." },
	{ .key = "http.head_max",
		.env = "RELAYD_HTTP_HEAD_MAX",
		.type = CONF_SIZE,
		.offset = AT(http_head_max),
		.def = "32KiB",
		.min = 1024,
		.max = 65535,
		.unit = "bytes",
		.help = "The head of a request or an answer." },
	{ .key = "http.head_timeout",
		.env = "RELAYD_HTTP_HEAD_TIMEOUT",
		.type = CONF_DURATION,
		.offset = AT(http_head_timeout_ms),
		.def = "10s",
		.min = 100,
		.max = 600000,
		.unit = "duration",
		.help = "How long the head of a request may take, from its first byte." },
	{ .key = "http.idle_timeout",
		.env = "RELAYD_HTTP_IDLE_TIMEOUT",
		.type = CONF_DURATION,
		.offset = AT(http_idle_timeout_ms),
		.def = "60s",
		.min = 100,
		.max = 3600000,
		.unit = "duration",
		.help = "How long a client's connection waits for a next request." },
	{ .key = "http.listen",
		.env = "RELAYD_HTTP_LISTEN",
		.type = CONF_STR,
		.offset = AT(http_listen),
		.def = "off",
		.unit = "address:port",
		.help = "Where clients reach the mappings that are told apart by the host that their requests name; "
			"several by comma; off for nowhere." },
	{ .key = "http.mirror_body_max",
		.env = "RELAYD_HTTP_MIRROR_BODY_MAX",
		.type = CONF_SIZE,
		.offset = AT(http_mirror_body_max),
		.def = "256KiB",
		.min = 0,
		.max = 67108864,
		.unit = "bytes",
		.help = "Content of a request of which a route's mirror pool gets a copy; with more there is none." },
	{ .key = "http.mirror_max",
		.env = "RELAYD_HTTP_MIRROR_MAX",
		.type = CONF_U64,
		.offset = AT(http_mirror_max),
		.def = "128",
		.min = 0,
		.max = 100000,
		.unit = "requests",
		.help = "Copies of requests under way to mirror pools at once, on each worker; there are no more." },
	{ .key = "http.public_port",
		.env = "RELAYD_HTTP_PUBLIC_PORT",
		.type = CONF_U64,
		.offset = AT(http_public_port),
		.def = "0",
		.min = 0,
		.max = 65535,
		.unit = "port",
		.help = "The port that clients are told, when another machine in front passes it on to http.listen; 0 "
			"for the first of those." },
	{ .key = "http.response_timeout",
		.env = "RELAYD_HTTP_RESPONSE_TIMEOUT",
		.type = CONF_DURATION,
		.offset = AT(http_response_timeout_ms),
		.def = "60s",
		.min = 100,
		.max = 86400000,
		.unit = "duration",
		.help = "How long a backend may take to begin its answer, and be silent within it, where neither the "
			"route nor the pool says it." },
	{ .key = "http.trusted_proxies",
		.env = "RELAYD_HTTP_TRUSTED_PROXIES",
		.type = CONF_STR,
		.offset = AT(http_trusted_proxies),
		.def = "",
		.unit = "ranges",
		.help = "Load balancers in front, as address ranges by comma: what they say of their clients (PROXY "
			"header, X-Forwarded-For and the like) is believed; of others it is dropped." },
	{ .key = "http.tunnel_timeout",
		.env = "RELAYD_HTTP_TUNNEL_TIMEOUT",
		.type = CONF_DURATION,
		.offset = AT(http_tunnel_timeout_ms),
		.def = "1h",
		.min = 1000,
		.max = 86400000,
		.unit = "duration",
		.help = "How long a connection that changed its protocol (WebSocket) may be silent." },
	{ .key = "join.token",
		.env = "RELAYD_JOIN_TOKEN",
		.type = CONF_STR,
		.offset = AT(join_token),
		.def = "",
		.flags = CONF_SECRET,
		.unit = "",
		.help = "One-time token that makes this relay a node of the fleet; needed until it has joined." },
	{ .key = "link.answer_timeout",
		.env = "RELAYD_LINK_ANSWER_TIMEOUT",
		.type = CONF_DURATION,
		.offset = AT(answer_timeout_ms),
		.def = "35s",
		.min = 2000,
		.max = 600000,
		.unit = "duration",
		.help = "A line to controld without an answer for so long is ended and made anew; controld holds a "
			"poll for 25s." },
	{ .key = "log.format",
		.env = "RELAYD_LOG_FORMAT",
		.type = CONF_ENUM,
		.offset = AT(log_format),
		.def = "text",
		.choices = log_formats,
		.unit = "",
		.help = "Shape of a log line." },
	{ .key = "log.level",
		.env = "RELAYD_LOG_LEVEL",
		.aliases = "LOG_LEVEL",
		.type = CONF_ENUM,
		.offset = AT(log_level),
		.def = "info",
		.choices = log_levels,
		.flags = CONF_RELOAD,
		.unit = "",
		.help = "The least important lines that are written." },
	{ .key = "meter.slots",
		.env = "RELAYD_METER_SLOTS",
		.type = CONF_U64,
		.offset = AT(meter_slots),
		.def = "32768",
		.min = 16,
		.max = 1048576,
		.unit = "objects",
		.help = "Mappings that can be counted at once; each takes 64 bytes and 128 more per worker, on disk." },
	{ .key = "meter.sync_interval",
		.env = "RELAYD_METER_SYNC_INTERVAL",
		.type = CONF_DURATION,
		.offset = AT(meter_sync_ms),
		.def = "1s",
		.min = 100,
		.max = 3600000,
		.flags = CONF_RELOAD,
		.unit = "duration",
		.help = "How much counting a crash of the whole machine may lose; a crash of relayd loses none." },
	{ .key = "metrics.connections",
		.env = "RELAYD_METRICS_CONNECTIONS",
		.type = CONF_U64,
		.offset = AT(metrics_connections),
		.def = "32",
		.min = 1,
		.max = 1024,
		.unit = "connections",
		.help = "Connections to the metrics address at once; further ones are closed." },
	{ .key = "metrics.listen",
		.env = "RELAYD_METRICS_LISTEN",
		.type = CONF_STR,
		.offset = AT(metrics_listen),
		.def = "127.0.0.1:9400",
		.unit = "address:port",
		.help = "Where /metrics, /health and /ready are answered over HTTP; off for nowhere." },
	{ .key = "metrics.mappings",
		.env = "RELAYD_METRICS_MAPPINGS",
		.type = CONF_U64,
		.offset = AT(metrics_series),
		.def = "1000",
		.min = 0,
		.max = 1000000,
		.flags = CONF_RELOAD,
		.unit = "mappings",
		.help = "Mappings with series of their own in /metrics; the others appear in the totals only." },
	{ .key = "name",
		.env = "RELAYD_NAME",
		.type = CONF_STR,
		.offset = AT(name),
		.def = "",
		.unit = "",
		.help = "The node's name, as in the join token; empty for the host's name." },
	{ .key = "quota.overdraft",
		.env = "RELAYD_QUOTA_OVERDRAFT",
		.type = CONF_SIZE,
		.offset = AT(quota_overdraft),
		.def = "64M",
		.min = 0,
		.max = INT64_MAX / 2,
		.unit = "bytes",
		.help = "How much more of each quota may pass here than controld has granted, while it does not "
			"answer." },
	{ .key = "region",
		.env = "RELAYD_REGION",
		.type = CONF_STR,
		.offset = AT(region),
		.def = "",
		.unit = "name",
		.help = "Where this relay is: backends of the same region are nearer than others." },
	{ .key = "report.heartbeat_interval",
		.env = "RELAYD_HEARTBEAT_INTERVAL",
		.type = CONF_DURATION,
		.offset = AT(heartbeat_ms),
		.def = "5s",
		.min = 100,
		.max = 60000,
		.flags = CONF_RELOAD,
		.unit = "duration",
		.help = "How often load and state are reported when nothing passes; controld expects one in 15s." },
	{ .key = "report.interval",
		.env = "RELAYD_REPORT_INTERVAL",
		.type = CONF_DURATION,
		.offset = AT(report_ms),
		.def = "1s",
		.min = 50,
		.max = 60000,
		.flags = CONF_RELOAD,
		.unit = "duration",
		.help = "How often counters are reported while they change." },
	{ .key = "snapshot.max_stale",
		.env = "RELAYD_SNAPSHOT_MAX_STALE",
		.type = CONF_DURATION,
		.offset = AT(max_stale_ms),
		.def = "7d",
		.min = 60000,
		.max = 31536000000,
		.unit = "duration",
		.help = "A configuration from disk that controld last confirmed so long ago is not served at start." },
	{ .key = "tls.listen",
		.env = "RELAYD_TLS_LISTEN",
		.type = CONF_STR,
		.offset = AT(tls_listen),
		.def = "off",
		.unit = "address:port",
		.help = "Where clients reach the mappings that are told apart by the server name in their TLS "
			"handshake (SNI), which passes through unopened; several by comma; off for nowhere." },
	{ .key = "tls.public_port",
		.env = "RELAYD_TLS_PUBLIC_PORT",
		.type = CONF_U64,
		.offset = AT(tls_public_port),
		.def = "0",
		.min = 0,
		.max = 65535,
		.unit = "port",
		.help = "The port that clients are told, when another machine in front passes it on to tls.listen; 0 "
			"for the first of those." },
	{ .key = "workers",
		.env = "RELAYD_WORKERS",
		.type = CONF_U64,
		.offset = AT(workers),
		.def = "0",
		.min = 0,
		.max = 256,
		.unit = "threads",
		.help = "Threads that move bytes; 0 for one per CPU that this process may use." },
};

static const struct conf_table table = { .program = "relayd", .keys = keys, .n = ARRAY_LEN(keys) };

const struct conf_table *settings_table(void)
{
	return &table;
}

static int check_controld(const char *list, struct err_list *errs)
{
	char one[300], host[256];
	uint16_t port;

	for (const char *p = list; p != NULL; p = strchr(p, ',') != NULL ? strchr(p, ',') + 1 : NULL) {
		size_t n = strcspn(p, ",");

		if (str_fmt(one, sizeof one, "%.*s", (int)n, p) != 0 ||
			addr_split_host(one, host, sizeof host, &port) != 0 || port == 0)
			return err_list_add(errs, ERR_VALIDATION, "controld", "format", one,
				"controld: '%s' is not host:port (several by comma)", one);
	}
	return 0;
}

static int check_listen(const char *key, const char *env, const char *listen, struct err_list *errs)
{
	struct addr a;

	if (strcmp(listen, "off") == 0 || addr_parse(&a, listen) == 0)
		return 0;
	return err_list_add(errs, ERR_VALIDATION, key, "format", listen,
		"%s (%s): '%s' is not address:port, [address]:port or off", key, env, listen);
}

static int check_listens(const char *key, const char *listen, struct err_list *errs)
{
	struct addr at[FRONT_LISTEN_MAX];
	unsigned n;

	if (front_parse_listen(listen, at, &n) == 0)
		return 0;
	return err_list_add(errs, ERR_VALIDATION, key, "format", listen,
		"%s: '%s' is not address:port or [address]:port (at most %d by comma), or off", key, listen,
		FRONT_LISTEN_MAX);
}

static int check_ranges(const char *key, const char *list, struct err_list *errs)
{
	struct mapping_cidrs none = { .items = NULL };

	if (http_setup_ranges(&none, list) != 0)
		return err_list_add(errs, ERR_VALIDATION, key, "format", list,
			"%s: '%s' is not a list of at most %d address ranges by comma", key, list, MAPPING_CIDRS_MAX);
	mapping_cidrs_fini(&none);
	return 0;
}

static int check_advertise(const char *at, struct err_list *errs)
{
	char host[NODE_AGENTS_SIZE];
	uint16_t port;

	if (at[0] == '\0' ||
		(strlen(at) < NODE_AGENTS_SIZE && addr_split_host(at, host, sizeof host, &port) == 0 && port != 0))
		return 0;
	return err_list_add(errs, ERR_VALIDATION, "agents.advertise", "format", at,
		"agents.advertise (RELAYD_AGENTS_ADVERTISE): '%s' is not host:port", at);
}

static int check_token(const char *token, struct err_list *errs)
{
	struct join_token parsed;

	if (token[0] == '\0' || join_token_parse(&parsed, token) == 0)
		return 0;
	return err_list_add(errs, ERR_VALIDATION, "join.token", "format", "***",
		"join.token (RELAYD_JOIN_TOKEN) is not a join token: <id>.<secret>.<fingerprint>");
}

/* An empty name is the host's; a name must fit the wire and be printable. */
static int settle_name(struct settings *s, struct err_list *errs)
{
	char host[256] = "";

	if (s->name[0] == '\0' && gethostname(host, sizeof host - 1) == 0) {
		char *name = strdup(host);

		if (name == NULL)
			return err_list_add(errs, ERR_NOMEM, "name", NULL, NULL, "name: out of memory");
		free(s->name);
		s->name = name;
	}
	if (s->name[0] != '\0' && strlen(s->name) < PROTO_NAME_SIZE && str_is_utf8(s->name, strlen(s->name)))
		return 0;
	return err_list_add(errs, ERR_VALIDATION, "name", "length", s->name,
		"name (RELAYD_NAME): '%s' must have 1 to %d bytes of UTF-8", s->name, PROTO_NAME_SIZE - 1);
}

static int check_proxies(const char *text, struct err_list *errs)
{
	struct allow *allow;
	struct err e;

	if (allow_parse(&allow, "agents.proxies", text, &e) != 0)
		return err_list_add(errs, ERR_VALIDATION, "agents.proxies", "format", text,
			"agents.proxies (RELAYD_AGENTS_PROXIES): %s", e.msg);
	allow_unref(allow);
	return 0;
}

int settings_load(struct settings *out, const struct conf_source *src, struct err_list *errs)
{
	struct settings s = { 0 };
	int r;

	r = conf_load(&table, &s, src, errs);
	if (s.controld != NULL)
		r |= check_controld(s.controld, errs);
	if (s.metrics_listen != NULL)
		r |= check_listen("metrics.listen", "RELAYD_METRICS_LISTEN", s.metrics_listen, errs);
	if (s.agents_listen != NULL)
		r |= check_listen("agents.listen", "RELAYD_AGENTS_LISTEN", s.agents_listen, errs);
	if (s.agents_proxies != NULL && s.agents_proxies[0] != '\0')
		r |= check_proxies(s.agents_proxies, errs);
	if (s.http_listen != NULL)
		r |= check_listens("http.listen", s.http_listen, errs);
	if (s.tls_listen != NULL)
		r |= check_listens("tls.listen", s.tls_listen, errs);
	if (s.http_trusted_proxies != NULL)
		r |= check_ranges("http.trusted_proxies", s.http_trusted_proxies, errs);
	if (s.agents_advertise != NULL)
		r |= check_advertise(s.agents_advertise, errs);
	if (s.join_token != NULL)
		r |= check_token(s.join_token, errs);
	if (s.name != NULL)
		r |= settle_name(&s, errs);
	if (r != 0) {
		settings_free(&s);
		return -1;
	}
	*out = s;
	return 0;
}

void settings_free(struct settings *s)
{
	conf_free(&table, s);
}

const char *settings_log_level(const struct settings *s)
{
	return log_levels[s->log_level];
}
