#include "common/base/str.h"
#include "common/http/http.h"
#include "controld/balancer/lb_placed.h"
#include "controld/balancer/lb_route_input.h"
#include "controld/balancer/scratch.h"

#include <stdlib.h>
#include <string.h>

struct giver {
	struct db *db;
	lb_route_placed_fn fn;
	void *arg;
	struct err *e;
	int rc;
	size_t given;
};

/* ---- one route ------------------------------------------------------------------------------------------------------ */

struct making {
	const struct lb_route *row;
	struct scratch memory;
	struct route_conf conf;
	/* ids of the pools, in the order of lb_route_pool_names() */
	const char *names[LB_ROUTE_POOLS_MAX];
	char ids[LB_ROUTE_POOLS_MAX][PROTO_ID_SIZE];
	size_t n_pools;
};

static const json_t *json_of(const struct making *m, const char *name)
{
	return knobs_json(m->row->settings, name);
}

static int64_t number(const struct making *m, const char *name)
{
	return knobs_number(&lb_route_knobs, m->row->settings, name);
}

static const char *text(const struct making *m, const char *name)
{
	return knobs_text(&lb_route_knobs, m->row->settings, name);
}

/* For people alone: relays keep less of it. */
static const char *beginning(struct making *m, const char *s)
{
	char *copy = scratch_take(&m->memory, MAPPING_HOST_SIZE, 1);

	if (copy == NULL)
		return "";
	(void)str_copy(copy, MAPPING_HOST_SIZE, s);
	str_make_utf8(copy);
	return copy;
}

static const char *member(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s != NULL ? s : "";
}

/* "a, b" of ["a", "b"]; `standard` for none. */
static const char *joined(struct making *m, const json_t *list, const char *standard)
{
	const json_t *one;
	size_t n = 0, i;
	char *s;

	if (json_array_size(list) == 0)
		return standard;
	json_array_foreach(list, i, one) n += json_string_length(one) + 2;
	s = scratch_take(&m->memory, n + 1, 1);
	json_array_foreach(list, i, one) if (s != NULL)
	{
		const size_t at = strlen(s);

		(void)str_fmt(s + at, n + 1 - at, "%s%s", i > 0 ? ", " : "", json_string_value(one));
	}
	return s != NULL ? s : "";
}

static const char *pool_id(const struct making *m, const char *name)
{
	for (size_t i = 0; i < m->n_pools; i++)
		if (strcmp(m->names[i], name) == 0)
			return m->ids[i];
	return "";
}

static void put_hosts(struct making *m)
{
	struct route_conf *c = &m->conf;
	size_t n = 0;

	while (lb_route_host(m->row, n) != NULL)
		n++;
	c->hosts = scratch_take(&m->memory, n, sizeof c->hosts[0]);
	for (size_t i = 0; i < n && c->hosts != NULL; i++)
		c->hosts[c->n_hosts++] = lb_route_host(m->row, i);
}

static uint32_t method_bit(const char *name)
{
	for (unsigned i = HTTP_OTHER + 1; i < 10; i++)
		if (strcmp(http_method_name((enum http_method)i), name) == 0)
			return 1u << i;
	return 1u << HTTP_OTHER;
}

static void put_wants(struct making *m)
{
	const json_t *methods = json_of(m, "methods"), *wants = json_of(m, "headers"), *one;
	struct route_conf *c = &m->conf;
	size_t i;

	json_array_foreach(methods, i, one) c->methods |= method_bit(json_string_value(one));
	c->fields = scratch_take(&m->memory, json_array_size(wants), sizeof c->fields[0]);
	json_array_foreach(wants, i, one) if (c->fields != NULL) c->fields[c->n_fields++] =
		(struct route_want){ scratch_lower(&m->memory, member(one, "name")), member(one, "value"),
			!json_is_string(json_object_get(one, "value")) };
}

static void put_targets(struct making *m)
{
	const json_t *targets = json_of(m, "targets"), *one;
	const bool own = m->row->pool_name[0] != '\0';
	struct route_conf *c = &m->conf;
	size_t i;

	c->targets = scratch_take(&m->memory, own ? 1 : json_array_size(targets), sizeof c->targets[0]);
	if (c->targets == NULL)
		return;
	if (own) {
		c->targets[c->n_targets++] = (struct route_target){ pool_id(m, m->row->pool_name), 1 };
		return;
	}
	json_array_foreach(targets, i, one) c->targets[c->n_targets++] =
		(struct route_target){ pool_id(m, member(one, "pool")),
			(uint32_t)json_integer_value(json_object_get(one, "weight")) };
}

static void put_redirect(struct making *m)
{
	const json_t *redirect = json_of(m, "redirect"), *status = json_object_get(redirect, "status");

	m->conf.redirect_to = member(redirect, "location");
	if (redirect != NULL)
		m->conf.redirect_status = status != NULL ? (uint16_t)json_integer_value(status) : 302;
}

