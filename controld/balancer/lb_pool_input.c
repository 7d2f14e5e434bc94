#include "controld/balancer/lb_pool_input.h"
#include "controld/balancer/lb_schema.h"

#include "common/base/str.h"
#include "common/net/addr.h"
#include "proto/conf_mem.h"
#include "proto/health_conf.h"
#include "proto/mapping_conf.h"
#include "proto/pool_conf.h"

#include <inttypes.h>
#include <string.h>

#define MINUTE 60000
#define HOUR   3600000
#define DAY    86400000

#define EXPECTED_MAX 16 /* statuses that are good */
#define BODY_MAX     256

#define TIMEOUT_DEFAULT_MS 5000 /* of a health check, if its interval is no shorter */

/* ---- the table ---------------------------------------------------------------------------------------------------- */

#define HEALTH_CODE ERR_HEALTH_CHECK
/* name, kind, default number, default text, shortest, longest, code */
#define HEALTH_ROWS                                                                                        \
	{ "health_check.enabled", KNOB_BOOL, 1, NULL, 0, 0, HEALTH_CODE },                                 \
		{ "health_check.type", KNOB_TEXT, 0, "tcp", 0, 0, HEALTH_CODE },                           \
		{ "health_check.path", KNOB_TEXT, 0, "/", 0, 0, HEALTH_CODE },                             \
		{ "health_check.method", KNOB_TEXT, 0, "GET", 0, 0, HEALTH_CODE },                         \
		{ "health_check.host", KNOB_TEXT, 0, "", 0, 0, HEALTH_CODE },                              \
		{ "health_check.interval", KNOB_MS, 30000, NULL, 1000, HOUR, HEALTH_CODE },                \
		{ "health_check.timeout", KNOB_MS, 0, NULL, 100, MINUTE, HEALTH_CODE }, /* 0: see below */ \
		{ "health_check.rise", KNOB_INT, 2, NULL, 0, 0, HEALTH_CODE },                             \
		{ "health_check.fall", KNOB_INT, 3, NULL, 0, 0, HEALTH_CODE },                             \
		{ "health_check.expected_status", KNOB_JSON, 0, "null", 0, 0, HEALTH_CODE },               \
		{ "health_check.expected_body", KNOB_TEXT, 0, "", 0, 0, HEALTH_CODE },                     \
	{                                                                                                  \
		"health_check.service", KNOB_TEXT, 0, "", 0, 0, HEALTH_CODE                                \
	}

static const struct knob health_rows[] = { HEALTH_ROWS };
const struct knobs lb_health_knobs = { health_rows, ARRAY_LEN(health_rows), true };

