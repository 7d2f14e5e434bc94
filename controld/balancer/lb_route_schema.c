#include "common/net/cidr.h"
#include "controld/balancer/lb_route_input.h"
#include "controld/balancer/lb_schema.h"
#include "proto/route_conf.h"

#define LIST(n, most, s, h)                                                                        \
	{                                                                                          \
		.name = n, .type = SCHEMA_ARRAY, .flags = NULLED, .max = most, .sub = s, .help = h \
	}
#define WORDS(n, most, c, h)                                                                               \
	{                                                                                                  \
		.name = n, .type = SCHEMA_ARRAY, .flags = NULLED, .max = most, .item_type = SCHEMA_STRING, \
		.choices = c, .help = h                                                                    \
	}
#define RANGES(n, h)                                                                                      \
	{                                                                                                 \
		.name = n, .type = SCHEMA_ARRAY, .flags = NULLED, .max = 256, .item_type = SCHEMA_STRING, \
		.format = SCHEMA_FORMAT_CIDR, .help = h                                                   \
	}
#define ANY(n, f, h)                                                 \
	{                                                            \
		.name = n, .type = SCHEMA_ANY, .flags = f, .help = h \
	}

static const char *const methods[] = { "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
	NULL };
static const char *const wishes[] = { "active", "inactive", "pending", "error", NULL };
static const char *const rate_keys[] = { "source", "all", "header", NULL };
static const char *const auth_modes[] = { "none", "optional", "required", NULL };
static const char *const retry_reasons[] = { "connect", "reset", "timeout", "5xx", NULL };

static const struct schema_field want_fields[] = {
	TEXT("name", SCHEMA_REQUIRED, 127, "of a field that a request must have"),
	TEXT("value", NULLED, ROUTE_VALUE_SIZE - 1, "exactly; null: it only has to be there"),
};
static const struct schema want_schema = { "RouteHeader", want_fields, ARRAY_LEN(want_fields), false };

static const struct schema_field target_fields[] = {
	TEXT("pool", SCHEMA_REQUIRED, LB_POOL_NAME_MAX, "name of a pool"),
	{ .name = "weight",
		.type = SCHEMA_INT,
		.flags = SCHEMA_REQUIRED,
		.min = 0,
		.max = ROUTE_WEIGHT_MAX,
		.help = "its share of the requests" },
};
static const struct schema target_schema = { "RouteTarget", target_fields, ARRAY_LEN(target_fields), false };

static const struct schema_field redirect_fields[] = {
	{ .name = "status", .type = SCHEMA_INT, .min = 301, .max = 308, .help = "301, 302, 303, 307 or 308" },
	TEXT("location", SCHEMA_REQUIRED, ROUTE_VALUE_SIZE - 1,
		"a path or a URL; {host}, {path} and {query} (with its '?') are put in"),
};
static const struct schema redirect_schema = { "RouteRedirect", redirect_fields, ARRAY_LEN(redirect_fields), false };

static const struct schema_field rewrite_fields[] = {
	TEXT("prefix", NULLED, ROUTE_PATH_SIZE - 1, "stands for path_prefix in what the backend is asked"),
	TEXT("host", NULLED, HOST_NAME_SIZE - 1, "Host of what the backend is asked; \"\": as it came"),
};
static const struct schema rewrite_schema = { "RouteRewrite", rewrite_fields, ARRAY_LEN(rewrite_fields), false };

static const struct schema_field edits_fields[] = {
	ANY("set", NULLED, "{\"Name\": \"value\"}: instead of what is there"),
	ANY("add", NULLED, "{\"Name\": \"value\"}: besides what is there"),
	WORDS("remove", LB_ROUTE_EDITS_MAX, NULL, "names of fields that go"),
};
static const struct schema edits_schema = { "RouteHeaderEdits", edits_fields, ARRAY_LEN(edits_fields), false };

static const struct schema_field timeouts_fields[] = {
	SPAN("request", "from its head to the end of its answer; 0: none"),
	SPAN("response", "until the answer begins; 0: the pool's"),
	SPAN("idle", "without a byte either way; 0: the relay's"),
};
static const struct schema timeouts_schema = { "RouteTimeouts", timeouts_fields, ARRAY_LEN(timeouts_fields), false };

