#include "common/tunnel/websocket.h"

#include "common/base/buf.h"
#include "common/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct pair {
	struct websocket *agent, *relay;
	struct buf up, down; /* what each has written */
};

static int set_up(void **state)
{
	struct pair *p = calloc(1, sizeof *p);

	if (p == NULL || websocket_new(&p->agent, "relay.test:81", "/portway?a=b") != 0 ||
		websocket_new(&p->relay, NULL, NULL) != 0)
		return -1;
	buf_init(&p->up, (size_t)4 * 1024 * 1024);
	buf_init(&p->down, (size_t)4 * 1024 * 1024);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct pair *p = *state;

	websocket_free(p->agent);
	websocket_free(p->relay);
	buf_free(&p->up);
	buf_free(&p->down);
	free(p);
	return 0;
}

static void shake(struct pair *p)
{
	assert_int_equal(websocket_shake(p->agent, &p->up), 0);
	websocket_feed(p->relay, p->up.data, p->up.len);
	assert_int_equal(websocket_shake(p->relay, &p->down), 1);
	websocket_feed(p->agent, p->down.data, p->down.len);
	assert_int_equal(websocket_shake(p->agent, &p->up), 1);
	buf_reset(&p->up);
	buf_reset(&p->down);
}

/* ---- the request and its answer ----------------------------------------------------------------------------------- */

