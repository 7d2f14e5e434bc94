/*
 * conf_json - bodies of pools and routes from JSON, for tests: members have the names of the structs' fields, what is left out has a
 * value that suits a test.
 *
 * Nothing is released: a test tool lives shortly.
 */
#ifndef PORTWAY_TESTS_LIB_CONF_JSON_H
#define PORTWAY_TESTS_LIB_CONF_JSON_H

#include "common/http/http.h"
#include "common/net/cidr.h"
#include "proto/pool_conf.h"
#include "proto/route_conf.h"
#include "proto/update.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static inline const char *conf_json_text(const json_t *j, const char *key, const char *otherwise)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s != NULL ? strdup(s) : otherwise;
}

static inline uint32_t conf_json_u32(const json_t *j, const char *key, uint32_t otherwise)
{
	const json_t *v = json_object_get(j, key);

	return json_is_integer(v) ? (uint32_t)json_integer_value(v) : otherwise;
}

static inline bool conf_json_bool(const json_t *j, const char *key, bool otherwise)
{
	const json_t *v = json_object_get(j, key);

	return v != NULL ? json_is_true(v) : otherwise;
}

static inline uint8_t conf_json_kind(const char *kind)
{
	return strcmp(kind, "pool") == 0 ? OBJECT_POOL : strcmp(kind, "route") == 0 ? OBJECT_ROUTE : OBJECT_MAPPING;
}

static inline uint8_t conf_json_algorithm(const char *name)
{
	for (uint8_t a = POOL_ROUND_ROBIN; a <= POOL_ADAPTIVE_AI; a++)
		if (strcmp(pool_algorithm_name(a), name) == 0)
			return a;
	abort();
}

static inline void conf_json_ranges(struct mapping_cidrs *out, const json_t *list)
{
	out->n = (uint32_t)json_array_size(list);
	out->items = calloc(out->n + 1, sizeof *out->items);
	for (uint32_t i = 0; i < out->n; i++)
		if (cidr_parse(&out->items[i], json_string_value(json_array_get(list, i))) != 0)
			abort();
}

static inline void conf_json_backends(struct pool_conf *p, const json_t *list)
{
	p->n_backends = (uint32_t)json_array_size(list);
	p->backends = calloc(p->n_backends + 1, sizeof *p->backends);
	for (uint32_t i = 0; i < p->n_backends; i++) {
		const json_t *j = json_array_get(list, i);

		p->backends[i] = (struct pool_backend){ .id = conf_json_text(j, "id", "b"),
			.host = conf_json_text(j, "host", "127.0.0.1"),
			.client = conf_json_text(j, "client", ""),
			.region = conf_json_text(j, "region", ""),
			.port = (uint16_t)conf_json_u32(j, "port", 80),
			.backup = conf_json_bool(j, "backup", false),
			.dial_any = conf_json_bool(j, "dial_any", true),
			.weight = conf_json_u32(j, "weight", 1),
			.max_connections = conf_json_u32(j, "max_connections", 0) };
	}
}

static inline void conf_json_health(struct pool_health *h, const json_t *j)
{
	static const char *const types[] = { "none", "tcp", "http", "grpc", "tls" };
	const char *type = conf_json_text(j, "type", "none");

	for (uint8_t i = 0; i < 5; i++)
		if (strcmp(types[i], type) == 0)
			h->type = i;
	h->interval_ms = conf_json_u32(j, "interval_ms", 1000);
	h->timeout_ms = conf_json_u32(j, "timeout_ms", 1000);
	h->rise = conf_json_u32(j, "rise", 1);
	h->fall = conf_json_u32(j, "fall", 1);
	h->method = conf_json_text(j, "method", "GET");
	h->path = conf_json_text(j, "path", "/");
	h->host = conf_json_text(j, "host", "");
	h->service = conf_json_text(j, "service", "");
	h->body = conf_json_text(j, "body", "");
}

