/* Pools and routes on their way to the relays: what was written over the API is in the bodies, which a relay can read; which groups
 * they come to, and what follows from other changes. */
#include "controld/balancer/lb_placed.h"
#include "controld/fleet/group.h"
#include "controld/fleet/line/model.h"
#include "controld/fleet/line/model_reader.h"
#include "controld/fleet/line/roster.h"
#include "tests/unit/controld/tunnels_room.h"

/* ---- what relays read ------------------------------------------------------------------------------------------------ */

static struct pool_conf pool;
static struct route_conf route;

static int on_pool(const struct lb_pool_placed *p, void *arg)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	assert_true(p->present);
	pool_conf_encode(p->conf, &b);
	assert_int_equal(pool_conf_decode(&pool, b.data, b.len), 0);
	buf_free(&b);
	*(int *)arg += 1;
	return 0;
}

static int on_route(const struct lb_route_placed *r, void *arg)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	assert_true(r->present);
	assert_string_equal(r->group_id, "grp_1");
	route_conf_encode(r->conf, &b);
	assert_int_equal(route_conf_decode(&route, b.data, b.len), 0);
	buf_free(&b);
	*(int *)arg += 1;
	return 0;
}

/* Of the only pool and the only route that there are. */
static void read_all(void)
{
	int pools = 0, routes = 0;
	struct db *db;
	struct err e;

	pool_conf_fini(&pool);
	route_conf_fini(&route);
	TEST_STORE_MUST(store_read_begin(room.server.store.store, &db, &e), e);
	TEST_STORE_MUST(lb_pool_placed_all(db, on_pool, &pools, &e), e);
	TEST_STORE_MUST(lb_route_placed_all(db, on_route, &routes, &e), e);
	store_read_end(db);
	assert_int_equal(pools, 1);
	assert_int_equal(routes, 1);
}

static void all_at_their_defaults(void **state)
{
	(void)state;
	call_only("op", "POST", "/api/pools", "{\"name\":\"p\"}", 201);
	call_only("op", "POST", "/api/backends", "{\"address\":\"10.1.1.1:80\",\"pool\":\"p\"}", 201);
	call_only("op", "POST", "/api/routes", "{\"host\":\"a.example\",\"pool\":\"p\"}", 201);
	read_all();
	assert_string_equal(pool.tenant, "red");
	assert_int_equal(pool.algorithm, POOL_ROUND_ROBIN);
	assert_int_equal(pool.sticky, POOL_STICKY_NONE);
	assert_int_equal(pool.health.type, POOL_CHECK_TCP);
	assert_int_equal(pool.health.interval_ms, 30000);
	assert_int_equal(pool.n_backends, 1);
	assert_string_equal(pool.backends[0].host, "10.1.1.1");
	assert_int_equal(pool.backends[0].weight, 100);
	assert_false(pool.backends[0].own_health);
	assert_false(pool.backends[0].dial_any);
	assert_int_equal(pool.dial_allow.n, 1); /* what was granted to the tenant */
	assert_true(route.enabled);
	assert_int_equal(route.n_hosts, 1);
	assert_string_equal(route.hosts[0], "a.example");
	assert_string_equal(route.path_prefix, "");
	assert_int_equal(route.n_targets, 1);
	assert_int_equal(route.ssl, ROUTE_SSL_OFF);
	assert_int_equal(route.retries, 3);
	assert_int_equal(route.retry_on, ROUTE_RETRY_CONNECT | ROUTE_RETRY_RESET);
}

static const char full_pool[] =
	"{\"name\":\"p\",\"algorithm\":\"adaptive_ai\",\"sticky_sessions\":true,\"sticky\":{\"cookie_name\":\"c\","
	"\"ttl\":\"1h\"},"
	"\"health_check\":{\"type\":\"http\",\"path\":\"/"
	"h\",\"method\":\"HEAD\",\"host\":\"x.example\",\"interval\":\"2s\","
	"\"rise\":1,\"fall\":2,\"expected_status\":[200,204],\"expected_body\":\"ok\"},"
	"\"outlier\":{\"consecutive_errors\":3,\"success_rate\":false,\"ejection_time\":\"1s\",\"max_ejected_percent\":"
	"10},"
	"\"panic_threshold\":30,\"queue\":{\"max\":7,\"timeout\":\"1s\"},\"retry_budget\":{\"percent\":5,\"per_"
	"second\":1},"
	"\"slow_start\":\"10s\",\"region_headroom\":120,\"protocol\":\"h2\",\"tls\":{\"enabled\":true,\"verify\":false,"
	"\"server_name\":\"s.example\"},\"timeouts\":{\"connect\":\"1s\",\"response\":\"2s\"},\"proxy_protocol\":"
	"\"v2\"}";

