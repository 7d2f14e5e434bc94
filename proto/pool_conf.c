#include "proto/pool_conf.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"

#include <assert.h>
#include <string.h>

#define POOL_BODY_VERSION 1
#define POOL_HEADROOM_MIN 100

static const char *const algorithm_names[] = {
	[POOL_ROUND_ROBIN] = "round_robin",
	[POOL_WEIGHTED_ROUND_ROBIN] = "weighted_round_robin",
	[POOL_LEAST_CONNECTIONS] = "least_connections",
	[POOL_RANDOM_TWO] = "random_two",
	[POOL_IP_HASH] = "ip_hash",
	[POOL_CONSISTENT_HASH] = "consistent_hash",
	[POOL_PEAK_EWMA] = "peak_ewma",
	[POOL_ADAPTIVE_AI] = "adaptive_ai",
};

static const struct conf_list backend_list = { POOL_BACKENDS_MAX, (2 + 1) + (2 + 1) + 2 + 2 + 2 + 1 + 4 + 4,
	sizeof(struct pool_backend) };
static const struct conf_list status_list = { POOL_STATUSES_MAX, 2 + 2, sizeof(struct pool_status) };

const char *pool_algorithm_name(uint8_t algorithm)
{
	const char *name = algorithm < ARRAY_LEN(algorithm_names) ? algorithm_names[algorithm] : NULL;

	return name != NULL ? name : "";
}

void pool_conf_fini(struct pool_conf *p)
{
	mapping_cidrs_fini(&p->dial_allow);
	conf_mem_fini(&p->mem);
	memset(p, 0, sizeof *p);
}

static void put_long(struct buf *b, const char *text)
{
	buf_blob32(b, text, text != NULL ? strlen(text) : 0);
}

static uint32_t get_range(struct cursor *c, uint32_t least, uint32_t most)
{
	const uint32_t v = cursor_u32(c);

	if (v < least || v > most)
		cursor_fail(c);
	return v;
}

/* ---- health and outliers ---- */

static void put_health(struct buf *b, const struct pool_health *h)
{
	assert(h->n_statuses <= POOL_STATUSES_MAX);
	buf_u8(b, h->type);
	if (h->type == POOL_CHECK_NONE)
		return;
	buf_u32(b, h->interval_ms);
	buf_u32(b, h->timeout_ms);
	buf_u32(b, h->rise);
	buf_u32(b, h->fall);
	buf_u16(b, h->port);
	buf_str16(b, h->method);
	buf_str16(b, h->path);
	buf_str16(b, h->host);
	buf_str16(b, h->service);
	buf_str16(b, h->body);
	buf_u32(b, h->n_statuses);
	for (uint32_t i = 0; i < h->n_statuses; i++) {
		buf_u16(b, h->statuses[i].first);
		buf_u16(b, h->statuses[i].last);
	}
}

static bool health_is_sound(const struct pool_health *h)
{
	if (h->type == POOL_CHECK_HTTP && (!conf_is_token(h->method) || !health_path_ok(h->path)))
		return false;
	for (uint32_t i = 0; i < h->n_statuses; i++)
		if (h->statuses[i].first < 100 || h->statuses[i].last > 599 ||
			h->statuses[i].first > h->statuses[i].last)
			return false;
	return conf_is_field_value(h->host);
}

static void get_health(struct cursor *c, struct conf_mem *m, struct pool_health *h)
{
	h->type = msg_get_enum(c, POOL_CHECK_NONE, POOL_CHECK_TLS);
	h->method = h->path = h->host = h->service = h->body = "";
	if (h->type == POOL_CHECK_NONE)
		return;
	h->interval_ms = get_range(c, HEALTH_INTERVAL_MIN_MS, HEALTH_INTERVAL_MAX_MS);
	h->timeout_ms = get_range(c, HEALTH_TIMEOUT_MIN_MS, HEALTH_TIMEOUT_MAX_MS);
	h->rise = get_range(c, 1, HEALTH_TURNS_MAX);
	h->fall = get_range(c, 1, HEALTH_TURNS_MAX);
	h->port = cursor_u16(c);
	h->method = conf_mem_text(m, c, POOL_COOKIE_SIZE);
	h->path = conf_mem_text(m, c, POOL_PATH_SIZE);
	h->host = conf_mem_text(m, c, MAPPING_HOST_SIZE);
	h->service = conf_mem_text(m, c, MAPPING_HOST_SIZE);
	h->body = conf_mem_text(m, c, POOL_BODY_SIZE);
	h->statuses = conf_mem_list(m, c, &status_list, &h->n_statuses);
	for (uint32_t i = 0; i < h->n_statuses; i++) {
		h->statuses[i].first = cursor_u16(c);
		h->statuses[i].last = cursor_u16(c);
	}
	if (c->failed || !health_is_sound(h))
		cursor_fail(c);
}