static const struct schema_field retries_fields[] = {
	WHOLE("max", 0, ROUTE_RETRIES_MAX, "attempts beside the first, within the pool's retry_budget; default 3"),
	WORDS("on", 4, retry_reasons,
		"connect: no connection; reset: it ended before an answer; timeout; 5xx: 502, 503 or 504. What was "
		"sent "
		"is sent again only if its method is idempotent"),
};
static const struct schema retries_schema = { "RouteRetries", retries_fields, ARRAY_LEN(retries_fields), false };

static const struct schema_field rate_fields[] = {
	WHOLE("per_second", 0, 10000000, "requests, on each relay; 0: no limit"),
	WHOLE("burst", 0, 10000000, "at once; 0: as many as per_second"),
	PICK("key", rate_keys,
		"who has a limit of his own: each source address, each value of a field, or all together"),
	TEXT("header", NULLED, 127, "name of that field"),
};
static const struct schema rate_schema = { "RouteRateLimit", rate_fields, ARRAY_LEN(rate_fields), false };

static const struct schema_field bandwidth_fields[] = {
	WHOLE("in", 0, INT64_MAX, "bytes per second from clients, on each relay; 0: no limit"),
	WHOLE("out", 0, INT64_MAX, "bytes per second to clients, on each relay; 0: no limit"),
};
static const struct schema bandwidth_schema = { "RouteBandwidth", bandwidth_fields, ARRAY_LEN(bandwidth_fields),
	false };

static const struct schema_field cors_fields[] = {
	WORDS("origins", ROUTE_ORIGINS_MAX, NULL, "as browsers send them, or \"*\""),
	WORDS("methods", 16, NULL, "default GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS"),
	WORDS("headers", 64, NULL, "that a request may have; default: those that it asks for"),
	WORDS("expose", 64, NULL, "fields of an answer that scripts may read"),
	{ .name = "credentials", .type = SCHEMA_BOOL, .flags = NULLED, .help = "cookies may come along" },
	WHOLE("max_age", 0, 86400, "seconds that an answer to a preflight holds; default 600"),
};
static const struct schema cors_schema = { "RouteCors", cors_fields, ARRAY_LEN(cors_fields), false };

static const struct schema_field gzip_fields[] = {
	FLAG("enabled", "answers are compressed for who takes that; docs/security.md says when not to"),
	WHOLE("level", 1, 9, "default 5"),
	WHOLE("min_size", 0, 1 << 30, "bytes of an answer; default 1024"),
	WORDS("types", 64, NULL, "media types; empty: text and what is like it"),
};
static const struct schema gzip_schema = { "RouteGzip", gzip_fields, ARRAY_LEN(gzip_fields), false };

static const struct schema_field mirror_fields[] = {
	TEXT("pool", SCHEMA_REQUIRED, LB_POOL_NAME_MAX, "that gets copies; its answers are thrown away"),
	{ .name = "percent", .type = SCHEMA_INT, .min = 0, .max = 100, .help = "of the requests; default 100" },
};
static const struct schema mirror_schema = { "RouteMirror", mirror_fields, ARRAY_LEN(mirror_fields), false };

static const struct schema_field page_fields[] = {
	{ .name = "status",
		.type = SCHEMA_INT,
		.flags = SCHEMA_REQUIRED,
		.min = 400,
		.max = 599,
		.help = "of an answer that the relay makes by itself" },
	TEXT("content_type", NULLED, 127, "default text/html; charset=utf-8"),
	TEXT("body", SCHEMA_REQUIRED, ROUTE_PAGE_MAX, "what is sent"),
};
static const struct schema page_schema = { "RouteErrorPage", page_fields, ARRAY_LEN(page_fields), false };

static const struct schema_field certificate_fields[] = {
	PICK("mode", auth_modes, "whether clients show a certificate; default none"),
	TEXT("ca", NULLED, ROUTE_CA_MAX - 1, "PEM of whom to believe"),
};
static const struct schema certificate_schema = { "RouteClientCertificate", certificate_fields,
	ARRAY_LEN(certificate_fields), false };

