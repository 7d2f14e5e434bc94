#include "common/net/addr.h"
#include "controld/tunnels/mapping_host.h"
#include "controld/tunnels/mapping_input.h"
#include "controld/tunnels/mapping_settings.h"

/* Members that only answers have are accepted in a request and ignored, so that an object that was read can be sent
 * back. */
#define ANSWER SCHEMA_IGNORED
#define NULLED SCHEMA_NULLABLE

static const char *const protocols[] = { "tcp", "udp", "http", "tls", "socks5", NULL };
static const char *const own_protocols[] = { "tcp", "udp", "http", "tls", NULL };
static const char *const wishes[] = { "active", "inactive", NULL };
static const char *const proxies[] = { "none", "v1", "v2", NULL };
static const char *const transports[] = { "auto", "mux", "dedicated", NULL };
static const char *const compressions[] = { "none", "zstd", NULL };
static const char *const policies[] = { "keep", "drain", "cut", NULL };

#define TEXT(n, f, most, h)                                                          \
	{                                                                            \
		.name = n, .type = SCHEMA_STRING, .flags = f, .max = most, .help = h \
	}
#define PICK(n, f, c, h)                                                              \
	{                                                                             \
		.name = n, .type = SCHEMA_STRING, .flags = f, .choices = c, .help = h \
	}
#define WHOLE(n, f, lo, hi, h)                                                             \
	{                                                                                  \
		.name = n, .type = SCHEMA_INT, .flags = f, .min = lo, .max = hi, .help = h \
	}
#define FLAG(n, f, h)                                                 \
	{                                                             \
		.name = n, .type = SCHEMA_BOOL, .flags = f, .help = h \
	}
#define SPAN(n, h)                                                                                             \
	{                                                                                                      \
		.name = n, .type = SCHEMA_STRING, .flags = NULLED, .format = SCHEMA_FORMAT_DURATION, .help = h \
	}
#define TIME(n, f, h)                                                                                 \
	{                                                                                             \
		.name = n, .type = SCHEMA_STRING, .flags = f, .format = SCHEMA_FORMAT_TIME, .help = h \
	}
#define PART(n, f, s, h)                                                          \
	{                                                                         \
		.name = n, .type = SCHEMA_OBJECT, .flags = f, .sub = s, .help = h \
	}
#define RANGES(n, h)                                                                        \
	{                                                                                   \
		.name = n, .type = SCHEMA_ARRAY, .flags = NULLED, .max = MAPPING_CIDRS_MAX, \
		.item_type = SCHEMA_STRING, .format = SCHEMA_FORMAT_CIDR, .help = h         \
	}

static const struct schema_field limits_fields[] = {
	WHOLE("bandwidth_in", NULLED, 0, INT64_MAX, "bytes per second from clients, over all of them; 0: no limit"),
	WHOLE("bandwidth_out", NULLED, 0, INT64_MAX, "bytes per second to clients, over all of them; 0: no limit"),
	WHOLE("max_connections", NULLED, 0, 10000000, "connections or UDP sessions at once; 0: no limit (tcp only)"),
	WHOLE("max_connections_per_source", NULLED, 0, 10000000, "of these from one source address; 0: no limit"),
	WHOLE("connection_rate_per_source", NULLED, 0, 1000000,
		"new connections per second from one source address; 0: no limit"),
};
static const struct schema limits_schema = { "MappingLimits", limits_fields, ARRAY_LEN(limits_fields), false };

static const struct schema_field accept_proxy_fields[] = {
	FLAG("enabled", NULLED, "expect a PROXY header, v1 or v2, from every trusted source"),
	RANGES("trusted", "CIDRs of the balancers in front; others are refused"),
};
static const struct schema accept_proxy_schema = { "MappingAcceptProxy", accept_proxy_fields,
	ARRAY_LEN(accept_proxy_fields), false };

static const struct schema_field timeouts_fields[] = {
	SPAN("connect", "for reaching the target; default 10s"),
	SPAN("idle", "without a byte either way; default 1 h for tcp, 60s for a UDP session"),
	SPAN("half_close", "after one side has finished, without a byte; default 300s"),
};
static const struct schema timeouts_schema = { "MappingTimeouts", timeouts_fields, ARRAY_LEN(timeouts_fields), false };

static const char *const checks[] = { "none", "tcp", "http", NULL };
static const struct schema_field health_fields[] = {
	PICK("type", NULLED, checks, "tcp: it accepts a connection; http: it answers a GET; default none"),
	SPAN("interval", "between two checks, from 1s to 1h; default 10s"),
	SPAN("timeout", "of one check, from 100ms to 60s; default 3s"),
	WHOLE("rise", NULLED, 1, HEALTH_TURNS_MAX, "good results in a row that make it up; default 2"),
	WHOLE("fall", NULLED, 1, HEALTH_TURNS_MAX, "bad results in a row that make it down; default 3"),
	TEXT("path", NULLED, HEALTH_PATH_SIZE - 1, "that is asked for (http); default /"),
	WHOLE("expect", NULLED, 0, 599, "status that is good (http); 0: 200 to 399"),
};
static const struct schema health_schema = { "MappingHealth", health_fields, ARRAY_LEN(health_fields), false };

