#include "common/tunnel/frame_hello.h"

#include "common/base/buf.h"
#include "common/tunnel/frame_check.h"
#include "common/tunnel/frame_offer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	const char *what;
	uint8_t bytes[FRAME_HEAD];
	int rc;
} heads[] = {
	{ "data", { FRAME_DATA, 1, 0, 0, 0, 0, 0, 2 }, 0 },
	{ "too much data", { FRAME_DATA, 1, 0, 1, 0, 0, 0, 2 }, -1 },
	{ "data of no stream", { FRAME_DATA, 0, 0, 1, 0, 0, 0, 0 }, -1 },
	{ "ping of a stream", { FRAME_PING, 0, 0, 8, 0, 0, 0, 1 }, -1 },
	{ "ping", { FRAME_PING, 0, 0, 8, 0, 0, 0, 0 }, 0 },
	{ "long fin", { FRAME_FIN, 0, 0, 1, 0, 0, 0, 4 }, -1 },
	{ "type 0", { 0, 0, 0, 0, 0, 0, 0, 0 }, -1 },
	{ "unknown type", { FRAME_TYPES_END, 0, 0, 0, 0, 0, 0, 1 }, -1 },
	{ "huge", { FRAME_OPEN, 0xff, 0xff, 0xff, 0, 0, 0, 1 }, -1 },
};

static void test_heads(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		struct frame_head h;
		uint8_t again[FRAME_HEAD];

		if (frame_get_head(&h, heads[i].bytes) != heads[i].rc)
			fail_msg("%s", heads[i].what);
		if (heads[i].rc != 0)
			continue;
		frame_put_head(again, h.type, h.n, h.stream);
		assert_memory_equal(again, heads[i].bytes, FRAME_HEAD);
	}
}

/* Takes the frame out of b and checks its head. */
static const uint8_t *payload(const struct buf *b, enum frame_type type, uint32_t stream, struct frame_head *h)
{
	assert_false(b->failed);
	assert_int_equal(frame_get_head(h, b->data), 0);
	assert_int_equal(h->type, type);
	assert_int_equal(h->stream, stream);
	assert_int_equal(h->n, b->len - FRAME_HEAD);
	return b->data + FRAME_HEAD;
}