static void put_outlier(struct buf *b, const struct pool_outlier *o)
{
	buf_u32(b, o->failures_in_row);
	buf_u32(b, o->deviations);
	buf_u32(b, o->min_answers);
	buf_u32(b, o->min_targets);
	buf_u32(b, o->base_ms);
	buf_u32(b, o->max_ms);
	buf_u32(b, o->max_percent);
}

static void get_outlier(struct cursor *c, struct pool_outlier *o)
{
	o->failures_in_row = cursor_u32(c);
	o->deviations = cursor_u32(c);
	o->min_answers = cursor_u32(c);
	o->min_targets = cursor_u32(c);
	o->base_ms = cursor_u32(c);
	o->max_ms = cursor_u32(c);
	o->max_percent = get_range(c, 0, 100);
}

/* ---- backends ---- */

static void put_backends(struct buf *b, const struct pool_conf *p)
{
	assert(p->n_backends <= POOL_BACKENDS_MAX);
	buf_u32(b, p->n_backends);
	for (uint32_t i = 0; i < p->n_backends; i++) {
		const struct pool_backend *at = &p->backends[i];

		buf_str16(b, at->id);
		buf_str16(b, at->host);
		buf_u16(b, at->port);
		buf_str16(b, at->client);
		buf_str16(b, at->region);
		buf_u8(b, at->backup);
		buf_u8(b, at->dial_any);
		buf_u8(b, at->own_health);
		if (at->own_health)
			put_health(b, &at->health);
		buf_u32(b, at->weight);
		buf_u32(b, at->max_connections);
	}
}

static void get_backends(struct cursor *c, struct pool_conf *p)
{
	p->backends = conf_mem_list(&p->mem, c, &backend_list, &p->n_backends);
	for (uint32_t i = 0; i < p->n_backends && !c->failed; i++) {
		struct pool_backend *at = &p->backends[i];

		at->id = conf_mem_text(&p->mem, c, PROTO_ID_SIZE);
		at->host = conf_mem_text(&p->mem, c, MAPPING_HOST_SIZE);
		at->port = cursor_u16(c);
		at->client = conf_mem_text(&p->mem, c, PROTO_ID_SIZE);
		at->region = conf_mem_text(&p->mem, c, PROTO_NAME_SIZE);
		at->backup = msg_get_bool(c);
		at->dial_any = msg_get_bool(c);
		at->own_health = msg_get_bool(c);
		if (at->own_health)
			get_health(c, &p->mem, &at->health);
		at->weight = get_range(c, 0, POOL_WEIGHT_MAX);
		at->max_connections = cursor_u32(c);
		if (at->id[0] == '\0' || at->port == 0 || !addr_is_host(at->host))
			cursor_fail(c);
	}
}

/* ---- the pool ---- */