static inline void conf_json_pool(struct buf *b, const json_t *j)
{
	static const char *const stickies[] = { "none", "cookie", "source" }, *const protocols[] = { "http1", "h2",
		"h2c" };
	struct pool_conf p = { .name = "pool",
		.algorithm = conf_json_algorithm(conf_json_text(j, "algorithm", "round_robin")),
		.cookie = conf_json_text(j, "cookie", ""),
		.sticky_ttl_s = conf_json_u32(j, "sticky_ttl_s", 0),
		.panic_percent = conf_json_u32(j, "panic_percent", 0),
		.headroom_percent = conf_json_u32(j, "headroom_percent", 140),
		.slow_start_ms = conf_json_u32(j, "slow_start_ms", 0),
		.queue_max = conf_json_u32(j, "queue_max", 0),
		.queue_timeout_ms = conf_json_u32(j, "queue_timeout_ms", 1000),
		.retry_percent = conf_json_u32(j, "retry_percent", 20),
		.retry_per_second = conf_json_u32(j, "retry_per_second", 10),
		.tls = conf_json_bool(j, "tls", false),
		.tls_verify = conf_json_bool(j, "tls_verify", false),
		.server_name = conf_json_text(j, "server_name", ""),
		.ca = conf_json_text(j, "ca", ""),
		.connect_timeout_ms = conf_json_u32(j, "connect_timeout_ms", 0),
		.response_timeout_ms = conf_json_u32(j, "response_timeout_ms", 0),
		.idle_timeout_ms = conf_json_u32(j, "idle_timeout_ms", 0),
		.idle_max = conf_json_u32(j, "idle_max", 0),
		.proxy_out = (uint8_t)conf_json_u32(j, "proxy_out", 0),
		.dial_any = conf_json_bool(j, "dial_any", false) };
	const json_t *o = json_object_get(j, "outlier");

	p.outlier = (struct pool_outlier){ conf_json_u32(o, "failures_in_row", 0), conf_json_u32(o, "deviations", 0),
		conf_json_u32(o, "min_answers", 0), conf_json_u32(o, "min_targets", 0),
		conf_json_u32(o, "base_ms", 1000), conf_json_u32(o, "max_ms", 10000),
		conf_json_u32(o, "max_percent", 50) };
	for (uint8_t i = 0; i < 3; i++) {
		if (strcmp(stickies[i], conf_json_text(j, "sticky", "none")) == 0)
			p.sticky = i;
		if (strcmp(protocols[i], conf_json_text(j, "protocol", "http1")) == 0)
			p.protocol = i;
	}
	memset(p.secret, 7, sizeof p.secret);
	conf_json_health(&p.health, json_object_get(j, "health"));
	conf_json_ranges(&p.dial_allow, json_object_get(j, "dial_allow"));
	conf_json_backends(&p, json_object_get(j, "backends"));
	pool_conf_encode(&p, b);
}

static inline uint32_t conf_json_methods(const json_t *list)
{
#define X(name) #name,
	static const char *const names[] = { "", HTTP_METHODS(X) };
#undef X
	uint32_t bits = 0;

	for (size_t i = 0; i < json_array_size(list); i++)
		for (uint32_t m = 1; m < ARRAY_LEN(names); m++)
			if (strcmp(names[m], json_string_value(json_array_get(list, i))) == 0)
				bits |= 1u << m;
	return bits;
}

static inline struct route_rule *conf_json_rules(const json_t *list, uint32_t *n)
{
	static const char *const ops[] = { "set", "add", "remove" };
	struct route_rule *rules = calloc(json_array_size(list) + 1, sizeof *rules);

	*n = (uint32_t)json_array_size(list);
	for (uint32_t i = 0; i < *n; i++) {
		const json_t *j = json_array_get(list, i);

		rules[i].name = conf_json_text(j, "name", "x");
		rules[i].value = conf_json_text(j, "value", "");
		for (uint8_t op = 0; op < 3; op++)
			if (strcmp(ops[op], conf_json_text(j, "op", "set")) == 0)
				rules[i].op = op;
	}
	return rules;
}

static inline const char **conf_json_texts(const json_t *list, uint32_t *n)
{
	const char **texts = calloc(json_array_size(list) + 1, sizeof(*texts));

	*n = (uint32_t)json_array_size(list);
	for (uint32_t i = 0; i < *n; i++)
		texts[i] = strdup(json_string_value(json_array_get(list, i)));
	return texts;
}

