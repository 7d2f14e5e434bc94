/* object: each kind is decoded into its member; what cannot run is kept as it came, with its reason. */
#include "relayd/conf/object.h"

#include "common/base/buf.h"
#include "common/base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct object *object_of(uint8_t kind, const struct buf *body)
{
	const struct update_entry entry = {
		.kind = kind, .id = "7", .seq = 3, .body = body->data, .body_n = body->len
	};
	struct object *o;

	assert_false(body->failed);
	assert_int_equal(object_new(&o, &entry, NULL), 0);
	assert_true(object_is(o, &entry));
	return o;
}

static void check_fault(uint8_t kind, const struct buf *body, const char *why)
{
	static const struct mapping_conf nothing;
	const struct object *o = object_of(kind, body);

	assert_int_equal(o->kind, OBJECT_FAULTY);
	assert_non_null(strstr(o->fault, why));
	assert_memory_equal(&o->mapping, &nothing, sizeof nothing);
	object_unref(o);
}

static void a_client(void **state)
{
	static const struct client_conf c = { .enabled = true, .single = true, .max_connections = 9, .tenant = "t" };
	const struct object *o;
	struct buf body;

	(void)state;
	buf_init(&body, 1000);
	client_conf_encode(&c, &body);
	o = object_of(OBJECT_CLIENT, &body);
	assert_int_equal(o->kind, OBJECT_CLIENT);
	assert_null(o->fault);
	assert_true(o->client.enabled && o->client.single);
	assert_int_equal(o->client.max_connections, 9);
	object_unref(o);
	check_fault(OBJECT_MAPPING, &body, "decoded");
	check_fault(99, &body, "does not know");
	body.len--;
	check_fault(OBJECT_CLIENT, &body, "decoded");
	buf_free(&body);
}

static void a_mapping(void **state)
{
	static struct cidr net = { 4, 8, { 10 } };
	struct mapping_conf m = {
		.protocol = MAPPING_TCP,
		.port_first = 1,
		.port_last = 1,
		.target_host = "t",
		.target_port = 1,
		.allow = { &net, 1 },
	};
	const struct object *o;
	struct buf body;

	(void)state;
	buf_init(&body, 1000);
	mapping_conf_encode(&m, &body);
	o = object_of(OBJECT_MAPPING, &body);
	assert_int_equal(o->kind, OBJECT_MAPPING);
	assert_int_equal(o->mapping.allow.n, 1);
	object_unref(o);
	buf_free(&body);
}

static void a_pool_and_a_route(void **state)
{
	struct pool_backend backend = { .id = "b", .host = "h", .port = 1 };
	const struct pool_conf pool = {
		.algorithm = POOL_ROUND_ROBIN, .headroom_percent = 100, .backends = &backend, .n_backends = 1
	};
	const char *host = "*";
	struct route_target target = { .pool = "7" };
	const struct route_conf route = { .hosts = &host, .n_hosts = 1, .targets = &target, .n_targets = 1 };
	const struct object *o;
	struct buf body;

	(void)state;
	buf_init(&body, 1000);
	pool_conf_encode(&pool, &body);
	o = object_of(OBJECT_POOL, &body);
	assert_int_equal(o->kind, OBJECT_POOL);
	assert_string_equal(o->pool.backends[0].host, "h");
	object_unref(o);
	check_fault(OBJECT_ROUTE, &body, "decoded");
	buf_reset(&body);
	route_conf_encode(&route, &body);
	o = object_of(OBJECT_ROUTE, &body);
	assert_int_equal(o->kind, OBJECT_ROUTE);
	assert_string_equal(o->route.targets[0].pool, "7");
	object_unref(o);
	buf_free(&body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_client),
		cmocka_unit_test(a_mapping),
		cmocka_unit_test(a_pool_and_a_route),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