void pool_conf_encode(const struct pool_conf *p, struct buf *b)
{
	buf_u8(b, POOL_BODY_VERSION);
	buf_str16(b, p->tenant);
	buf_str16(b, p->name);
	buf_u8(b, p->algorithm);
	buf_u8(b, p->sticky);
	buf_str16(b, p->cookie);
	buf_u32(b, p->sticky_ttl_s);
	if (p->sticky == POOL_STICKY_COOKIE)
		buf_put(b, p->secret, sizeof p->secret);
	put_health(b, &p->health);
	put_outlier(b, &p->outlier);
	buf_u32(b, p->panic_percent);
	buf_u32(b, p->headroom_percent);
	buf_u32(b, p->slow_start_ms);
	buf_u32(b, p->queue_max);
	buf_u32(b, p->queue_timeout_ms);
	buf_u32(b, p->retry_percent);
	buf_u32(b, p->retry_per_second);
	buf_u8(b, p->protocol);
	buf_u8(b, p->tls);
	buf_u8(b, p->tls_verify);
	buf_str16(b, p->server_name);
	put_long(b, p->ca);
	buf_u32(b, p->connect_timeout_ms);
	buf_u32(b, p->response_timeout_ms);
	buf_u32(b, p->idle_timeout_ms);
	buf_u32(b, p->idle_max);
	buf_u8(b, p->proxy_out);
	buf_u8(b, p->dial_any);
	mapping_cidrs_put(b, &p->dial_allow);
	put_backends(b, p);
}

static void get_secret(struct cursor *c, uint8_t secret[POOL_SECRET])
{
	const uint8_t *bytes = cursor_bytes(c, POOL_SECRET);

	if (bytes != NULL)
		memcpy(secret, bytes, POOL_SECRET);
}

static void get_fields(struct cursor *c, struct pool_conf *p)
{
	msg_get_enum(c, POOL_BODY_VERSION, POOL_BODY_VERSION);
	p->tenant = conf_mem_text(&p->mem, c, PROTO_ID_SIZE);
	p->name = conf_mem_text(&p->mem, c, MAPPING_HOST_SIZE);
	p->algorithm = msg_get_enum(c, POOL_ROUND_ROBIN, POOL_ADAPTIVE_AI);
	p->sticky = msg_get_enum(c, POOL_STICKY_NONE, POOL_STICKY_SOURCE);
	p->cookie = conf_mem_text(&p->mem, c, POOL_COOKIE_SIZE);
	p->sticky_ttl_s = cursor_u32(c);
	if (p->sticky == POOL_STICKY_COOKIE)
		get_secret(c, p->secret);
	get_health(c, &p->mem, &p->health);
	get_outlier(c, &p->outlier);
	p->panic_percent = get_range(c, 0, 100);
	p->headroom_percent = get_range(c, POOL_HEADROOM_MIN, UINT32_MAX);
	p->slow_start_ms = cursor_u32(c);
	p->queue_max = cursor_u32(c);
	p->queue_timeout_ms = cursor_u32(c);
	p->retry_percent = get_range(c, 0, 100);
	p->retry_per_second = cursor_u32(c);
	p->protocol = msg_get_enum(c, POOL_HTTP1, POOL_H2C);
	p->tls = msg_get_bool(c);
	p->tls_verify = msg_get_bool(c);
	p->server_name = conf_mem_text(&p->mem, c, MAPPING_HOST_SIZE);
	p->ca = conf_mem_long(&p->mem, c, POOL_CA_MAX);
	p->connect_timeout_ms = cursor_u32(c);
	p->response_timeout_ms = cursor_u32(c);
	p->idle_timeout_ms = cursor_u32(c);
	p->idle_max = cursor_u32(c);
	p->proxy_out = msg_get_enum(c, MAPPING_PROXY_NONE, MAPPING_PROXY_V2);
	p->dial_any = msg_get_bool(c);
	mapping_cidrs_get(c, &p->dial_allow);
	get_backends(c, p);
}

static bool is_sound(const struct pool_conf *p)
{
	if (p->sticky == POOL_STICKY_COOKIE && !conf_is_token(p->cookie))
		return false;
	if (p->server_name[0] != '\0' && !addr_is_host(p->server_name))
		return false;
	return p->protocol == POOL_HTTP1 || p->tls == (p->protocol == POOL_H2);
}

int pool_conf_decode(struct pool_conf *p, const void *body, size_t n)
{
	struct cursor c;

	memset(p, 0, sizeof *p);
	conf_mem_init(&p->mem, n);
	cursor_init(&c, body, n);
	get_fields(&c, p);
	if (cursor_done(&c) == 0 && is_sound(p))
		return 0;
	pool_conf_fini(p);
	return -1;
}