static const struct knob rows[] = {
	{ "description", KNOB_TEXT, 0, "", 0, 0, ERR_NONE },
	{ "sticky_sessions", KNOB_BOOL, 0, NULL, 0, 0, ERR_NONE },
	{ "sticky.type", KNOB_TEXT, 0, "cookie", 0, 0, ERR_NONE },
	{ "sticky.cookie_name", KNOB_TEXT, 0, "portway_backend", 0, 0, ERR_NONE },
	{ "sticky.ttl", KNOB_MS, 0, NULL, 0, 365 * (int64_t)DAY, ERR_NONE },
	HEALTH_ROWS,
	{ "outlier.consecutive_errors", KNOB_INT, 5, NULL, 0, 0, ERR_NONE },
	{ "outlier.success_rate", KNOB_BOOL, 1, NULL, 0, 0, ERR_NONE },
	{ "outlier.ejection_time", KNOB_MS, 30000, NULL, 100, DAY, ERR_NONE },
	{ "outlier.max_ejection_time", KNOB_MS, 300000, NULL, 100, DAY, ERR_NONE },
	{ "outlier.max_ejected_percent", KNOB_INT, 50, NULL, 0, 0, ERR_NONE },
	{ "panic_threshold", KNOB_INT, 0, NULL, 0, 0, ERR_NONE },
	{ "queue.max", KNOB_INT, 100, NULL, 0, 0, ERR_NONE },
	{ "queue.timeout", KNOB_MS, 5000, NULL, 0, HOUR, ERR_NONE },
	{ "retry_budget.percent", KNOB_INT, 20, NULL, 0, 0, ERR_NONE },
	{ "retry_budget.per_second", KNOB_INT, 3, NULL, 0, 0, ERR_NONE },
	{ "slow_start", KNOB_MS, 0, NULL, 0, HOUR, ERR_NONE },
	{ "region_headroom", KNOB_INT, 140, NULL, 0, 0, ERR_NONE },
	{ "protocol", KNOB_TEXT, 0, "http1", 0, 0, ERR_NONE },
	{ "tls.enabled", KNOB_BOOL, 0, NULL, 0, 0, ERR_NONE },
	{ "tls.verify", KNOB_BOOL, 1, NULL, 0, 0, ERR_NONE },
	{ "tls.server_name", KNOB_TEXT, 0, "", 0, 0, ERR_NONE },
	{ "tls.ca", KNOB_TEXT, 0, "", 0, 0, ERR_NONE },
	{ "timeouts.connect", KNOB_MS, 10000, NULL, 100, 10 * MINUTE, ERR_NONE },
	{ "timeouts.response", KNOB_MS, 30000, NULL, 100, DAY, ERR_NONE },
	{ "proxy_protocol", KNOB_TEXT, 0, "none", 0, 0, ERR_NONE },
};
const struct knobs lb_pool_knobs = { rows, ARRAY_LEN(rows), false };

/* ---- taking ------------------------------------------------------------------------------------------------------- */

int lb_pool_init(struct lb_pool *p)
{
	memset(p, 0, sizeof *p);
	(void)str_copy(p->algorithm, sizeof p->algorithm, lb_pool_algorithms[0]);
	p->version = 1;
	p->settings = json_object();
	return p->settings != NULL ? 0 : -1;
}

static void take_name(struct lb_pool *p, const json_t *body, struct err_list *errs)
{
	const char *s = json_string_value(json_object_get(body, "name"));

	if (s == NULL)
		return;
	if (p->id[0] == '\0')
		(void)str_copy(p->name, sizeof p->name, s);
	else if (strcmp(p->name, s) != 0)
		err_list_add(errs, ERR_VALIDATION, "name", "immutable", s,
			"name: cannot change from '%s' to '%s', as routes name it; create another pool", p->name, s);
}

static void take_algorithm(struct lb_pool *p, const json_t *body, struct err_list *errs)
{
	const json_t *v = json_object_get(body, "algorithm");
	const char *s = json_is_null(v) ? lb_pool_algorithms[0] : json_string_value(v);

	if (v == NULL)
		return;
	for (size_t i = 0; lb_pool_algorithms[i] != NULL; i++)
		if (str_eq(lb_pool_algorithms[i], s)) {
			(void)str_copy(p->algorithm, sizeof p->algorithm, s);
			return;
		}
	err_list_add(errs, ERR_INVALID_ALGORITHM, "algorithm", "choice", s,
		"algorithm: '%.60s' must be one of round_robin, weighted_round_robin, least_connections, random_two, "
		"ip_hash, consistent_hash, peak_ewma, adaptive_ai",
		s);
}

void lb_health_take(const struct knobs *k, json_t *values, const json_t *body, struct err_list *errs)
{
	const json_t *check = json_object_get(body, "health_check");
	const json_t *path = json_object_get(check, "path");

	if (json_is_string(path) && json_object_get(check, "type") == NULL &&
		json_object_get(values, "health_check.type") == NULL)
		json_object_set_new(values, "health_check.type", json_string("http"));
	knobs_apply(k, values, body, errs);
}

static void refuse(const char *field, const char *value, const char *why, struct err_list *errs)
{
	err_list_add(errs, ERR_HEALTH_CHECK, field, "format", value, "%s: '%.80s' %s", field, value, why);
}