static inline void conf_json_extras(struct route_conf *r, const json_t *j)
{
	const json_t *rate = json_object_get(j, "rate"), *cors = json_object_get(j, "cors"),
		     *gzip = json_object_get(j, "gzip"), *pages = json_object_get(j, "pages");

	r->rate = (struct route_rate){ conf_json_u32(rate, "per_second", 0), conf_json_u32(rate, "burst", 1),
		(uint8_t)conf_json_u32(rate, "key", 0), conf_json_text(rate, "field", "") };
	r->cors = (struct route_cors){ .on = cors != NULL,
		.credentials = conf_json_bool(cors, "credentials", false),
		.max_age_s = conf_json_u32(cors, "max_age_s", 600),
		.methods = conf_json_text(cors, "methods", "GET, POST"),
		.headers = conf_json_text(cors, "headers", ""),
		.expose = conf_json_text(cors, "expose", "") };
	r->cors.origins = conf_json_texts(json_object_get(cors, "origins"), &r->cors.n_origins);
	r->gzip = (struct route_gzip){ gzip != NULL, (uint8_t)conf_json_u32(gzip, "level", 6),
		conf_json_u32(gzip, "min_bytes", 0), conf_json_text(gzip, "types", "") };
	r->n_pages = (uint32_t)json_array_size(pages);
	r->pages = calloc(r->n_pages + 1, sizeof *r->pages);
	for (uint32_t i = 0; i < r->n_pages; i++) {
		const json_t *page = json_array_get(pages, i);

		r->pages[i] = (struct route_page){ (uint16_t)conf_json_u32(page, "status", 503),
			conf_json_text(page, "type", "text/html"), conf_json_text(page, "body", "") };
	}
}

static inline void conf_json_route(struct buf *b, const json_t *j)
{
	const json_t *targets = json_object_get(j, "targets"), *fields = json_object_get(j, "fields");
	struct route_conf r = { .name = "route",
		.enabled = conf_json_bool(j, "enabled", true),
		.priority = conf_json_u32(j, "priority", 0),
		.path_prefix = conf_json_text(j, "path_prefix", ""),
		.methods = conf_json_methods(json_object_get(j, "methods")),
		.ssl = (uint8_t)conf_json_u32(j, "ssl", 0),
		.redirect_status = (uint16_t)conf_json_u32(j, "redirect_status", 0),
		.redirect_to = conf_json_text(j, "redirect_to", ""),
		.rewrite = conf_json_bool(j, "rewrite", false),
		.rewrite_prefix = conf_json_text(j, "rewrite_prefix", ""),
		.rewrite_host = conf_json_text(j, "rewrite_host", ""),
		.request_timeout_ms = conf_json_u32(j, "request_timeout_ms", 0),
		.response_timeout_ms = conf_json_u32(j, "response_timeout_ms", 0),
		.idle_timeout_ms = conf_json_u32(j, "idle_timeout_ms", 0),
		.retries = conf_json_u32(j, "retries", 0),
		.retry_on = conf_json_u32(j, "retry_on", ROUTE_RETRY_ALL),
		.max_body = conf_json_u32(j, "max_body", 0),
		.rate_out = conf_json_u32(j, "rate_out", 0),
		.max_in_flight = conf_json_u32(j, "max_in_flight", 0),
		.mirror_pool = conf_json_text(j, "mirror_pool", ""),
		.mirror_percent = conf_json_u32(j, "mirror_percent", 0),
		.access_log = conf_json_bool(j, "access_log", false) };

	r.hosts = conf_json_texts(json_object_get(j, "hosts"), &r.n_hosts);
	r.n_targets = (uint32_t)json_array_size(targets);
	r.targets = calloc(r.n_targets + 1, sizeof *r.targets);
	for (uint32_t i = 0; i < r.n_targets; i++) {
		r.targets[i].pool = conf_json_text(json_array_get(targets, i), "pool", "p");
		r.targets[i].weight = conf_json_u32(json_array_get(targets, i), "weight", 1);
	}
	r.n_fields = (uint32_t)json_array_size(fields);
	r.fields = calloc(r.n_fields + 1, sizeof *r.fields);
	for (uint32_t i = 0; i < r.n_fields; i++) {
		r.fields[i].name = conf_json_text(json_array_get(fields, i), "name", "x");
		r.fields[i].value = conf_json_text(json_array_get(fields, i), "value", "");
		r.fields[i].any = r.fields[i].value[0] == '\0';
	}
	r.request_rules = conf_json_rules(json_object_get(j, "request_rules"), &r.n_request_rules);
	r.response_rules = conf_json_rules(json_object_get(j, "response_rules"), &r.n_response_rules);
	conf_json_ranges(&r.allow, json_object_get(j, "allow"));
	conf_json_ranges(&r.deny, json_object_get(j, "deny"));
	conf_json_extras(&r, j);
	route_conf_encode(&r, b);
}

static inline void conf_json_encode(struct buf *b, uint8_t kind, const json_t *j)
{
	if (kind == OBJECT_POOL)
		conf_json_pool(b, j);
	else
		conf_json_route(b, j);
}

#endif