static void put_rules(struct making *m, const char *name, struct route_rule **rules, uint32_t *n)
{
	const json_t *edits = json_of(m, name), *removed = json_object_get(edits, "remove"), *value;
	const struct {
		const char *name;
		uint8_t op;
	} ops[] = { { "set", ROUTE_RULE_SET }, { "add", ROUTE_RULE_ADD } };
	const char *field;
	size_t i;

	*rules = scratch_take(&m->memory, edits != NULL ? ROUTE_RULES_MAX : 0, sizeof **rules);
	if (*rules == NULL)
		return;
	json_array_foreach(removed, i, value)(*rules)[(*n)++] =
		(struct route_rule){ ROUTE_RULE_REMOVE, scratch_lower(&m->memory, json_string_value(value)), "" };
	for (i = 0; i < ARRAY_LEN(ops); i++)
		json_object_foreach((json_t *)(uintptr_t)json_object_get(edits, ops[i].name), field, value)(
			*rules)[(*n)++] =
			(struct route_rule){ ops[i].op, scratch_lower(&m->memory, field), json_string_value(value) };
}

static void put_retries(struct making *m)
{
	static const struct {
		const char *name;
		uint32_t bit;
	} reasons[] = { { "connect", ROUTE_RETRY_CONNECT }, { "reset", ROUTE_RETRY_RESET },
		{ "timeout", ROUTE_RETRY_TIMEOUT }, { "5xx", ROUTE_RETRY_5XX } };
	const json_t *on = json_of(m, "retries.on"), *one;
	size_t i;

	m->conf.retries = (uint32_t)number(m, "retries.max");
	m->conf.retry_on = on == NULL ? ROUTE_RETRY_CONNECT | ROUTE_RETRY_RESET : 0;
	json_array_foreach(on, i, one) for (size_t r = 0; r < ARRAY_LEN(reasons);
					    r++) if (str_eq(json_string_value(one), reasons[r].name))
		m->conf.retry_on |= reasons[r].bit;
	if (m->conf.retry_on == 0)
		m->conf.retries = 0;
}

static void put_rate(struct making *m)
{
	const char *key = text(m, "rate_limit.key");
	struct route_rate *r = &m->conf.rate;

	r->per_second = (uint32_t)number(m, "rate_limit.per_second");
	r->burst = (uint32_t)number(m, "rate_limit.burst");
	if (r->burst == 0)
		r->burst = r->per_second;
	r->key = strcmp(key, "all") == 0      ? ROUTE_RATE_ALL
	         : strcmp(key, "header") == 0 ? ROUTE_RATE_FIELD
	                                      : ROUTE_RATE_SOURCE;
	r->field = r->key == ROUTE_RATE_FIELD ? scratch_lower(&m->memory, text(m, "rate_limit.header")) : "";
}

static void put_cidrs(struct making *m, const char *name, struct mapping_cidrs *list)
{
	const json_t *ranges = json_of(m, name), *one;
	size_t i;

	list->items = scratch_take(&m->memory, json_array_size(ranges), sizeof list->items[0]);
	json_array_foreach(ranges, i, one) if (list->items != NULL && cidr_parse(&list->items[list->n],
									      json_string_value(one)) == 0) list->n++;
}

static void put_limits(struct making *m)
{
	struct route_conf *c = &m->conf;

	c->request_timeout_ms = (uint32_t)number(m, "timeouts.request");
	c->response_timeout_ms = (uint32_t)number(m, "timeouts.response");
	c->idle_timeout_ms = (uint32_t)number(m, "timeouts.idle");
	c->rate_in = (uint64_t)number(m, "bandwidth.in");
	c->rate_out = (uint64_t)number(m, "bandwidth.out");
	c->max_body = (uint64_t)number(m, "max_body");
	c->max_in_flight = (uint32_t)number(m, "max_requests");
	put_retries(m);
	put_rate(m);
	put_cidrs(m, "allow", &c->allow);
	put_cidrs(m, "deny", &c->deny);
}

static void put_cors(struct making *m)
{
	const json_t *cors = json_of(m, "cors"), *origins = json_object_get(cors, "origins"), *one;
	const json_t *age = json_object_get(cors, "max_age");
	struct route_cors *c = &m->conf.cors;
	size_t i;

	*c = (struct route_cors){ .methods = "", .headers = "", .expose = "" };
	if (json_array_size(origins) == 0)
		return;
	c->on = true;
	c->credentials = json_is_true(json_object_get(cors, "credentials"));
	c->max_age_s = age != NULL ? (uint32_t)json_integer_value(age) : 600;
	c->origins = scratch_take(&m->memory, json_array_size(origins), sizeof c->origins[0]);
	json_array_foreach(origins, i, one) if (c->origins != NULL) c->origins[c->n_origins++] = json_string_value(one);
	c->methods = joined(m, json_object_get(cors, "methods"), "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS");
	c->headers = joined(m, json_object_get(cors, "headers"), "");
	c->expose = joined(m, json_object_get(cors, "expose"), "");
}