static bool is_status(const json_t *v)
{
	return json_is_integer(v) && json_integer_value(v) >= 100 && json_integer_value(v) <= 599;
}

/* One number, or a list of them. */
static void check_expected(const json_t *v, struct err_list *errs)
{
	const char *const field = "health_check.expected_status";
	const json_t *one;
	char value[96];
	size_t i;

	if (v == NULL || is_status(v))
		return;
	(void)str_fmt(value, sizeof value, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	if (!json_is_array(v)) {
		refuse(field, value, "must be a status from 100 to 599, or a list of them", errs);
		return;
	}
	if (json_array_size(v) > EXPECTED_MAX)
		refuse(field, "[...]", "has more than 16 items", errs);
	json_array_foreach(v, i, one)
	{
		(void)str_fmt(value, sizeof value, "%" JSON_INTEGER_FORMAT, json_integer_value(one));
		if (!is_status(one))
			refuse(field, value, "must be a status from 100 to 599", errs);
	}
}

/* Texts go to relays in so many bytes; schemas count characters. */
static void check_bytes(const json_t *values, const char *field, size_t room, struct err_list *errs)
{
	const char *s = json_string_value(json_object_get(values, field));

	if (s != NULL && strlen(s) >= room)
		refuse(field, s, "is too long, as letters outside of ASCII are two bytes or more", errs);
}

void lb_health_check(const json_t *values, struct err_list *errs)
{
	const char *path = json_string_value(json_object_get(values, "health_check.path"));
	const char *host = json_string_value(json_object_get(values, "health_check.host"));

	if (path != NULL && !health_path_ok(path))
		refuse("health_check.path", path, "must begin with '/' and have no blanks", errs);
	if (host != NULL && !conf_is_field_value(host))
		refuse("health_check.host", host, "is no value of a header field", errs);
	check_bytes(values, "health_check.host", MAPPING_HOST_SIZE, errs);
	check_bytes(values, "health_check.service", MAPPING_HOST_SIZE, errs);
	check_bytes(values, "health_check.expected_body", POOL_BODY_SIZE, errs);
	check_expected(json_object_get(values, "health_check.expected_status"), errs);
}

/* What a backend says of its own stands before what its pool says; 0: nobody says it. */
static int64_t said(const json_t *own, const json_t *pool, const char *name)
{
	return knobs_number(&lb_health_knobs, json_object_get(own, name) != NULL ? own : pool, name);
}

int64_t lb_health_timeout_ms(const json_t *own, const json_t *pool)
{
	const int64_t timeout = said(own, pool, "health_check.timeout");

	return MIN(timeout != 0 ? timeout : TIMEOUT_DEFAULT_MS, said(own, pool, "health_check.interval"));
}

struct misfit {
	bool timeout, interval; /* which of the two is the backend's own */
	char lasts[KNOBS_DURATION_SIZE], every[KNOBS_DURATION_SIZE];
};

static bool misfits(const json_t *own, const json_t *pool, struct misfit *m)
{
	const int64_t timeout = said(own, pool, "health_check.timeout");
	const int64_t interval = said(own, pool, "health_check.interval");

	m->timeout = json_object_get(own, "health_check.timeout") != NULL;
	m->interval = json_object_get(own, "health_check.interval") != NULL;
	knobs_duration(m->lasts, timeout);
	knobs_duration(m->every, interval);
	return timeout > interval;
}

static void say_longer(const struct misfit *m, const char *of, struct err_list *errs)
{
	err_list_add(errs, ERR_HEALTH_CHECK, "health_check.timeout", "combination", m->lasts,
		"health_check.timeout: '%s' is longer than the interval%s, which is %s", m->lasts, of, m->every);
}

static void say_shorter(const struct misfit *m, const char *of, struct err_list *errs)
{
	err_list_add(errs, ERR_HEALTH_CHECK, "health_check.interval", "combination", m->every,
		"health_check.interval: '%s' is shorter than the timeout%s, which is %s", m->every, of, m->lasts);
}

static bool is_known(const struct err_list *errs)
{
	return !err_list_has(errs, "health_check.interval") && !err_list_has(errs, "health_check.timeout");
}

void lb_health_fit(const json_t *own, const json_t *pool, struct err_list *errs)
{
	struct misfit m;

	if (!is_known(errs) || !misfits(own, pool, &m))
		return;
	if (m.interval && !m.timeout)
		say_shorter(&m, " of the pool", errs);
	else
		say_longer(&m, m.timeout && !m.interval ? " of the pool" : "", errs);
}

void lb_health_fit_backend(const char *id, const json_t *own, const json_t *pool, struct err_list *errs)
{
	struct misfit m;
	char of[48];

	if (!is_known(errs) || !misfits(own, pool, &m) || m.interval == m.timeout)
		return;
	(void)str_fmt(of, sizeof of, " of backend %s", id);
	if (m.timeout)
		say_shorter(&m, of, errs);
	else
		say_longer(&m, of, errs);
}

static void need(bool ok, const char *field, const char *value, const char *why, struct err_list *errs)
{
	if (!ok)
		err_list_add(errs, ERR_VALIDATION, field, "combination", value, "%s: '%s' %s", field, value, why);
}

/* As cookies are named (RFC 6265 section 4.1.1): a token. */
static bool is_token(const char *s)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~";

	return *s != '\0' && s[strspn(s, letters)] == '\0';
}