static void test_check(void **state)
{
	static const uint8_t golden[] = "\x0e\x00\x00\x26\x00\x00\x00\x00\x00\x05map_1\x02\x00\x09localhost\x00\x50"
					"\x00\x00\x03\xe8\x00\x00\x00\x64\x02\x03\x00\x03/up\x00\xcc";
	const struct frame_check in = { "map_1", { FRAME_CHECK_HTTP, "localhost", 80, 1000, 100, 2, 3, "/up", 204 } };
	struct frame_check out, bad;
	struct frame_head h;
	const uint8_t *p;
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	frame_check_put(&b, &in);
	assert_int_equal(b.len, sizeof golden - 1);
	assert_memory_equal(b.data, golden, b.len);
	p = payload(&b, FRAME_CHECK, 0, &h);
	assert_int_equal(frame_check_get(&out, p, h.n), 0);
	assert_memory_equal(&out.spec, &in.spec, sizeof out.spec);
	for (uint32_t n = 0; n < h.n; n++)
		assert_int_equal(frame_check_get(&out, p, n), -1);
	static const struct frame_check_spec bads[] = {
		{ FRAME_CHECK_HTTP + 1, "h", 80, 1000, 100, 2, 3, "/", 0 },
		{ FRAME_CHECK_TCP, "", 80, 1000, 100, 2, 3, "/", 0 },
		{ FRAME_CHECK_TCP, "h", 0, 1000, 100, 2, 3, "/", 0 },
		{ FRAME_CHECK_TCP, "h", 80, 999, 100, 2, 3, "/", 0 },
		{ FRAME_CHECK_TCP, "h", 80, 1000, 60001, 2, 3, "/", 0 },
		{ FRAME_CHECK_TCP, "h", 80, 1000, 100, 0, 3, "/", 0 },
		{ FRAME_CHECK_TCP, "h", 80, 1000, 100, 2, 11, "/", 0 },
		{ FRAME_CHECK_HTTP, "h", 80, 1000, 100, 2, 3, "/ HTTP/1.1", 0 },
		{ FRAME_CHECK_HTTP, "h", 80, 1000, 100, 2, 3, "/\r\nX:", 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(bads); i++) {
		bad = (struct frame_check){ "map_1", bads[i] };
		buf_reset(&b);
		frame_check_put(&b, &bad);
		p = payload(&b, FRAME_CHECK, 0, &h);
		if (frame_check_get(&out, p, h.n) == 0)
			fail_msg("spec %zu is taken", i);
	}
	buf_free(&b);
}

static void test_narrow(void **state)
{
	static const uint8_t golden[] = "\x15\x00\x00\x04\x00\x00\x00\x07\x00\x01\x00\x00";
	struct frame_head h;
	uint32_t bytes;
	const uint8_t *p;
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	frame_narrow_put(&b, FRAME_NARROW, 7, 65536);
	assert_int_equal(b.len, sizeof golden - 1);
	assert_memory_equal(b.data, golden, b.len);
	p = payload(&b, FRAME_NARROW, 7, &h);
	assert_int_equal(frame_narrow_get(&bytes, p, h.n), 0);
	assert_int_equal(bytes, 65536);
	assert_int_equal(frame_narrow_get(&bytes, p, h.n - 1), -1);
	buf_reset(&b);
	frame_narrow_put(&b, FRAME_NARROWED, 7, 0);
	p = payload(&b, FRAME_NARROWED, 7, &h);
	assert_int_equal(frame_narrow_get(&bytes, p, h.n), 0);
	assert_int_equal(bytes, 0);
	buf_free(&b);
}

static void test_rules(void **state)
{
	static const uint8_t golden[] = "\x14\x00\x00\x05\x00\x00\x00\x00\x00\x00\x03\xe8\x01";
	const struct frame_rules in = { 1000, true };
	struct frame_rules out;
	struct frame_head h;
	const uint8_t *p;
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	frame_rules_put(&b, &in);
	assert_int_equal(b.len, sizeof golden - 1);
	assert_memory_equal(b.data, golden, b.len);
	p = payload(&b, FRAME_RULES, 0, &h);
	assert_int_equal(frame_rules_get(&out, p, h.n), 0);
	assert_true(out.reconnect && out.ping_ms == 1000);
	b.data[b.len - 1] = 2;
	assert_int_equal(frame_rules_get(&out, p, h.n), -1);
	memset(b.data + FRAME_HEAD, 0, 5); /* no ping */
	assert_int_equal(frame_rules_get(&out, p, h.n), -1);
	buf_free(&b);
}

static void test_health(void **state)
{
	static const uint8_t golden[] = "\x0f\x00\x00\x0d\x00\x00\x00\x00\x00\x05map_1\x00\x00\x03off";
	const struct frame_health in = { "map_1", false, "off" };
	struct frame_health out;
	struct frame_head h;
	const uint8_t *p;
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	frame_health_put(&b, &in);
	assert_int_equal(b.len, sizeof golden - 1);
	assert_memory_equal(b.data, golden, b.len);
	p = payload(&b, FRAME_HEALTH, 0, &h);
	assert_int_equal(frame_health_get(&out, p, h.n), 0);
	assert_string_equal(out.reason, "off");
	for (uint32_t n = 0; n < h.n; n++)
		assert_int_equal(frame_health_get(&out, p, n), -1);
	b.data[FRAME_HEAD + 7] = 1; /* up, with a reason why it is not */
	assert_int_equal(frame_health_get(&out, p, h.n), -1);
	b.data[FRAME_HEAD + 7] = 2;
	assert_int_equal(frame_health_get(&out, p, h.n), -1);
	buf_free(&b);
}

static void test_open(void **state)
{
	static const uint8_t golden[] =
		"\x07\x00\x00\x20\x00\x00\x00\x02\x01\x00\x05map_1\x00\x09localhost\x00\x16\x00\x03"
		"a:1\x01\x00\x03"
		"any";
	const struct frame_open in = { .kind = FRAME_TCP,
		.mapping = "map_1",
		.host = "localhost",
		.port = 22,
		.source = "a:1",
		.zip = true,
		.within = "any" };
	struct frame_open out;
	struct frame_head h;
	const uint8_t *p;
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	frame_open_put(&b, 2, &in);
	assert_int_equal(b.len, sizeof golden - 1);
	assert_memory_equal(b.data, golden, b.len);
	p = payload(&b, FRAME_OPEN, 2, &h);
	assert_int_equal(frame_open_get(&out, p, h.n), 0);
	assert_string_equal(out.host, "localhost");
	assert_int_equal(out.port, 22);
	assert_string_equal(out.within, "any");
	for (uint32_t n = 0; n < h.n; n++)
		assert_int_equal(frame_open_get(&out, p, n), -1);
	b.data[FRAME_HEAD] = 3; /* kind */
	assert_int_equal(frame_open_get(&out, p, h.n), -1);
	buf_free(&b);
}

/* The longest of each field is within what a frame may be. */
static void test_longest_open(void **state)
{
	struct frame_open in = { .kind = FRAME_UDP, .port = 1 }, out;
	struct frame_head h;
	const uint8_t *p;
	struct buf b;

	(void)state;
	memset(in.mapping, 'm', sizeof in.mapping - 1);
	memset(in.host, 'h', sizeof in.host - 1);
	memset(in.source, 's', sizeof in.source - 1);
	memset(in.within, 'w', sizeof in.within - 1);
	buf_init(&b, 4096);
	frame_open_put(&b, 2, &in);
	p = payload(&b, FRAME_OPEN, 2, &h);
	assert_int_equal(frame_open_get(&out, p, h.n), 0);
	assert_string_equal(out.within, in.within);
	buf_free(&b);
}

static void test_offer(void **state)
{
	static const uint8_t golden[] = "\x12\x00\x00\x15\x00\x00\x00\x00\x02\x00\x05map_1\x00\x07"
					"1.2.3.4\x04\x00\x04\x01";
	const struct frame_offer in = {
		.kind = FRAME_UDP, .mapping = "map_1", .bind = "1.2.3.4", .first = 1024, .last = 1025
	};
	char mapping[FRAME_ID_SIZE];
	struct frame_offer out;
	struct frame_head h;
	const uint8_t *p;
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	frame_offer_put(&b, &in);
	assert_int_equal(b.len, sizeof golden - 1);
	assert_memory_equal(b.data, golden, b.len);
	p = payload(&b, FRAME_OFFER, 0, &h);
	assert_int_equal(frame_offer_get(&out, p, h.n), 0);
	assert_string_equal(out.bind, in.bind);
	assert_int_equal(out.last, in.last);
	for (uint32_t n = 0; n < h.n; n++)
		assert_int_equal(frame_offer_get(&out, p, n), -1);
	b.data[b.len - 1] = 0xff; /* 1024 to 1279 */
	assert_int_equal(frame_offer_get(&out, p, h.n), 0);
	b.data[b.len - 2] = 3; /* the last before the first */
	assert_int_equal(frame_offer_get(&out, p, h.n), -1);
	buf_reset(&b);
	frame_withdraw_put(&b, "map_1");
	p = payload(&b, FRAME_WITHDRAW, 0, &h);
	assert_int_equal(frame_withdraw_get(mapping, p, h.n), 0);
	assert_string_equal(mapping, "map_1");
	assert_int_equal(frame_withdraw_get(mapping, p, h.n - 1), -1);
	buf_free(&b);
}

static void test_hello(void **state)
{
	struct frame_hello in = { .client = "9007199254740991",
		.instance = "i",
		.epoch = UINT64_MAX,
		.version = "0.1.0",
		.role = FRAME_FOR_ONE,
		.lane = 515 };
	struct frame_hello out;
	struct frame_head h;
	const uint8_t *p;
	struct buf b;

	(void)state;
	memset(in.signature, 7, sizeof in.signature);
	buf_init(&b, 4096);
	frame_hello_put(&b, &in);
	p = payload(&b, FRAME_HELLO, 0, &h);
	assert_int_equal(frame_hello_get(&out, p, h.n), 0);
	assert_string_equal(out.client, in.client);
	assert_true(out.epoch == in.epoch);
	assert_memory_equal(out.signature, in.signature, sizeof in.signature);
	assert_int_equal(out.role, FRAME_FOR_ONE);
	assert_int_equal(out.lane, 515);
	b.data[FRAME_HEAD] = FRAME_VERSION + 1;
	assert_int_equal(frame_hello_get(&out, p, h.n), -1);
	buf_free(&b);
}

/* A signature covers every field: two hellos that differ anywhere are signed differently. */
static void test_signed_bytes(void **state)
{
	static const struct frame_hello variants[] = {
		{ .client = "1", .instance = "a", .epoch = 1, .version = "v" },
		{ .client = "2", .instance = "a", .epoch = 1, .version = "v" },
		{ .client = "1", .instance = "b", .epoch = 1, .version = "v" },
		{ .client = "1", .instance = "a", .epoch = 2, .version = "v" },
		{ .client = "1", .instance = "a", .epoch = 1, .version = "w" },
		{ .client = "1a", .instance = "", .epoch = 1, .version = "v" },
		{ .client = "1", .instance = "a", .epoch = 1, .version = "v", .role = FRAME_FOR_ONE },
		{ .client = "1", .instance = "a", .epoch = 1, .version = "v", .role = FRAME_FOR_ONE, .lane = 1 },
	};
	struct buf made[ARRAY_LEN(variants)];
	uint8_t exported[FRAME_EXPORTED] = { 1 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(variants); i++) {
		buf_init(&made[i], 4096);
		frame_hello_signed(&variants[i], exported, &made[i]);
		for (size_t k = 0; k < i; k++)
			assert_true(made[i].len != made[k].len || memcmp(made[i].data, made[k].data, made[i].len) != 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(variants); i++)
		buf_free(&made[i]);
}

static void test_small_frames(void **state)
{
	struct frame_welcome w = { .node = "n",
		.links = 2,
		.ping_ms = 5000,
		.window = 65536,
		.backoff_ms = 60000,
		.lane = 7 },
			     w2;
	struct frame_end end = { .code = 11, .retry_ms = 100, .reason = "busy" }, end2;
	struct frame_head h;
	const uint8_t *p;
	uint64_t stamp;
	uint16_t links;
	bool zip;
	uint32_t more;
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	frame_welcome_put(&b, &w);
	p = payload(&b, FRAME_WELCOME, 0, &h);
	assert_int_equal(frame_welcome_get(&w2, p, h.n), 0);
	assert_int_equal(w2.links, 2);
	assert_int_equal(w2.lane, 7);
	buf_reset(&b);
	w.links = 0;
	frame_welcome_put(&b, &w);
	assert_int_equal(frame_welcome_get(&w2, b.data + FRAME_HEAD, b.len - FRAME_HEAD), -1);
	buf_reset(&b);
	frame_opened_put(&b, 4, true);
	p = payload(&b, FRAME_OPENED, 4, &h);
	assert_int_equal(h.n, 1);
	assert_int_equal(frame_opened_get(&zip, p, h.n), 0);
	assert_true(zip);
	assert_int_equal(frame_opened_get(&zip, (const uint8_t *)"\2", 1), -1);
	buf_reset(&b);
	frame_reserve_put(&b, 258);
	p = payload(&b, FRAME_RESERVE, 0, &h);
	assert_memory_equal(p, "\1\2", h.n);
	assert_int_equal(frame_reserve_get(&links, p, h.n), 0);
	assert_int_equal(links, 258);
	assert_int_equal(frame_reserve_get(&links, p, h.n - 1), -1);
	buf_reset(&b);
	frame_end_put(&b, FRAME_RESET, 9, &end);
	p = payload(&b, FRAME_RESET, 9, &h);
	assert_int_equal(frame_end_get(&end2, p, h.n), 0);
	assert_string_equal(end2.reason, "busy");
	buf_reset(&b);
	frame_ping_put(&b, FRAME_PONG, 77);
	p = payload(&b, FRAME_PONG, 0, &h);
	assert_int_equal(frame_ping_get(&stamp, p, h.n), 0);
	assert_int_equal(stamp, 77);
	buf_reset(&b);
	frame_window_put(&b, 4, 0);
	p = payload(&b, FRAME_WINDOW, 4, &h);
	assert_int_equal(frame_window_get(&more, p, h.n), -1);
	buf_reset(&b);
	frame_bare_put(&b, FRAME_FIN, 4);
	payload(&b, FRAME_FIN, 4, &h);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heads),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_health),
		cmocka_unit_test(test_narrow),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_longest_open),
		cmocka_unit_test(test_offer),
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_signed_bytes),
		cmocka_unit_test(test_small_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