static void put_extras(struct making *m)
{
	const json_t *mirror = json_of(m, "mirror"), *pages = json_of(m, "error_pages"), *one;
	const json_t *percent = json_object_get(mirror, "percent");
	const char *mode = text(m, "client_certificate.mode");
	struct route_conf *c = &m->conf;
	size_t i;

	put_cors(m);
	c->gzip = (struct route_gzip){ .on = number(m, "gzip.enabled") != 0,
		.level = (uint8_t)number(m, "gzip.level"),
		.min_bytes = (uint32_t)number(m, "gzip.min_size"),
		.types = joined(m, json_of(m, "gzip.types"), "") };
	c->mirror_pool = mirror != NULL ? pool_id(m, member(mirror, "pool")) : "";
	c->mirror_percent = mirror == NULL ? 0 : percent != NULL ? (uint32_t)json_integer_value(percent) : 100;
	c->pages = scratch_take(&m->memory, json_array_size(pages), sizeof c->pages[0]);
	json_array_foreach(pages, i, one) if (c->pages != NULL)
	{
		const char *type = member(one, "content_type");

		c->pages[c->n_pages++] =
			(struct route_page){ (uint16_t)json_integer_value(json_object_get(one, "status")),
				type[0] != '\0' ? type : "text/html; charset=utf-8", member(one, "body") };
	}
	c->client_auth = strcmp(mode, "required") == 0   ? ROUTE_CLIENT_REQUIRED
	                 : strcmp(mode, "optional") == 0 ? ROUTE_CLIENT_OPTIONAL
	                                                 : ROUTE_CLIENT_NONE;
	c->client_ca = text(m, "client_certificate.ca");
	c->access_log = number(m, "access_log") != 0;
}

static void make(struct making *m)
{
	const struct lb_route *r = m->row;
	struct route_conf *c = &m->conf;

	c->tenant = r->tenant_id;
	c->name = beginning(m, text(m, "description"));
	c->enabled = r->owner_active;
	c->priority = (uint32_t)number(m, "priority");
	c->path_prefix = strcmp(r->path_prefix, "/") == 0 ? "" : r->path_prefix;
	c->ssl = (uint8_t)(!r->ssl_enabled                ? ROUTE_SSL_OFF
			   : number(m, "https_only") != 0 ? ROUTE_SSL_ONLY
							  : ROUTE_SSL_ON);
	c->rewrite_prefix = text(m, "rewrite.prefix");
	c->rewrite = c->rewrite_prefix[0] != '\0';
	c->rewrite_host = text(m, "rewrite.host");
	c->account = r->metered ? r->tenant_id : "";
	put_hosts(m);
	put_wants(m);
	put_targets(m);
	put_redirect(m);
	put_rules(m, "request_headers", &c->request_rules, &c->n_request_rules);
	put_rules(m, "response_headers", &c->response_rules, &c->n_response_rules);
	put_limits(m);
	put_extras(m);
}

/* ---- for fleet/ ------------------------------------------------------------------------------------------------------ */

static int on_route(const struct lb_route *row, void *arg)
{
	struct giver *g = arg;
	struct making *m = calloc(1, sizeof *m);
	struct lb_route_placed p = { .seq = row->seq, .present = row->active };

	g->given++;
	if (m == NULL) {
		g->rc = err_set(g->e, ERR_NOMEM, NULL, "route %s: out of memory", row->id);
		return 1;
	}
	m->row = row;
	p.conf = &m->conf;
	(void)str_copy(p.id, sizeof p.id, row->id);
	(void)str_copy(p.group_id, sizeof p.group_id, row->group_id);
	(void)str_copy(p.node_id, sizeof p.node_id, row->node_id);
	m->n_pools = lb_route_pool_names(row, m->names);
	for (size_t i = 0; i < m->n_pools && g->rc == 0; i++)
		g->rc = lb_pool_id(g->db, row->tenant_id, m->names[i], m->ids[i], g->e);
	if (g->rc == 0)
		make(m);
	if (g->rc == 0 && m->memory.failed)
		g->rc = err_set(g->e, ERR_NOMEM, NULL, "route %s: out of memory", row->id);
	if (g->rc == 0)
		g->rc = g->fn(&p, g->arg);
	scratch_free(&m->memory);
	free(m);
	return g->rc != 0;
}

static int give(struct giver *g, const char *id, struct err *e)
{
	const struct lb_route_filter f = { "", "", "", "", id, "", INT32_MAX };

	return lb_route_list(g->db, &f, on_route, g, e) != 0 || g->rc != 0 ? -1 : 0;
}

int lb_route_placed_get(struct db *db, const char *id, lb_route_placed_fn fn, void *arg, struct err *e)
{
	struct giver g = { .db = db, .fn = fn, .arg = arg, .e = e };
	struct lb_route_placed gone = { .present = false };

	if (give(&g, id, e) != 0)
		return -1;
	if (g.given > 0)
		return 0;
	(void)str_copy(gone.id, sizeof gone.id, id);
	return fn(&gone, arg);
}

int lb_route_placed_all(struct db *db, lb_route_placed_fn fn, void *arg, struct err *e)
{
	struct giver g = { .db = db, .fn = fn, .arg = arg, .e = e };

	return give(&g, "", e);
}

int lb_placed_routes_of(struct db *db, const char *kind, const char *subject, int (*fn)(const char *id, void *arg),
	void *arg, struct err *e)
{
	return lb_route_ids_of(db, kind, subject, fn, arg, e);
}