static void check(const struct lb_pool *p, const json_t *body, struct err_list *errs)
{
	const struct knobs *k = &lb_pool_knobs;
	const char *cookie = knobs_text(k, p->settings, "sticky.cookie_name");
	const char *name = knobs_text(k, p->settings, "tls.server_name");
	const char *ca = knobs_text(k, p->settings, "tls.ca"), *proto = knobs_text(k, p->settings, "protocol");
	const bool tls = knobs_number(k, p->settings, "tls.enabled") != 0;

	lb_health_check(p->settings, errs);
	if (json_object_get(body, "health_check") != NULL)
		lb_health_fit(NULL, p->settings, errs);
	need(is_token(cookie), "sticky.cookie_name", cookie, "is no name of a cookie", errs);
	need(name[0] == '\0' || addr_is_host(name), "tls.server_name", name, "is no host name", errs);
	need(ca[0] == '\0' || (strstr(ca, "-----BEGIN CERTIFICATE-----") != NULL && strlen(ca) <= POOL_CA_MAX),
		"tls.ca", "...", "must be certificates in PEM", errs);
	if (err_list_has(errs, "tls.enabled") || err_list_has(errs, "protocol"))
		return;
	need(!tls || strcmp(proto, "h2c") != 0, "protocol", proto, "is HTTP/2 without TLS, and tls is enabled; use h2",
		errs);
	need(tls || strcmp(proto, "h2") != 0, "protocol", proto, "needs tls.enabled; without TLS it is h2c", errs);
}

/* As with other settings: what is sent back as it was shown stays what nobody has said. */
static void forget_default(json_t *values)
{
	static const char name[] = "health_check.timeout";
	const json_int_t timeout = json_integer_value(json_object_get(values, name));

	if (timeout == MIN(TIMEOUT_DEFAULT_MS, said(NULL, values, "health_check.interval")))
		json_object_del(values, name);
}

void lb_pool_apply(struct lb_pool *p, const json_t *body, struct err_list *errs)
{
	if (p->id[0] == '\0' && json_array_size(json_object_get(body, "backends")) > 0)
		err_list_add(errs, ERR_VALIDATION, "backends", "read_only", "[...]",
			"backends: are added one by one, with POST /api/backends");
	take_name(p, body, errs);
	take_algorithm(p, body, errs);
	lb_health_take(&lb_pool_knobs, p->settings, body, errs);
	forget_default(p->settings);
	check(p, body, errs);
}

/* ---- schemas ------------------------------------------------------------------------------------------------------ */