/* RFC 6455 section 1.3 */
static void test_the_rfc_s_example(void **state)
{
	static const char request[] =
		"GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: WebSocket\r\n"
		"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
		"Sec-WebSocket-Version: 13\r\n\r\n";
	struct pair *p = *state;

	for (size_t i = 0; i + 1 < sizeof request - 1; i++) { /* byte by byte */
		websocket_feed(p->relay, (const uint8_t *)request + i, 1);
		assert_int_equal(websocket_shake(p->relay, &p->down), 0);
	}
	websocket_feed(p->relay, (const uint8_t *)request + sizeof request - 2, 1);
	assert_int_equal(websocket_shake(p->relay, &p->down), 1);
	assert_non_null(strstr(buf_cstr(&p->down), "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
}

static void test_requests_refused(void **state)
{
	static const struct {
		const char *what, *request;
		bool told;
	} cases[] = {
		{ "a page", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", true },
		{ "another protocol",
			"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n"
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
			true },
		{ "an old version",
			"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 8\r\n\r\n",
			true },
		{ "a key of another length",
			"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
			"Sec-WebSocket-Key: dGhl\r\nSec-WebSocket-Version: 13\r\n\r\n",
			true },
		{ "no HTTP", "GARBAGE\r\n\r\n", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct websocket *w;
		struct buf out;

		buf_init(&out, 4096);
		assert_int_equal(websocket_new(&w, NULL, NULL), 0);
		websocket_feed(w, (const uint8_t *)cases[i].request, strlen(cases[i].request));
		if (websocket_shake(w, &out) != -1 ||
			(strncmp(buf_cstr(&out), "HTTP/1.1 426 ", 13) == 0) != cases[i].told)
			fail_msg("%s", cases[i].what);
		websocket_free(w);
		buf_free(&out);
	}
}

/* Whoever is in front has the last word. */
static void test_forwarded(void **state)
{
	static const struct {
		const char *fields, *from;
	} cases[] = {
		{ "", "" },
		{ "X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1" },
		{ "x-forwarded-for: 203.0.113.9, 192.0.2.1\r\n", "192.0.2.1" },
		{ "X-Forwarded-For: 203.0.113.9,2001:db8::1\r\n", "2001:db8::1" },
		{ "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1" },
		{ "X-Forwarded-For: 192.0.2.1,\r\n", "" },
		{ "X-Forwarded-For: 012345678901234567890123456789012345678901234567890123456789"
		  "01234567890123456789012345678901234567890123456789012345678901234567890123456789"
		  "01234567890123456789012345678901234567890123456789012345678901234567890123456789\r\n",
			"" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct websocket *w;
		struct buf out, request;

		buf_init(&out, 4096);
		buf_init(&request, 4096);
		buf_printf(&request,
			"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n%s"
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
			cases[i].fields);
		assert_int_equal(websocket_new(&w, NULL, NULL), 0);
		websocket_feed(w, request.data, request.len);
		assert_int_equal(websocket_shake(w, &out), 1);
		assert_string_equal(websocket_forwarded(w), cases[i].from);
		websocket_free(w);
		buf_free(&request);
		buf_free(&out);
	}
}

static void test_a_head_without_end(void **state)
{
	struct pair *p = *state;
	uint8_t much[WEBSOCKET_HEAD_MAX + 1];

	memset(much, 'G', sizeof much);
	websocket_feed(p->relay, much, sizeof much);
	assert_int_equal(websocket_shake(p->relay, &p->down), -1);
}

static void test_answers_refused(void **state)
{
	static const char *const answers[] = {
		"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n", /* to another key */
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
		"SSH-2.0-OpenSSH_9.2\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		struct websocket *w;
		struct buf out;

		buf_init(&out, 4096);
		assert_int_equal(websocket_new(&w, "a", "/"), 0);
		assert_int_equal(websocket_shake(w, &out), 0);
		websocket_feed(w, (const uint8_t *)answers[i], strlen(answers[i]));
		assert_int_equal(websocket_shake(w, &out), -1);
		assert_true(websocket_reason(w)[0] != '\0');
		websocket_free(w);
		buf_free(&out);
	}
}

/* ---- frames ------------------------------------------------------------------------------------------------------- */

/* All that came out of `from`, in pieces of any size, is what went into the other end. */
static void check(struct websocket *to, const struct buf *from, const uint8_t *plain, size_t n)
{
	uint8_t piece[5000];
	size_t got = 0;
	struct buf none;

	buf_init(&none, 1024);
	for (size_t at = 0, step; at < from->len; at += step) {
		ssize_t k;

		step = MIN(1 + at % 7001, from->len - at);
		websocket_feed(to, from->data + at, step);
		while ((k = websocket_take(to, piece, 1 + got % sizeof piece, &none)) > 0) {
			assert_memory_equal(piece, plain + got, (size_t)k);
			got += (size_t)k;
		}
		assert_int_equal(k, 0);
	}
	assert_int_equal(got, n);
	assert_int_equal(none.len, 0);
	buf_free(&none);
}

static void test_bytes_both_ways(void **state)
{
	static const size_t sizes[] = { 1, 125, 126, 4096, 65535, 65536, 300000 };
	static uint8_t plain[1000000];
	struct pair *p = *state;
	size_t n = 0;

	shake(p);
	rand_bytes(plain, sizeof plain);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		websocket_put(p->agent, plain + n, sizes[i], &p->up);
		websocket_put(p->relay, plain + n, sizes[i], &p->down);
		n += sizes[i];
	}
	assert_false(p->up.failed || p->down.failed);
	check(p->relay, &p->up, plain, n);
	check(p->agent, &p->down, plain, n);
}

/* A ping in the middle, in pieces; the answer is masked, as all that an agent sends. */
static void test_ping(void **state)
{
	static const uint8_t frames[] = "\x82\x02hi\x89\x03you\x80\x01!";
	struct pair *p = *state;
	uint8_t got[8];
	size_t n = 0;

	shake(p);
	for (size_t i = 0; i < sizeof frames - 1; i++) {
		ssize_t k;

		websocket_feed(p->agent, frames + i, 1);
		while ((k = websocket_take(p->agent, got + n, sizeof got - n, &p->up)) > 0)
			n += (size_t)k;
		assert_int_equal(k, 0);
	}
	assert_memory_equal(got, "hi!", 3);
	assert_int_equal(p->up.len, 2 + 4 + 3);
	assert_memory_equal(p->up.data, "\x8a\x83", 2);
}

static void test_frames_refused(void **state)
{
	static const struct {
		const char *what, *bytes;
		size_t n;
	} cases[] = {
		{ "not masked by the agent", "\x82\x02hi", 4 },
		{ "text", "\x81\x82\0\0\0\0hi", 8 },
		{ "a close", "\x88\x80\0\0\0\0", 6 },
		{ "a reserved bit", "\xc2\x82\0\0\0\0hi", 8 },
		{ "a length not in its shortest form", "\x82\xfe\0\2\0\0\0\0hi", 10 },
		{ "a long ping", "\x89\xfe\0\xff\0\0\0\0", 8 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct pair *p;
		uint8_t got[8];

		assert_int_equal(set_up((void **)&p), 0);
		shake(p);
		websocket_feed(p->relay, (const uint8_t *)cases[i].bytes, cases[i].n);
		if (websocket_take(p->relay, got, sizeof got, &p->down) != -1)
			fail_msg("%s", cases[i].what);
		tear_down((void **)&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_the_rfc_s_example, set_up, tear_down),
		cmocka_unit_test(test_requests_refused),
		cmocka_unit_test(test_forwarded),
		cmocka_unit_test_setup_teardown(test_a_head_without_end, set_up, tear_down),
		cmocka_unit_test(test_answers_refused),
		cmocka_unit_test_setup_teardown(test_bytes_both_ways, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ping, set_up, tear_down),
		cmocka_unit_test(test_frames_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
