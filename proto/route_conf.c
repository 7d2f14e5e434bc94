#include "proto/route_conf.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"
#include "common/net/addr.h"
#include "common/net/host_name.h"
#include "proto/mapping_conf.h"

#include <assert.h>
#include <string.h>

#define ROUTE_BODY_VERSION 1
#define FIELD_NAME_SIZE    256

static const struct conf_list host_list = { ROUTE_HOSTS_MAX, 2 + 1, sizeof(const char *) };
static const struct conf_list want_list = { ROUTE_WANTS_MAX, (2 + 1) + 2 + 1, sizeof(struct route_want) };
static const struct conf_list target_list = { ROUTE_TARGETS_MAX, (2 + 1) + 4, sizeof(struct route_target) };
static const struct conf_list rule_list = { ROUTE_RULES_MAX, 1 + (2 + 1) + 2, sizeof(struct route_rule) };
static const struct conf_list page_list = { ROUTE_PAGES_MAX, 2 + 2 + 4, sizeof(struct route_page) };

void route_conf_fini(struct route_conf *r)
{
	mapping_cidrs_fini(&r->allow);
	mapping_cidrs_fini(&r->deny);
	conf_mem_fini(&r->mem);
	memset(r, 0, sizeof *r);
}

static void put_long(struct buf *b, const char *text)
{
	buf_blob32(b, text, text != NULL ? strlen(text) : 0);
}

/* ---- which requests ---- */

static void put_match(struct buf *b, const struct route_conf *r)
{
	assert(r->n_hosts <= ROUTE_HOSTS_MAX && r->n_fields <= ROUTE_WANTS_MAX);
	buf_u32(b, r->n_hosts);
	for (uint32_t i = 0; i < r->n_hosts; i++)
		buf_str16(b, r->hosts[i]);
	buf_str16(b, r->path_prefix);
	buf_u32(b, r->methods);
	buf_u32(b, r->n_fields);
	for (uint32_t i = 0; i < r->n_fields; i++) {
		buf_str16(b, r->fields[i].name);
		buf_str16(b, r->fields[i].value);
		buf_u8(b, r->fields[i].any);
	}
	buf_u8(b, r->ssl);
}

static bool host_is_sound(const char *host)
{
	return strcmp(host, "*") == 0 || host_pattern_is_taken(host);
}

static bool prefix_is_sound(const char *prefix)
{
	return prefix[0] == '\0' || health_path_ok(prefix);
}

static bool want_is_sound(const struct route_want *w)
{
	return conf_is_field_name(w->name) && conf_is_field_value(w->value) && (!w->any || w->value[0] == '\0');
}

static void get_match(struct cursor *c, struct route_conf *r)
{
	r->hosts = conf_mem_list(&r->mem, c, &host_list, &r->n_hosts);
	for (uint32_t i = 0; i < r->n_hosts; i++) {
		r->hosts[i] = conf_mem_text(&r->mem, c, HOST_NAME_SIZE);
		if (!host_is_sound(r->hosts[i]))
			cursor_fail(c);
	}
	r->path_prefix = conf_mem_text(&r->mem, c, ROUTE_PATH_SIZE);
	r->methods = cursor_u32(c);
	r->fields = conf_mem_list(&r->mem, c, &want_list, &r->n_fields);
	for (uint32_t i = 0; i < r->n_fields; i++) {
		r->fields[i].name = conf_mem_text(&r->mem, c, FIELD_NAME_SIZE);
		r->fields[i].value = conf_mem_text(&r->mem, c, ROUTE_VALUE_SIZE);
		r->fields[i].any = msg_get_bool(c);
		if (!want_is_sound(&r->fields[i]))
			cursor_fail(c);
	}
	r->ssl = msg_get_enum(c, ROUTE_SSL_OFF, ROUTE_SSL_ONLY);
	if (r->n_hosts == 0 || (r->methods & ~ROUTE_METHODS) != 0 || !prefix_is_sound(r->path_prefix))
		cursor_fail(c);
}

/* ---- where to ---- */

static void put_rules(struct buf *b, const struct route_rule *rules, uint32_t n)
{
	assert(n <= ROUTE_RULES_MAX);
	buf_u32(b, n);
	for (uint32_t i = 0; i < n; i++) {
		buf_u8(b, rules[i].op);
		buf_str16(b, rules[i].name);
		buf_str16(b, rules[i].value);
	}
}