#define ANY(n, h)                                                                  \
	{                                                                          \
		.name = n, .type = SCHEMA_ANY, .flags = ANSWER | NULLED, .help = h \
	}

static const char *const check_types[] = { "tcp", "http", "grpc", "tls", NULL };
static const char *const check_methods[] = { "GET", "HEAD", "OPTIONS", NULL };
static const char *const sticky_types[] = { "cookie", "source", NULL };
static const char *const protocols[] = { "http1", "h2", "h2c", NULL };
static const char *const proxies[] = { "none", "v1", "v2", NULL };

static const struct schema_field health_fields[] = {
	FLAG("enabled", "default true"),
	PICK("type", check_types,
		"tcp: it accepts a connection; tls: and a handshake; http: it answers; grpc: grpc.health.v1 says "
		"SERVING; "
		"default tcp, with a path http"),
	TEXT("path", NULLED, HEALTH_PATH_SIZE - 1, "http: that is asked for; default /"),
	PICK("method", check_methods, "http: default GET"),
	TEXT("host", NULLED, 253, "http: the Host that is asked for; \"\": the backend's"),
	SPAN("interval", "between two checks, from 1s to 1h; default 30s"),
	SPAN("timeout", "of one check, from 100ms to 60s, at most the interval; default 5s, or the interval if that is "
			"shorter"),
	WHOLE("rise", 1, HEALTH_TURNS_MAX, "good results in a row that make it up; default 2"),
	WHOLE("fall", 1, HEALTH_TURNS_MAX, "bad results in a row that make it down; default 3"),
	{ .name = "expected_status",
		.type = SCHEMA_ANY,
		.flags = NULLED,
		.help = "http: status that is good, or a list of up to 16; null: 200 to 399" },
	TEXT("expected_body", NULLED, BODY_MAX - 1, "http: must be found in the first 64 KiB of the answer"),
	TEXT("service", NULLED, 127, "grpc: the service that is asked about; \"\": the server as a whole"),
};
const struct schema lb_health_schema = { "HealthCheck", health_fields, ARRAY_LEN(health_fields), false };

static const struct schema_field sticky_fields[] = {
	PICK("type", sticky_types, "cookie: one that relays set and sign; source: the client's address"),
	TEXT("cookie_name", NULLED, 63, "default portway_backend"),
	SPAN("ttl", "of the cookie; 0: until the browser is closed; default 0"),
};
static const struct schema sticky_schema = { "PoolSticky", sticky_fields, ARRAY_LEN(sticky_fields), false };

static const struct schema_field outlier_fields[] = {
	WHOLE("consecutive_errors", 0, 1000, "failed requests in a row after which a backend is put aside; 0: never"),
	FLAG("success_rate", "also one whose success rate is far below that of the others; default true"),
	SPAN("ejection_time", "times how often it was put aside of late; default 30s"),
	SPAN("max_ejection_time", "at most; default 300s"),
	WHOLE("max_ejected_percent", 0, 100, "of the backends that may be put aside at once; default 50"),
};
static const struct schema outlier_schema = { "PoolOutlier", outlier_fields, ARRAY_LEN(outlier_fields), false };

static const struct schema_field queue_fields[] = {
	WHOLE("max", 0, 100000, "requests that wait for a place when all backends are full, on each worker of a relay"),
	SPAN("timeout", "how long; then 503; default 5s"),
};
static const struct schema queue_schema = { "PoolQueue", queue_fields, ARRAY_LEN(queue_fields), false };

static const struct schema_field retry_fields[] = {
	WHOLE("percent", 0, 100, "of requests that may be tried again; default 20"),
	WHOLE("per_second", 0, 10000, "besides; default 3"),
};
static const struct schema retry_schema = { "PoolRetryBudget", retry_fields, ARRAY_LEN(retry_fields), false };