static void pools_with_everything(void **state)
{
	(void)state;
	call_only("op", "POST", "/api/pools", full_pool, 201);
	call_only("admin", "POST", "/api/backends",
		"{\"address\":\"127.0.0.1:81\",\"pool\":\"p\",\"weight\":0,\"region\":\"eu\",\"backup\":true,\"max_"
		"connections\":9,"
		"\"health_check\":{\"type\":\"tcp\",\"interval\":\"5s\"}}",
		201);
	call_only("op", "POST", "/api/routes", "{\"host\":\"a.example\",\"pool\":\"p\"}", 201);
	read_all();
	assert_int_equal(pool.algorithm, POOL_ADAPTIVE_AI);
	assert_int_equal(pool.sticky, POOL_STICKY_COOKIE);
	assert_string_equal(pool.cookie, "c");
	assert_int_equal(pool.sticky_ttl_s, 3600);
	assert_int_equal(pool.health.type, POOL_CHECK_HTTP);
	assert_int_equal(pool.health.interval_ms, 2000);
	assert_int_equal(pool.health.timeout_ms, 2000); /* not longer than the interval */
	assert_string_equal(pool.health.method, "HEAD");
	assert_string_equal(pool.health.body, "ok");
	assert_int_equal(pool.health.n_statuses, 2);
	assert_int_equal(pool.health.statuses[1].first, 204);
	assert_int_equal(pool.outlier.failures_in_row, 3);
	assert_int_equal(pool.outlier.deviations, 0);
	assert_int_equal(pool.panic_percent, 30);
	assert_int_equal(pool.queue_max, 7);
	assert_int_equal(pool.retry_percent, 5);
	assert_int_equal(pool.slow_start_ms, 10000);
	assert_int_equal(pool.headroom_percent, 120);
	assert_int_equal(pool.protocol, POOL_H2);
	assert_true(pool.tls && !pool.tls_verify);
	assert_string_equal(pool.server_name, "s.example");
	assert_int_equal(pool.response_timeout_ms, 2000);
	assert_int_equal(pool.proxy_out, MAPPING_PROXY_V2);
	assert_int_equal(pool.backends[0].weight, 0);
	assert_true(pool.backends[0].backup && pool.backends[0].dial_any); /* a system administrator wrote it */
	assert_string_equal(pool.backends[0].region, "eu");
	assert_true(pool.backends[0].own_health);
	assert_int_equal(pool.backends[0].health.type, POOL_CHECK_TCP);
	assert_int_equal(pool.backends[0].health.interval_ms, 5000);
	assert_int_equal(pool.backends[0].health.fall, 2); /* what it does not say is the pool's */
}

static const char full_route[] =
	"{\"host\":\"*.blue.example\",\"aliases\":[\"B.example\"],\"path_prefix\":\"/"
	"api\",\"methods\":[\"GET\",\"POST\"],"
	"\"headers\":[{\"name\":\"X-Beta\",\"value\":\"1\"},{\"name\":\"X-Any\"}],\"priority\":5,\"ssl_enabled\":true,"
	"\"targets\":[{\"pool\":\"p\",\"weight\":9}],\"rewrite\":{\"prefix\":\"/v2\",\"host\":\"in.example\"},"
	"\"request_headers\":{\"set\":{\"X-A\":\"1\"},\"add\":{\"X-B\":\"2\"},\"remove\":[\"X-C\"]},"
	"\"response_headers\":{\"remove\":[\"Server\"]},\"timeouts\":{\"request\":\"10s\",\"response\":\"5s\",\"idle\":"
	"\"60s\"},"
	"\"retries\":{\"max\":1,\"on\":[\"5xx\"]},\"rate_limit\":{\"per_second\":10,\"key\":\"header\",\"header\":\"X-"
	"Key\"},"
	"\"bandwidth\":{\"in\":1000,\"out\":2000},\"max_body\":4096,\"max_requests\":8,\"allow\":[\"10.0.0.0/"
	"8\"],\"deny\":["
	"\"10.1.0.0/16\"],\"cors\":{\"origins\":[\"https://"
	"a.example\"],\"methods\":[\"GET\",\"PUT\"],\"credentials\":true},"
	"\"gzip\":{\"enabled\":true,\"level\":9,\"types\":[\"text/css\",\"text/"
	"html\"]},\"mirror\":{\"pool\":\"p\",\"percent\":3},"
	"\"error_pages\":[{\"status\":503,\"body\":\"<p>soon</p>\"}],\"access_log\":false}";

