#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/balancer/lb_backend.h"
#include "controld/balancer/lb_placed.h"
#include "controld/balancer/lb_pool_input.h"
#include "controld/balancer/lb_sticky.h"
#include "controld/balancer/scratch.h"
#include "controld/clients/client.h"
#include "controld/tunnels/mapping_dial.h"

#include <string.h>

/* Envoy's and everybody's: a rate says something from so many answers on, compared with so many others. */
#define OUTLIER_DEVIATIONS  19 /* tenths */
#define OUTLIER_MIN_ANSWERS 100
#define OUTLIER_MIN_TARGETS 5
#define IDLE_TIMEOUT_MS     60000

struct giver {
	struct db *db;
	lb_pool_placed_fn fn;
	void *arg;
	struct dial_grants grants;
	struct lb_sticky sticky;
	struct err *e;
	int rc;
	size_t given;
};

/* ---- one pool ------------------------------------------------------------------------------------------------------- */

struct making {
	struct giver *g;
	const struct lb_pool *pool;
	struct scratch memory;
	struct pool_conf conf;
	uint32_t room; /* backends that there is memory for */
};

static uint8_t index_of(const char *const *names, const char *name)
{
	for (uint8_t i = 0; names[i] != NULL; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return 0;
}

/* What a backend says of its own stands before what its pool says. */
struct check {
	const json_t *own, *pool;
};

static const json_t *values_of(const struct check *c, const char *name)
{
	return c->own != NULL && json_object_get(c->own, name) != NULL ? c->own : c->pool;
}

static uint32_t check_number(const struct check *c, const char *name)
{
	return (uint32_t)knobs_number(&lb_health_knobs, values_of(c, name), name);
}

static const char *check_text(struct making *m, const struct check *c, const char *name)
{
	const char *s = knobs_text(&lb_health_knobs, values_of(c, name), name);
	char *copy = scratch_take(&m->memory, strlen(s) + 1, 1); /* a backend's row does not outlive its turn */

	return copy != NULL ? memcpy(copy, s, strlen(s) + 1) : "";
}

static void put_statuses(struct making *m, struct pool_health *h, const json_t *expected)
{
	const size_t n = json_is_array(expected) ? json_array_size(expected) : json_is_integer(expected) ? 1 : 0;

	h->statuses = scratch_take(&m->memory, n, sizeof h->statuses[0]);
	for (size_t i = 0; i < n && h->statuses != NULL; i++) {
		const json_t *one = json_is_array(expected) ? json_array_get(expected, i) : expected;

		h->statuses[i].first = h->statuses[i].last = (uint16_t)json_integer_value(one);
		h->n_statuses++;
	}
}

static void put_health(struct making *m, struct pool_health *h, const json_t *own)
{
	static const char *const types[] = { "none", "tcp", "http", "grpc", "tls", NULL }; /* enum pool_check */
	const struct check c = { own, m->pool->settings };

	*h = (struct pool_health){
		.type = POOL_CHECK_NONE, .method = "", .path = "", .host = "", .service = "", .body = ""
	};
	if (check_number(&c, "health_check.enabled") == 0)
		return;
	h->type = index_of(types, check_text(m, &c, "health_check.type"));
	h->interval_ms = check_number(&c, "health_check.interval");
	h->timeout_ms = (uint32_t)lb_health_timeout_ms(own, m->pool->settings);
	h->rise = check_number(&c, "health_check.rise");
	h->fall = check_number(&c, "health_check.fall");
	h->method = check_text(m, &c, "health_check.method");
	h->path = check_text(m, &c, "health_check.path");
	h->host = check_text(m, &c, "health_check.host");
	h->service = check_text(m, &c, "health_check.service");
	h->body = check_text(m, &c, "health_check.expected_body");
	put_statuses(m, h, knobs_json(values_of(&c, "health_check.expected_status"), "health_check.expected_status"));
}

static const char *copy_text(struct making *m, const char *s)
{
	char *copy = scratch_take(&m->memory, strlen(s) + 1, 1);

	return copy != NULL ? memcpy(copy, s, strlen(s) + 1) : "";
}

static int on_backend(const struct lb_backend *row, void *arg)
{
	struct making *m = arg;
	struct pool_backend *b = &m->conf.backends[m->conf.n_backends];
	char client[PROTO_ID_SIZE] = "";

	if (m->conf.n_backends == m->room)
		return 1;
	if (row->client_id != 0)
		client_id_print(client, row->client_id);
	*b = (struct pool_backend){ .id = copy_text(m, row->id),
		.host = copy_text(m, row->host),
		.client = copy_text(m, client),
		.region = copy_text(m, row->region),
		.port = row->port,
		.backup = row->backup,
		.dial_any = row->dial_any,
		.own_health = json_object_size(row->settings) > 0,
		.weight = row->weight,
		.max_connections = row->max_connections };
	put_health(m, &b->health, b->own_health ? row->settings : NULL);
	m->conf.n_backends++;
	return m->memory.failed;
}

static int put_backends(struct making *m, struct err *e)
{
	const struct lb_backend_filter f = { m->pool->tenant_id, m->pool->id, "", "", LB_POOL_BACKENDS_MAX };
	int64_t n;

	if (lb_backend_count(m->g->db, m->pool->id, &n, e) != 0)
		return -1;
	m->room = (uint32_t)MIN(n, LB_POOL_BACKENDS_MAX);
	m->conf.backends = scratch_take(&m->memory, m->room, sizeof m->conf.backends[0]);
	if (m->conf.backends == NULL)
		return 0;
	return lb_backend_list(m->g->db, &f, on_backend, m, e);
}

static uint32_t number(const struct making *m, const char *name)
{
	return (uint32_t)knobs_number(&lb_pool_knobs, m->pool->settings, name);
}

static const char *text(const struct making *m, const char *name)
{
	return knobs_text(&lb_pool_knobs, m->pool->settings, name);
}

static void put_outlier(const struct making *m, struct pool_outlier *o)
{
	const bool rates = number(m, "outlier.success_rate") != 0;

	*o = (struct pool_outlier){ .failures_in_row = number(m, "outlier.consecutive_errors"),
		.deviations = rates ? OUTLIER_DEVIATIONS : 0,
		.min_answers = rates ? OUTLIER_MIN_ANSWERS : 0,
		.min_targets = rates ? OUTLIER_MIN_TARGETS : 0,
		.base_ms = number(m, "outlier.ejection_time"),
		.max_ms = MAX(number(m, "outlier.max_ejection_time"), number(m, "outlier.ejection_time")),
		.max_percent = number(m, "outlier.max_ejected_percent") };
}

static void put_settings(struct making *m)
{
	static const char *const protocols[] = { "http1", "h2", "h2c", NULL }; /* enum pool_protocol */
	static const char *const proxies[] = { "none", "v1", "v2", NULL };     /* enum mapping_proxy */
	struct pool_conf *c = &m->conf;

	c->tenant = m->pool->tenant_id;
	c->name = m->pool->name;
	c->algorithm = (uint8_t)(index_of(lb_pool_algorithms, m->pool->algorithm) + POOL_ROUND_ROBIN);
	c->cookie = text(m, "sticky.cookie_name");
	c->sticky_ttl_s = (uint32_t)((knobs_number(&lb_pool_knobs, m->pool->settings, "sticky.ttl") + 999) / 1000);
	c->panic_percent = number(m, "panic_threshold");
	c->headroom_percent = number(m, "region_headroom");
	c->slow_start_ms = number(m, "slow_start");
	c->queue_max = number(m, "queue.max");
	c->queue_timeout_ms = number(m, "queue.timeout");
	c->retry_percent = number(m, "retry_budget.percent");
	c->retry_per_second = number(m, "retry_budget.per_second");
	c->protocol = index_of(protocols, text(m, "protocol"));
	c->tls = number(m, "tls.enabled") != 0;
	c->tls_verify = number(m, "tls.verify") != 0;
	c->server_name = text(m, "tls.server_name");
	c->ca = text(m, "tls.ca");
	c->connect_timeout_ms = number(m, "timeouts.connect");
	c->response_timeout_ms = number(m, "timeouts.response");
	c->idle_timeout_ms = IDLE_TIMEOUT_MS;
	c->proxy_out = index_of(proxies, text(m, "proxy_protocol"));
}

static int put_sticky(struct making *m, struct err *e)
{
	if (number(m, "sticky_sessions") == 0)
		return 0;
	if (strcmp(text(m, "sticky.type"), "source") == 0) {
		m->conf.sticky = POOL_STICKY_SOURCE;
		return 0;
	}
	m->conf.sticky = POOL_STICKY_COOKIE;
	return lb_sticky_secret(&m->g->sticky, m->g->db, m->pool->id, m->conf.secret, e);
}

static int make(struct making *m, struct err *e)
{
	struct giver *g = m->g;

	put_settings(m);
	put_health(m, &m->conf.health, NULL);
	put_outlier(m, &m->conf.outlier);
	if (put_sticky(m, e) != 0 || put_backends(m, e) != 0 ||
		dial_grants_read(&g->grants, g->db, m->pool->tenant_id, e) != 0)
		return -1;
	m->conf.dial_allow = (struct mapping_cidrs){ g->grants.items, (uint32_t)g->grants.n };
	if (m->memory.failed)
		return err_set(e, ERR_NOMEM, NULL, "pool %s: out of memory", m->pool->id);
	return 0;
}

static int on_pool(const struct lb_pool *pool, void *arg)
{
	struct giver *g = arg;
	struct making m = { .g = g, .pool = pool };
	struct lb_pool_placed p = { .seq = pool->seq, .present = true, .conf = &m.conf };

	g->given++;
	(void)str_copy(p.id, sizeof p.id, pool->id);
	g->rc = make(&m, g->e);
	if (g->rc == 0)
		g->rc = g->fn(&p, g->arg);
	seal_wipe(m.conf.secret, sizeof m.conf.secret);
	scratch_free(&m.memory);
	return g->rc != 0;
}

/* ---- for fleet/ ------------------------------------------------------------------------------------------------------ */

static int give(struct giver *g, const char *id, struct err *e)
{
	const struct lb_pool_filter f = { "", id, "", "", "", INT32_MAX };
	const int rc = lb_pool_list(g->db, &f, on_pool, g, e);

	lb_sticky_wipe(&g->sticky);
	return rc != 0 || g->rc != 0 ? -1 : 0;
}

int lb_pool_placed_get(struct db *db, const char *id, lb_pool_placed_fn fn, void *arg, struct err *e)
{
	struct giver g = { .db = db, .fn = fn, .arg = arg, .e = e };
	struct lb_pool_placed gone = { .present = false };

	if (give(&g, id, e) != 0)
		return -1;
	if (g.given > 0)
		return 0;
	(void)str_copy(gone.id, sizeof gone.id, id);
	return fn(&gone, arg);
}

int lb_pool_placed_all(struct db *db, lb_pool_placed_fn fn, void *arg, struct err *e)
{
	struct giver g = { .db = db, .fn = fn, .arg = arg, .e = e };

	return give(&g, "", e);
}

int lb_pool_placed_groups(
	struct db *db, const char *id, int (*fn)(const char *group_id, void *arg), void *arg, struct err *e)
{
	return lb_pool_groups(db, id, fn, arg, e);
}

int lb_placed_pools_of(struct db *db, const char *kind, const char *subject, int (*fn)(const char *id, void *arg),
	void *arg, struct err *e)
{
	return lb_pool_ids_of(db, kind, subject, fn, arg, e);
}