static const struct schema_field tls_fields[] = {
	FLAG("enabled", "TLS to the backends"),
	FLAG("verify", "their certificates; default true"),
	TEXT("server_name", NULLED, 253, "in the handshake and the certificate; \"\": the backend's host"),
	TEXT("ca", NULLED, 65535, "PEM of whom to believe; \"\": the authorities of the relay's system"),
};
static const struct schema tls_schema = { "PoolTls", tls_fields, ARRAY_LEN(tls_fields), false };

static const struct schema_field timeouts_fields[] = {
	SPAN("connect", "for reaching a backend; default 10s"),
	SPAN("response", "until its answer begins, and between two pieces of it; default 30s"),
};
static const struct schema timeouts_schema = { "PoolTimeouts", timeouts_fields, ARRAY_LEN(timeouts_fields), false };

static const struct schema_field pool_fields[] = {
	TEXT("id", ANSWER, PROTO_ID_SIZE, "pol_..."),
	TEXT("tenant_id", ANSWER, PROTO_ID_SIZE, "whose it is"),
	TEXT("user_id", ANSWER | NULLED, PROTO_ID_SIZE, "who made it"),
	{ .name = "name",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_REQUIRED,
		.min = 1,
		.max = LB_POOL_NAME_MAX,
		.format = SCHEMA_FORMAT_NAME,
		.help = "unique in the tenant; cannot change later" },
	TEXT("algorithm", NULLED, 64,
		"round_robin (default), weighted_round_robin, least_connections, random_two, ip_hash, consistent_hash, "
		"peak_ewma or adaptive_ai"),
	TEXT("description", NULLED, 1024, "for people"),
	FLAG("sticky_sessions", "a client stays at its backend; default false"),
	PART("sticky", &sticky_schema, "by what it is known again"),
	PART("health_check", &lb_health_schema, "how each relay checks the backends"),
	PART("outlier", &outlier_schema, "backends that are put aside because of how they answer requests"),
	WHOLE("panic_threshold", 0, 100,
		"percent of the weight that must be up for health to be believed; below it all are used; 0: never"),
	PART("queue", &queue_schema, "what happens when all backends are full"),
	PART("retry_budget", &retry_schema, "how many requests may be tried again"),
	SPAN("slow_start", "a backend that came up gets its share by and by, over this time; default 0"),
	WHOLE("region_headroom", 100, 1000,
		"percent that the backends of the nearest region bear before others are asked; default 140"),
	PICK("protocol", protocols, "that backends speak; default http1"),
	PART("tls", &tls_schema, "TLS to the backends"),
	PART("timeouts", &timeouts_schema, "durations as \"30s\" or in seconds"),
	PICK("proxy_protocol", proxies, "header that tells a backend who the client is; default none"),
	ANY("backends", "its backends"),
	TEXT("status", ANSWER, 16, "of the relays: active, pending or error"),
	ANY("error", "by node: code and message"),
	{ .name = "version", .type = SCHEMA_INT, .flags = ANSWER, .help = "rises with each change; the ETag" },
	TIME("created_at", "RFC 3339"),
	TIME("updated_at", "RFC 3339"),
};
const struct schema lb_pool_schema = { "Pool", pool_fields, ARRAY_LEN(pool_fields), false };

static const struct schema_field list_query_fields[] = {
	TEXT("algorithm", 0, 64, "of this algorithm"),
	TEXT("q", 0, LB_POOL_NAME_MAX, "beginning of the name"),
	{ .name = "limit", .type = SCHEMA_INT, .min = 1, .max = 200, .help = "items in one answer; default 50" },
	TEXT("cursor", 0, PROTO_ID_SIZE, "next_cursor of the answer before"),
};
const struct schema lb_pool_list_query = { NULL, list_query_fields, ARRAY_LEN(list_query_fields), false };

static const struct schema_field list_fields[] = {
	{ .name = "pools", .type = SCHEMA_ARRAY, .sub = &lb_pool_schema },
	TEXT("next_cursor", NULLED, PROTO_ID_SIZE, "null: this was the last page"),
};
const struct schema lb_pool_list_schema = { "PoolList", list_fields, ARRAY_LEN(list_fields), false };