static struct route_rule *get_rules(struct cursor *c, struct conf_mem *m, uint32_t *n)
{
	struct route_rule *rules = conf_mem_list(m, c, &rule_list, n);

	for (uint32_t i = 0; i < *n; i++) {
		rules[i].op = msg_get_enum(c, ROUTE_RULE_SET, ROUTE_RULE_REMOVE);
		rules[i].name = conf_mem_text(m, c, FIELD_NAME_SIZE);
		rules[i].value = conf_mem_text(m, c, ROUTE_VALUE_SIZE);
		if (!conf_is_field_name(rules[i].name) || !conf_is_field_value(rules[i].value))
			cursor_fail(c);
	}
	return rules;
}

static void put_way(struct buf *b, const struct route_conf *r)
{
	assert(r->n_targets <= ROUTE_TARGETS_MAX);
	buf_u32(b, r->n_targets);
	for (uint32_t i = 0; i < r->n_targets; i++) {
		buf_str16(b, r->targets[i].pool);
		buf_u32(b, r->targets[i].weight);
	}
	buf_u16(b, r->redirect_status);
	buf_str16(b, r->redirect_to);
	buf_u8(b, r->rewrite);
	buf_str16(b, r->rewrite_prefix);
	buf_str16(b, r->rewrite_host);
	put_rules(b, r->request_rules, r->n_request_rules);
	put_rules(b, r->response_rules, r->n_response_rules);
}

static bool way_is_sound(const struct route_conf *r)
{
	if (r->redirect_status == 0 ? r->n_targets == 0 : r->redirect_status < 300 || r->redirect_status > 399)
		return false;
	if (r->redirect_status != 0 && (r->redirect_to[0] == '\0' || !conf_is_field_value(r->redirect_to)))
		return false;
	return prefix_is_sound(r->rewrite_prefix) && (r->rewrite || r->rewrite_prefix[0] == '\0') &&
	       (r->rewrite_host[0] == '\0' || addr_is_host(r->rewrite_host));
}

static void get_way(struct cursor *c, struct route_conf *r)
{
	r->targets = conf_mem_list(&r->mem, c, &target_list, &r->n_targets);
	for (uint32_t i = 0; i < r->n_targets; i++) {
		r->targets[i].pool = conf_mem_text(&r->mem, c, PROTO_ID_SIZE);
		r->targets[i].weight = cursor_u32(c);
		if (r->targets[i].pool[0] == '\0' || r->targets[i].weight > ROUTE_WEIGHT_MAX)
			cursor_fail(c);
	}
	r->redirect_status = cursor_u16(c);
	r->redirect_to = conf_mem_text(&r->mem, c, ROUTE_VALUE_SIZE);
	r->rewrite = msg_get_bool(c);
	r->rewrite_prefix = conf_mem_text(&r->mem, c, ROUTE_PATH_SIZE);
	r->rewrite_host = conf_mem_text(&r->mem, c, MAPPING_HOST_SIZE);
	r->request_rules = get_rules(c, &r->mem, &r->n_request_rules);
	r->response_rules = get_rules(c, &r->mem, &r->n_response_rules);
	if (!way_is_sound(r))
		cursor_fail(c);
}

/* ---- limits ---- */

static void put_limits(struct buf *b, const struct route_conf *r)
{
	buf_u32(b, r->request_timeout_ms);
	buf_u32(b, r->response_timeout_ms);
	buf_u32(b, r->idle_timeout_ms);
	buf_u32(b, r->retries);
	buf_u32(b, r->retry_on);
	route_rate_put(b, &r->rate);
	buf_u64(b, r->rate_in);
	buf_u64(b, r->rate_out);
	buf_u64(b, r->max_body);
	buf_u32(b, r->max_in_flight);
	mapping_cidrs_put(b, &r->allow);
	mapping_cidrs_put(b, &r->deny);
	buf_str16(b, r->account);
}