static const struct schema_field mapping_fields[] = {
	TEXT("id", ANSWER, PROTO_ID_SIZE, "map_..."),
	TEXT("tenant_id", ANSWER, PROTO_ID_SIZE, "whose it is"),
	TEXT("user_id", ANSWER | NULLED, PROTO_ID_SIZE, "who made it; null: an API key of no user"),
	TEXT("name", NULLED, MAPPING_NAME_MAX, "for people"),
	TEXT("description", NULLED, MAPPING_DESCRIPTION_MAX, "for people"),
	TEXT("type", ANSWER, 32, "standard"),
	WHOLE("source_client_id", NULLED, 1, CLIENT_ID_MAX - 1,
		"the client on whose own machine source_port is, as its agent listens there; null: a port on relays"),
	WHOLE("target_client_id", NULLED, 1, CLIENT_ID_MAX - 1,
		"the client whose agent dials target_host; null: the relay dials it"),
	TEXT("source_client_status", ANSWER | NULLED, 16, "online, offline or error: whether its agent is at a relay"),
	TEXT("target_client_status", ANSWER | NULLED, 16, "the same of the target's"),
	PICK("protocol", SCHEMA_REQUIRED, protocols,
		"cannot change later; http and tls have host_names on a shared port of the relays, the others a "
		"source_port"),
	{ .name = "host_names",
		.type = SCHEMA_ARRAY,
		.flags = NULLED,
		.max = MAPPING_HOSTS_MAX,
		.item_type = SCHEMA_STRING,
		.help = "http, tls: the Host of a request or the server name of a handshake that lead here; \"*.\" and "
			"a name is all "
			"below it; null: one is made up below the domain of the group" },
	TEXT("url", ANSWER | NULLED, MAPPING_HOSTS_TEXT,
		"http, tls: where it is reached, as relays that are online tell"),
	TEXT("bind_address", NULLED, ADDR_STRLEN - 1,
		"IP address on the relays, \"\": every one; on a client's machine, \"\": 127.0.0.1"),
	WHOLE("source_port", NULLED, 0, 65535,
		"port on the relays or at source_client_id; 0: a free one is picked; null "
		"with host_names"),
	WHOLE("source_port_end", NULLED, 1, 65535, "last port of a range; null: a single port"),
	WHOLE("source_port_count", NULLED, 1, MAPPING_PORTS_MAX,
		"in requests: ports of a range from source_port on; with source_port 0 that many in a row are picked"),
	{ .name = "target_host",
		.type = SCHEMA_STRING,
		.flags = NULLED,
		.max = MAPPING_HOST_SIZE - 1,
		.format = SCHEMA_FORMAT_HOST,
		.help = "host name or IP address that is dialled; with target_client_id 127.0.0.1 if not said" },
	WHOLE("target_port", NULLED, 0, 65535, "of source_port; a range counts up with it; not with socks5"),
	TEXT("socks_user", NULLED, MAPPING_SOCKS_USER_SIZE - 1, "socks5: who may come in; null: nobody is asked"),
	TEXT("socks_password", NULLED | SCHEMA_SECRET, 255, "socks5, in requests: of socks_user; 16 bytes at least"),
	TEXT("socks_allow", NULLED, MAPPING_SOCKS_ALLOW_SIZE - 1,
		"socks5: what may be reached, as an agent's allow: names and ranges with ports, by comma; null: what "
		"the agent lets"),
	TEXT("group", NULLED, PROTO_NAME_SIZE - 1, "name or id of the group of relays; default \"default\""),
	TEXT("group_id", ANSWER, PROTO_ID_SIZE, "id of that group"),
	TEXT("node", NULLED, PROTO_NAME_SIZE - 1, "name or id of one relay of the group; null: all of them"),
	TEXT("node_id", ANSWER | NULLED, PROTO_ID_SIZE, "id of that relay"),
	PICK("status", NULLED, wishes, "the wish; answers also have pending and error"),
	{ .name = "error", .type = SCHEMA_ANY, .flags = ANSWER | NULLED, .help = "by node: code and message" },
	PART("limits", NULLED, &limits_schema, "limits of the mapping on each relay"),
	RANGES("allow", "CIDRs that may connect; empty: everyone"),
	RANGES("deny", "CIDRs that may not; wins over allow"),
	PICK("proxy_protocol", NULLED, proxies, "header that tells the target who the client is"),
	FLAG("proxy_every_datagram", NULLED, "udp: the header goes before every datagram, not only a session's first"),
	PART("accept_proxy_protocol", NULLED, &accept_proxy_schema, "PROXY headers from balancers in front (tcp)"),
	PART("timeouts", NULLED, &timeouts_schema, "durations as \"30s\" or in seconds"),
	SPAN("keepalive", "interval of TCP keepalive probes; 0: none; default 30s"),
	PICK("transport", NULLED, transports,
		"of tcp to the client: streams of shared links (mux), a link for each connection, or that when they "
		"carry much (auto)"),
	PICK("compression", NULLED, compressions,
		"of tcp on its way to the client and back; docs/security.md says when not to"),
	PART("health", NULLED, &health_schema,
		"how each agent of target_client_id checks the target (of a range its first port)"),
	PICK("on_delete", NULLED, policies, "what happens to connections when the mapping goes; default drain"),
	SPAN("drain", "with on_delete drain: how long they may go on; default 30s"),
	WHOLE("udp_amplification_limit", NULLED, 0, 1000000,
		"udp: bytes answered for each byte received, in every session; 0: no limit; default 0"),
	FLAG("hot", NULLED, "a busy port: every worker of a relay listens on it"),
	TIME("expires_at", NULLED, "the relays end it then by themselves; null: never"),
	{ .name = "traffic_stats",
		.type = SCHEMA_ANY,
		.flags = ANSWER,
		.help = "what passed, seen from the tunnel port" },
	WHOLE("version", ANSWER, 0, 0, "rises with each change; the ETag"),
	TIME("created_at", ANSWER, "RFC 3339"),
	TIME("updated_at", ANSWER, "RFC 3339"),
};
const struct schema mapping_schema = { "Mapping", mapping_fields, ARRAY_LEN(mapping_fields), false };