static void routes_with_everything(void **state)
{
	(void)state;
	call_only("blue", "POST", "/api/pools", "{\"name\":\"p\"}", 201);
	call_only("blue", "POST", "/api/routes", full_route, 201);
	read_all();
	assert_int_equal(route.n_hosts, 2);
	assert_string_equal(route.hosts[1], "b.example");
	assert_string_equal(route.path_prefix, "/api");
	assert_int_equal(route.n_fields, 2);
	assert_string_equal(route.fields[0].name, "x-beta");
	assert_true(!route.fields[0].any && route.fields[1].any);
	assert_int_equal(route.ssl, ROUTE_SSL_ON);
	assert_int_equal(route.priority, 5);
	assert_int_equal(route.n_targets, 1);
	assert_int_equal(route.targets[0].weight, 9);
	assert_string_equal(route.targets[0].pool, route.mirror_pool); /* ids of the same pool */
	assert_true(str_starts(route.mirror_pool, "pol_"));
	assert_int_equal(route.mirror_percent, 3);
	assert_true(route.rewrite);
	assert_string_equal(route.rewrite_prefix, "/v2");
	assert_int_equal(route.n_request_rules, 3);
	assert_int_equal(route.n_response_rules, 1);
	assert_string_equal(route.response_rules[0].name, "server");
	assert_int_equal(route.request_timeout_ms, 10000);
	assert_int_equal(route.retries, 1);
	assert_int_equal(route.retry_on, ROUTE_RETRY_5XX);
	assert_int_equal(route.rate.burst, 10);
	assert_int_equal(route.rate.key, ROUTE_RATE_FIELD);
	assert_string_equal(route.rate.field, "x-key");
	assert_int_equal(route.rate_out, 2000);
	assert_int_equal(route.max_body, 4096);
	assert_int_equal(route.allow.n, 1);
	assert_int_equal(route.deny.n, 1);
	assert_true(route.cors.on && route.cors.credentials);
	assert_string_equal(route.cors.methods, "GET, PUT");
	assert_int_equal(route.cors.max_age_s, 600);
	assert_true(route.gzip.on);
	assert_string_equal(route.gzip.types, "text/css, text/html");
	assert_int_equal(route.n_pages, 1);
	assert_false(route.access_log);
}

/* People may be told more than relays keep. */
static void routes_with_much_to_say(void **state)
{
	char body[2048];

	(void)state;
	call_only("op", "POST", "/api/pools", "{\"name\":\"p\"}", 201);
	str_fmt(body, sizeof body, "{\"host\":\"a.example\",\"pool\":\"p\",\"description\":\"%0700d\"}", 0);
	call_only("op", "POST", "/api/routes", body, 201);
	read_all();
	assert_int_equal(strlen(route.name), 255);
}

static void routes_that_redirect(void **state)
{
	(void)state;
	call_only("op", "POST", "/api/pools", "{\"name\":\"p\"}", 201);
	call_only("op", "POST", "/api/routes",
		"{\"host\":\"a.example\",\"redirect\":{\"status\":308,\"location\":\"https://{host}{path}\"}}", 201);
	read_all();
	assert_int_equal(route.n_targets, 0);
	assert_int_equal(route.redirect_status, 308);
	assert_string_equal(route.redirect_to, "https://{host}{path}");
}

/* ---- which groups they come to ---------------------------------------------------------------------------------------- */

static struct model_reader *reader;
static struct roster *roster;

static void on_node(const char *id, const struct node *before, const struct node *now, void *arg)
{
	(void)id;
	(void)before;
	(void)now;
	(void)arg;
}

/* Besides the keys of session tickets, which every group has. */
static size_t objects(const char *group)
{
	struct err e;

	assert_true(model_reader_catch_up(reader, &e) >= 0);
	return model_group_count(model_reader_model(reader), group) - 1;
}

static void open_reader(void)
{
	struct model_reader_conf c = { .changes_max = 1000, .recall_max = 1000, .on_node = on_node };
	struct err e;

	run_sql("INSERT INTO node_groups (id, tenant_id, name, description, version, created_ms, updated_ms) VALUES "
		"('grp_1', '', 'default', '', 1, 0, 0), ('grp_2', '', 'eu', '', 1, 0, 0)");
	assert_int_equal(roster_new(&roster, 15000, &e), 0);
	c.store = room.server.store.store;
	c.roster = roster;
	TEST_STORE_MUST(model_reader_new(&reader, &c, &e), e);
}