static const struct schema_field route_fields[] = {
	TEXT("id", ANSWER, PROTO_ID_SIZE, "rte_..."),
	TEXT("tenant_id", ANSWER, PROTO_ID_SIZE, "whose it is"),
	TEXT("user_id", ANSWER | NULLED, PROTO_ID_SIZE, "who made it"),
	{ .name = "host",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_REQUIRED,
		.min = 1,
		.max = HOST_NAME_SIZE,
		.help = "that a request asks for; \"*.\" and a name: all below it; \"*\": every host" },
	WORDS("aliases", LB_ROUTE_HOSTS_MAX - 1, NULL, "more hosts"),
	TEXT("path_prefix", NULLED, LB_ROUTE_PATH_SIZE - 1, "/api takes /api and /api/x; the longest wins; default /"),
	WORDS("methods", 9, methods, "empty: all"),
	LIST("headers", LB_ROUTE_FIELDS_MAX, &want_schema, "fields that a request must have"),
	WHOLE("priority", 0, 1000000, "of routes that ask for the same: the lower one first; default 100"),
	TEXT("pool", NULLED, LB_POOL_NAME_MAX, "name of the pool; null with targets or a redirect"),
	LIST("targets", LB_ROUTE_TARGETS_MAX, &target_schema, "a split over several pools, by weight"),
	{ .name = "ssl_enabled",
		.type = SCHEMA_BOOL,
		.flags = NULLED,
		.help = "also over TLS, on the relay's tls.listen; default false" },
	FLAG("https_only", "over TLS alone"),
	PART("redirect", &redirect_schema, "the relay answers by itself"),
	PART("rewrite", &rewrite_schema, "of what the backend is asked"),
	PART("request_headers", &edits_schema, "edits of the request"),
	PART("response_headers", &edits_schema, "edits of the answer"),
	PART("timeouts", &timeouts_schema, "durations as \"30s\" or in seconds"),
	PART("retries", &retries_schema, "when a request is tried again at another backend"),
	PART("rate_limit", &rate_schema, "requests beyond it are answered with 429"),
	PART("bandwidth", &bandwidth_schema, "over all requests of the route"),
	WHOLE("max_body", 0, INT64_MAX, "bytes of a request; more is answered with 413; 0: no limit"),
	WHOLE("max_requests", 0, 10000000, "at once, on each relay; 0: no limit"),
	RANGES("allow", "CIDRs that may ask; empty: everyone"),
	RANGES("deny", "CIDRs that may not; wins over allow"),
	PART("cors", &cors_schema, "the relay answers preflights and adds what browsers ask for"),
	PART("gzip", &gzip_schema, "compression of answers"),
	PART("mirror", &mirror_schema,
		"copies of requests go to another pool; nobody waits for them, and their answers are thrown away"),
	LIST("error_pages", LB_ROUTE_PAGES_MAX, &page_schema, "instead of the relay's own"),
	PART("client_certificate", &certificate_schema, "mutual TLS"),
	FLAG("access_log", "a line for each request in the relay's access log; default true"),
	TEXT("description", NULLED, 1024, "for people"),
	TEXT("group", NULLED, PROTO_NAME_SIZE - 1, "name or id of the group of relays; default \"default\""),
	TEXT("group_id", ANSWER, PROTO_ID_SIZE, "id of that group"),
	TEXT("node", NULLED, PROTO_NAME_SIZE - 1, "name or id of one relay of the group; null: all of them"),
	TEXT("node_id", ANSWER | NULLED, PROTO_ID_SIZE, "id of that relay"),
	PICK("status", wishes, "active or inactive: the wish; answers also have pending and error, which wish nothing"),
	ANY("error", ANSWER | NULLED, "by node: code and message"),
	{ .name = "version", .type = SCHEMA_INT, .flags = ANSWER, .help = "rises with each change; the ETag" },
	TIME("created_at", "RFC 3339"),
	TIME("updated_at", "RFC 3339"),
};
const struct schema lb_route_schema = { "Route", route_fields, ARRAY_LEN(route_fields), false };

static const struct schema_field list_query_fields[] = {
	TEXT("host", 0, HOST_NAME_SIZE, "for this very host"),
	TEXT("pool", 0, LB_POOL_NAME_MAX, "that use this pool, by name or id"),
	TEXT("group", 0, PROTO_NAME_SIZE, "placed on this group, by name or id"),
	{ .name = "limit", .type = SCHEMA_INT, .min = 1, .max = 200, .help = "items in one answer; default 50" },
	TEXT("cursor", 0, PROTO_ID_SIZE, "next_cursor of the answer before"),
};
const struct schema lb_route_list_query = { NULL, list_query_fields, ARRAY_LEN(list_query_fields), false };

static const struct schema_field list_fields[] = {
	{ .name = "routes", .type = SCHEMA_ARRAY, .sub = &lb_route_schema },
	TEXT("next_cursor", NULLED, PROTO_ID_SIZE, "null: this was the last page"),
};
const struct schema lb_route_list_schema = { "RouteList", list_fields, ARRAY_LEN(list_fields), false };