static void get_limits(struct cursor *c, struct route_conf *r)
{
	r->request_timeout_ms = cursor_u32(c);
	r->response_timeout_ms = cursor_u32(c);
	r->idle_timeout_ms = cursor_u32(c);
	r->retries = cursor_u32(c);
	r->retry_on = cursor_u32(c);
	route_rate_get(c, &r->mem, &r->rate);
	r->rate_in = cursor_u64(c);
	r->rate_out = cursor_u64(c);
	r->max_body = cursor_u64(c);
	r->max_in_flight = cursor_u32(c);
	mapping_cidrs_get(c, &r->allow);
	mapping_cidrs_get(c, &r->deny);
	r->account = conf_mem_text(&r->mem, c, PROTO_ID_SIZE);
	if (r->retries > ROUTE_RETRIES_MAX || r->retry_on > ROUTE_RETRY_ALL)
		cursor_fail(c);
}

/* ---- what is added ---- */

static void put_extras(struct buf *b, const struct route_conf *r)
{
	assert(r->n_pages <= ROUTE_PAGES_MAX);
	route_cors_put(b, &r->cors);
	route_gzip_put(b, &r->gzip);
	buf_str16(b, r->mirror_pool);
	buf_u32(b, r->mirror_percent);
	buf_u32(b, r->n_pages);
	for (uint32_t i = 0; i < r->n_pages; i++) {
		buf_u16(b, r->pages[i].status);
		buf_str16(b, r->pages[i].type);
		put_long(b, r->pages[i].body);
	}
	buf_u8(b, r->client_auth);
	put_long(b, r->client_ca);
	buf_u8(b, r->access_log);
}

static void get_pages(struct cursor *c, struct route_conf *r)
{
	r->pages = conf_mem_list(&r->mem, c, &page_list, &r->n_pages);
	for (uint32_t i = 0; i < r->n_pages; i++) {
		struct route_page *page = &r->pages[i];

		page->status = cursor_u16(c);
		page->type = conf_mem_text(&r->mem, c, ROUTE_MEDIA_SIZE);
		page->body = conf_mem_long(&r->mem, c, ROUTE_PAGE_MAX);
		if (page->status < 400 || page->status > 599 || !conf_is_field_value(page->type))
			cursor_fail(c);
	}
}

static void get_extras(struct cursor *c, struct route_conf *r)
{
	route_cors_get(c, &r->mem, &r->cors);
	route_gzip_get(c, &r->mem, &r->gzip);
	r->mirror_pool = conf_mem_text(&r->mem, c, PROTO_ID_SIZE);
	r->mirror_percent = cursor_u32(c);
	get_pages(c, r);
	r->client_auth = msg_get_enum(c, ROUTE_CLIENT_NONE, ROUTE_CLIENT_REQUIRED);
	r->client_ca = conf_mem_long(&r->mem, c, ROUTE_CA_MAX);
	r->access_log = msg_get_bool(c);
	if (r->mirror_percent > 100 || (r->client_auth != ROUTE_CLIENT_NONE && r->client_ca[0] == '\0'))
		cursor_fail(c);
}

/* ---- the route ---- */

void route_conf_encode(const struct route_conf *r, struct buf *b)
{
	buf_u8(b, ROUTE_BODY_VERSION);
	buf_str16(b, r->tenant);
	buf_str16(b, r->name);
	buf_u8(b, r->enabled);
	buf_u32(b, r->priority);
	put_match(b, r);
	put_way(b, r);
	put_limits(b, r);
	put_extras(b, r);
}

int route_conf_decode(struct route_conf *r, const void *body, size_t n)
{
	struct cursor c;

	memset(r, 0, sizeof *r);
	conf_mem_init(&r->mem, n);
	cursor_init(&c, body, n);
	msg_get_enum(&c, ROUTE_BODY_VERSION, ROUTE_BODY_VERSION);
	r->tenant = conf_mem_text(&r->mem, &c, PROTO_ID_SIZE);
	r->name = conf_mem_text(&r->mem, &c, MAPPING_HOST_SIZE);
	r->enabled = msg_get_bool(&c);
	r->priority = cursor_u32(&c);
	get_match(&c, r);
	get_way(&c, r);
	get_limits(&c, r);
	get_extras(&c, r);
	if (cursor_done(&c) == 0)
		return 0;
	route_conf_fini(r);
	return -1;
}
