/* route_conf: golden bytes, round trip of every field, what is not sound. */
#include "proto/route_conf.h"
#include "tests/unit/proto/wire.h"

static int decode(const void *p, size_t n)
{
	struct route_conf route;
	int rc = route_conf_decode(&route, p, n);

	if (rc == 0)
		route_conf_fini(&route);
	else
		assert_null(route.mem.pieces);
	return rc;
}

static struct route_conf least(void)
{
	static const char *hosts[] = { "*" };
	static struct route_target target = { .pool = "p" };

	return (struct route_conf){ .hosts = hosts, .n_hosts = 1, .targets = &target, .n_targets = 1 };
}

/* Every field has a value of its own, so that two that changed places show. */
static struct route_conf most(void)
{
	static const char *hosts[] = { "a.b", "*.c" }, *origins[] = { "https://o" };
	static struct route_want wants[] = { { "x-a", "1", false }, { "x-b", "", true } };
	static struct route_target targets[] = { { "p1", 90 }, { "p2", 10 } };
	static struct route_rule in[] = { { ROUTE_RULE_SET, "x-c", "2" } };
	static struct route_rule out[] = { { ROUTE_RULE_REMOVE, "server", "" }, { ROUTE_RULE_ADD, "x-d", "3" } };
	static struct cidr allow[] = { { 4, 8, { 10 } } }, deny[] = { { 4, 32, { 10, 1, 2, 3 } } };
	static struct route_page pages[] = { { 503, "text/html", "<p>" } };

	return (struct route_conf){
		.tenant = "ten_a",
		.name = "r",
		.enabled = true,
		.priority = 0x11,
		.hosts = hosts,
		.n_hosts = 2,
		.path_prefix = "/api",
		.methods = 0x06,
		.fields = wants,
		.n_fields = 2,
		.ssl = ROUTE_SSL_ONLY,
		.targets = targets,
		.n_targets = 2,
		.redirect_status = 301,
		.redirect_to = "/t",
		.rewrite = true,
		.rewrite_prefix = "/v",
		.rewrite_host = "h",
		.request_rules = in,
		.n_request_rules = 1,
		.response_rules = out,
		.n_response_rules = 2,
		.request_timeout_ms = 0x12,
		.response_timeout_ms = 0x13,
		.idle_timeout_ms = 0x14,
		.retries = 2,
		.retry_on = ROUTE_RETRY_CONNECT | ROUTE_RETRY_5XX,
		.rate = { 0x15, 0x16, ROUTE_RATE_FIELD, "x-k" },
		.rate_in = 0x17,
		.rate_out = 0x18,
		.max_body = 0x19,
		.max_in_flight = 0x1a,
		.allow = { allow, 1 },
		.deny = { deny, 1 },
		.account = "acc",
		.cors = { true, true, 0x1b, origins, 1, "GET", "x-e", "x-f" },
		.gzip = { true, 6, 0x1c, "text/css" },
		.mirror_pool = "p3",
		.mirror_percent = 5,
		.pages = pages,
		.n_pages = 1,
		.client_auth = ROUTE_CLIENT_REQUIRED,
		.client_ca = "PEM",
		.access_log = true,
	};
}

static void encode(struct buf *b, const struct route_conf *r)
{
	buf_init(b, PROTO_MSG_MAX);
	route_conf_encode(r, b);
	assert_false(b->failed);
}

static void test_golden(void **state)
{
	const struct route_conf route = most();
	struct buf b;

	(void)state;
	encode(&b, &route);
	assert_wire(&b, "01 0005 74656e5f61 0001 72 01 00000011"
			" 00000002 0003 612e62 0003 2a2e63 0004 2f617069 00000006"
			" 00000002 0003 782d61 0001 31 00 0003 782d62 0000 01 02"
			" 00000002 0002 7031 0000005a 0002 7032 0000000a 012d 0002 2f74 01 0002 2f76 0001 68"
			" 00000001 00 0003 782d63 0001 32"
			" 00000002 02 0006 736572766572 0000 01 0003 782d64 0001 33"
			" 00000012 00000013 00000014 00000002 00000009"
			" 00000015 00000016 02 0003 782d6b 0000000000000017 0000000000000018 0000000000000019 0000001a"
			" 00000001 04 08 0a000000 00000001 04 20 0a010203 0003 616363"
			" 01 01 0000001b 00000001 0009 68747470733a2f2f6f 0003 474554 0003 782d65 0003 782d66"
			" 01 06 0000001c 0008 746578742f637373 0002 7033 00000005"
			" 00000001 01f7 0009 746578742f68746d6c 00000003 3c703e 02 00000003 50454d 01");
	for (size_t n = 0; n < b.len; n++)
		assert_int_equal(wire_decode_copy(decode, b.data, n), -1);
	for (size_t bit = 0; bit < 8 * b.len; bit++) {
		b.data[bit / 8] ^= (uint8_t)BIT(bit % 8);
		(void)wire_decode_copy(decode, b.data, b.len);
		b.data[bit / 8] ^= (uint8_t)BIT(bit % 8);
	}
	buf_u8(&b, 0);
	assert_int_equal(wire_decode_copy(decode, b.data, b.len), -1);
	buf_free(&b);
}