static const struct schema_field own_fields[] = {
	TEXT("name", NULLED, MAPPING_NAME_MAX, "for people"),
	PICK("protocol", SCHEMA_REQUIRED, own_protocols,
		"of the port and of the target; http and tls get a host name below the domain of the group"),
	WHOLE("source_port", NULLED, 0, 65535, "port on the relays; 0: a free one is picked"),
	{ .name = "target_host",
		.type = SCHEMA_STRING,
		.flags = NULLED,
		.max = MAPPING_HOST_SIZE - 1,
		.format = SCHEMA_FORMAT_HOST,
		.help = "that the agent dials; default 127.0.0.1" },
	WHOLE("target_port", SCHEMA_REQUIRED, 1, 65535, "that the agent dials"),
	RANGES("allow", "CIDRs that may connect; empty: everyone"),
	PICK("compression", NULLED, compressions, "of tcp on its way to the client and back"),
};
const struct schema mapping_own_schema = { "OwnMapping", own_fields, ARRAY_LEN(own_fields), false };

static const char *const statuses[] = { "pending", "active", "error", "inactive", NULL };
static const char *const types[] = { "standard", NULL };

static const struct schema_field list_query_fields[] = {
	TEXT("user_id", 0, PROTO_ID_SIZE, "of this user"),
	WHOLE("target_client_id", 0, 1, CLIENT_ID_MAX - 1, "that this client serves"),
	PICK("type", 0, types, "of this type"),
	PICK("protocol", 0, protocols, "of this protocol"),
	PICK("status", 0, statuses, "that stand like this now"),
	TEXT("group", 0, PROTO_NAME_SIZE, "placed on this group, by name or id"),
	TEXT("node", 0, PROTO_NAME_SIZE, "placed on this very node, by name or id"),
	TEXT("q", 0, MAPPING_NAME_MAX, "beginning of the name or of the target's host, or the id"),
	WHOLE("limit", 0, 1, 200, "items in one answer; default 50"),
	TEXT("cursor", 0, PROTO_ID_SIZE, "next_cursor of the answer before"),
};
const struct schema mapping_list_query = { NULL, list_query_fields, ARRAY_LEN(list_query_fields), false };

static const struct schema_field of_client_query_fields[] = {
	PICK("status", 0, statuses, "that stand like this now"),
	WHOLE("limit", 0, 1, 200, "items in one answer; default 50"),
	TEXT("cursor", 0, PROTO_ID_SIZE, "next_cursor of the answer before"),
};
const struct schema mapping_of_client_query = { NULL, of_client_query_fields, ARRAY_LEN(of_client_query_fields),
	false };

static const struct schema_field list_fields[] = {
	{ .name = "items", .type = SCHEMA_ARRAY, .sub = &mapping_schema },
	TEXT("next_cursor", NULLED, PROTO_ID_SIZE, "null: this was the last page"),
};
const struct schema mapping_list_schema = { "MappingList", list_fields, ARRAY_LEN(list_fields), false };