static void close_reader(void)
{
	model_reader_free(reader);
	roster_free(roster);
}

static void a_pool_is_where_routes_need_it(void **state)
{
	char path[64];
	json_t *r;

	(void)state;
	open_reader();
	call_only("op", "POST", "/api/pools", "{\"name\":\"p\"}", 201);
	assert_int_equal(objects("grp_1"), 1); /* so that its backends are checked already */
	r = call("op", "POST", "/api/routes", "{\"host\":\"a.example\",\"pool\":\"p\",\"group\":\"eu\"}", 201);
	str_fmt(path, sizeof path, "/api/routes/%s", text_in(r, "id"));
	json_decref(r);
	assert_int_equal(objects("grp_1"), 0);
	assert_int_equal(objects("grp_2"), 2);
	call_only("op", "POST", "/api/routes", "{\"host\":\"b.example\",\"pool\":\"p\"}", 201);
	assert_int_equal(objects("grp_1"), 2);
	assert_int_equal(objects("grp_2"), 2);
	call_only("op", "PUT", path, "{\"group\":\"default\"}", 200);
	assert_int_equal(objects("grp_1"), 3);
	assert_int_equal(objects("grp_2"), 0);
	call_only("op", "PUT", path, "{\"status\":\"inactive\"}", 200);
	assert_int_equal(objects("grp_1"), 2);
	call_only("op", "DELETE", path, NULL, 204);
	assert_int_equal(objects("grp_1"), 2);
	close_reader();
}

/* What controld knows when it starts is what it would know if it had been there. */
static void a_start_finds_the_same(void **state)
{
	struct err e;

	(void)state;
	open_reader();
	call_only("op", "POST", "/api/pools", "{\"name\":\"p\"}", 201);
	call_only("op", "POST", "/api/backends", "{\"address\":\"10.1.1.1:80\",\"pool\":\"p\"}", 201);
	call_only("op", "POST", "/api/routes", "{\"host\":\"a.example\",\"pool\":\"p\"}", 201);
	assert_int_equal(objects("grp_1"), 2);
	close_reader();
	struct model_reader_conf c = {
		.store = room.server.store.store, .changes_max = 9, .recall_max = 9, .on_node = on_node
	};
	assert_int_equal(roster_new(&roster, 15000, &e), 0);
	c.roster = roster;
	TEST_STORE_MUST(model_reader_new(&reader, &c, &e), e);
	assert_int_equal(objects("grp_1"), 2);
	close_reader();
}

/* A tenant that is suspended: its routes are told to be off, its pools stay as they are. */
static void suspension_reaches_routes(void **state)
{
	uint64_t before;

	(void)state;
	open_reader();
	call_only("op", "POST", "/api/pools", "{\"name\":\"p\"}", 201);
	call_only("op", "POST", "/api/routes", "{\"host\":\"a.example\",\"pool\":\"p\"}", 201);
	objects("grp_1");
	before = model_changes(model_reader_model(reader));
	run_sql("UPDATE tenants SET status = 'suspended' WHERE id = 'red'");
	call_only("admin", "POST", "/api/v1/mappings", MAPPING(""), 201);
	run_sql("INSERT INTO changes (seq, tx, time_ms, tenant_id, actor, request_id, kind, op, subject, fields, "
		"object) SELECT "
		"max(seq) + 1, max(seq) + 1, 1, 'red', 'x', '', 'tenant', 'update', 'red', 'status', NULL FROM "
		"changes");
	objects("grp_1");
	assert_true(model_changes(model_reader_model(reader)) > before + 1);
	read_all();
	assert_false(route.enabled);
	close_reader();
}

static int end(void **state)
{
	pool_conf_fini(&pool);
	route_conf_fini(&route);
	return teardown(state);
}

static int begin(void **state)
{
	struct err e;

	if (setup(state) != 0)
		return -1;
	TEST_STORE_MUST(balancer_bootstrap(room.server.store.store, &e), e);
	return 0;
}

#define SEQUENCE(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SEQUENCE(all_at_their_defaults),
		SEQUENCE(pools_with_everything),
		SEQUENCE(routes_with_everything),
		SEQUENCE(routes_with_much_to_say),
		SEQUENCE(routes_that_redirect),
		SEQUENCE(a_pool_is_where_routes_need_it),
		SEQUENCE(a_start_finds_the_same),
		SEQUENCE(suspension_reaches_routes),
	};

	log_init("test_balancer_placed", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, 2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