static void assert_same_again(const struct route_conf *route)
{
	struct route_conf got;
	struct buf b, again;

	encode(&b, route);
	assert_int_equal(route_conf_decode(&got, b.data, b.len), 0);
	encode(&again, &got);
	assert_int_equal(again.len, b.len);
	assert_memory_equal(again.data, b.data, b.len);
	route_conf_fini(&got);
	buf_free(&b);
	buf_free(&again);
}

static void test_round_trip(void **state)
{
	const struct route_conf full = most(), empty = least();
	struct route_conf got;
	struct buf b;

	(void)state;
	assert_same_again(&full);
	assert_same_again(&empty);
	encode(&b, &full);
	assert_int_equal(route_conf_decode(&got, b.data, b.len), 0);
	assert_string_equal(got.hosts[1], "*.c");
	assert_true(got.fields[1].any);
	assert_string_equal(got.targets[1].pool, "p2");
	assert_int_equal(got.response_rules[1].op, ROUTE_RULE_ADD);
	assert_string_equal(got.cors.origins[0], "https://o");
	assert_string_equal(got.pages[0].body, "<p>");
	route_conf_fini(&got);
	buf_free(&b);
}

/* A route that is wrong in one place. */
#define assert_refused(member, value)                         \
	do {                                                  \
		struct route_conf route = most();             \
		struct buf b;                                 \
		route.member = (value);                       \
		encode(&b, &route);                           \
		if (decode(b.data, b.len) == 0)               \
			fail_msg("%s = %s", #member, #value); \
		buf_free(&b);                                 \
	} while (0)

static void test_refused(void **state)
{
	static const char *capitals[] = { "A.b", "*.c" };
	struct route_want with_value[] = { { "x-a", "1", true }, { "x-b", "", true } }, big[] = { { "X", "", false } };
	struct route_target heavy[] = { { "p", ROUTE_WEIGHT_MAX + 1 }, { "p", 0 } },
			    no_pool[] = { { "", 1 }, { "p", 1 } };
	struct route_rule line[] = { { ROUTE_RULE_SET, "x", "a\r\nb" } }, blank[] = { { ROUTE_RULE_SET, "x", " a" } };
	struct route_rule op[] = { { 3, "x", "" } };
	struct route_page early[] = { { 200, "", "" } };

	(void)state;
	assert_refused(n_hosts, 0);
	assert_refused(hosts, capitals);
	assert_refused(path_prefix, "api");
	assert_refused(path_prefix, "/a b");
	assert_refused(methods, ROUTE_METHODS + 1);
	assert_refused(fields, with_value);
	assert_refused(ssl, 3);
	assert_refused(targets, heavy);
	assert_refused(targets, no_pool);
	assert_refused(redirect_status, 200);
	assert_refused(redirect_to, "");
	assert_refused(redirect_to, "/\r\nx: y");
	assert_refused(rewrite, false); /* and yet there is a prefix */
	assert_refused(rewrite_prefix, "v");
	assert_refused(rewrite_host, "a b");
	assert_refused(request_rules, line);
	assert_refused(request_rules, blank);
	assert_refused(request_rules, op);
	assert_refused(retries, ROUTE_RETRIES_MAX + 1);
	assert_refused(retry_on, ROUTE_RETRY_ALL + 1);
	assert_refused(rate.key, 3);
	assert_refused(rate.key, ROUTE_RATE_SOURCE); /* and yet there is a field */
	assert_refused(rate.field, "");
	assert_refused(cors.methods, "\n");
	assert_refused(gzip.level, 0);
	assert_refused(gzip.level, 10);
	assert_refused(mirror_percent, 101);
	assert_refused(pages, early);
	assert_refused(client_auth, 3);
	assert_refused(client_ca, ""); /* and yet certificates are asked for */
	{
		struct route_conf route = least();
		struct buf b;

		route.n_targets = 0; /* neither a pool nor a redirect */
		encode(&b, &route);
		assert_int_equal(decode(b.data, b.len), -1);
		buf_free(&b);
		route = least();
		route.fields = big;
		route.n_fields = 1;
		encode(&b, &route);
		assert_int_equal(decode(b.data, b.len), -1);
		buf_free(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
