/* Heads as they go out: what stays, what goes, what is put in, and what an edit changes. */
#include "relayd/http/message.h"

#include "common/base/str.h"
#include "common/http/http_reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct edit edit;
static char out[65536];

static void read_head(struct http_head *h, const char *text, bool response)
{
	struct http_reader r;
	struct http_piece piece;
	const struct http_asked asked = { .head = false };

	if (response) {
		http_reader_init_response(&r, &http_limits_default);
		http_reader_ask(&r, &asked);
	} else {
		http_reader_init_request(&r, &http_limits_default);
	}
	assert_int_equal(http_reader_next(&r, h, (const uint8_t *)text, strlen(text), &piece), HTTP_HEAD_IN);
}

static struct exchange_origin origin(const struct addr *peer)
{
	struct exchange_origin o = { .peer = peer, .proto = "1.1" };

	assert_int_equal(addr_parse_ip(&o.from, "192.0.2.7", 0), 0);
	return o;
}

static const char *request(const char *text, const char *path, const struct edit *e, bool trusted)
{
	struct http_head h;
	struct addr peer = { .len = 0 };
	struct exchange_origin o = origin(&peer);
	struct message_request m = { .head = &h,
		.edit = e,
		.path = { path, strlen(path) },
		.from = &o,
		.request_id = "id-1",
		.trusted = trusted };
	int n;

	assert_int_equal(addr_parse_ip(&peer, "10.0.0.1", 0), 0);
	read_head(&h, text, false);
	assert_true(message_request_room(&m) <= sizeof out);
	n = message_request_write(&m, out, sizeof out - 1);
	assert_true(n > 0 && (size_t)n <= message_request_room(&m));
	out[n] = '\0';
	return out;
}

static void a_request(void **state)
{
	(void)state;
	assert_string_equal(
		request("GET /a/../b?q=1 HTTP/1.1\r\nHost: A.test:81\r\nConnection: x-own\r\nX-Own: 1\r\n"
			"X-Forwarded-For: 6.6.6.6\r\nVia: 1.0 liar\r\nForwarded: for=6.6.6.6\r\nAccept: */*\r\n\r\n",
			"/b", NULL, false),
		"GET /b?q=1 HTTP/1.1\r\nhost: A.test:81\r\nAccept: */*\r\nx-forwarded-for: "
		"192.0.2.7\r\nx-forwarded-proto: http\r\n"
		"x-forwarded-host: A.test:81\r\nx-forwarded-port: 81\r\nforwarded: "
		"for=192.0.2.7;proto=http;host=\"A.test:81\"\r\n"
		"x-real-ip: 192.0.2.7\r\nvia: 1.1 portway\r\nx-request-id: id-1\r\n\r\n");
}

static void a_request_over_ipv6_and_tls(void **state)
{
	struct http_head h;
	struct exchange_origin o = { .proto = "2", .tls = true };
	struct message_request m = { .head = &h, .path = { "/", 1 }, .from = &o, .request_id = "id-1" };
	int n;

	(void)state;
	assert_int_equal(addr_parse_ip(&o.from, "2001:db8::7", 0), 0);
	read_head(&h, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", false);
	n = message_request_write(&m, out, sizeof out - 1);
	assert_true(n > 0);
	out[n] = '\0';
	assert_string_equal(out,
		"GET / HTTP/1.1\r\nhost: a.test\r\nx-forwarded-for: 2001:db8::7\r\nx-forwarded-proto: https\r\n"
		"x-forwarded-host: a.test\r\nx-forwarded-port: 443\r\n"
		"forwarded: for=\"[2001:db8::7]\";proto=https;host=\"a.test\"\r\n"
		"x-real-ip: 2001:db8::7\r\nvia: 2 portway\r\nx-request-id: id-1\r\n\r\n");
	o.from = (struct addr){ .len = 0 }; /* nobody knows who: it came without a host, too */
	read_head(&h, "GET / HTTP/1.0\r\n\r\n", false);
	n = message_request_write(&m, out, sizeof out - 1);
	assert_true(n > 0);
	out[n] = '\0';
	assert_string_equal(out, "GET / HTTP/1.1\r\nhost: \r\nx-forwarded-for: -\r\nx-forwarded-proto: "
				 "https\r\nx-forwarded-port: 443\r\n"
				 "forwarded: for=-;proto=https;host=\"\"\r\nx-real-ip: -\r\nvia: 2 "
				 "portway\r\nx-request-id: id-1\r\n\r\n");
}

/* Whatever the room is: all of it, or -1 and not a byte behind it. */
static void heads_without_room(void **state)
{
	struct http_head h, answered;
	struct addr peer = { .len = 0 };
	struct exchange_origin o = origin(&peer);
	const struct answer a = {
		.head = &answered, .status = 200, .request_id = "id-1", .has_length = true, .length = 3
	};
	const struct message_request m = { .head = &h, .path = { "/", 1 }, .from = &o, .request_id = "id-1" };
	const struct message_answer ma = { .answer = &a, .keep_alive = true };
	bool chunked, until_close;
	int all;

	(void)state;
	read_head(&h, "GET / HTTP/1.1\r\nHost: a.test\r\nAccept: */*\r\n\r\n", false);
	read_head(&answered, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-A: 1\r\n\r\n", true);
	all = message_request_write(&m, out, sizeof out);
	for (size_t cap = 0; cap < (size_t)all + 600; cap++) {
		char *exact = malloc(cap + 1);
		int n = message_request_write(&m, exact, cap);

		assert_true(n == -1 || (n == all && (size_t)n <= cap && memcmp(exact, out, (size_t)n) == 0));
		assert_true(n == all || cap < message_request_room(&m));
		n = message_answer_write(&ma, exact, cap, &chunked, &until_close);
		assert_true(n == -1 || (n > 0 && (size_t)n <= cap));
		free(exact);
	}
}

static void a_request_from_a_trusted_proxy(void **state)
{
	const char *text =
		request("GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n"
			"Forwarded: for=192.0.2.7\r\nVia: 2 edge\r\n\r\n",
			"/", NULL, true);

	(void)state;
	assert_non_null(strstr(text, "x-forwarded-for: 192.0.2.7, 10.0.0.1\r\n"));
	assert_non_null(strstr(text, "x-forwarded-proto: https\r\n"));
	assert_non_null(strstr(text, "forwarded: for=192.0.2.7, for=10.0.0.1;"));
	assert_non_null(strstr(text, "via: 2 edge, 1.1 portway\r\n"));
	assert_non_null(strstr(text, "x-real-ip: 192.0.2.7\r\n"));
}

/* Who is trusted and has said much is not forgotten. */
static void a_long_chain_from_a_trusted_proxy(void **state)
{
	char text[2200], want[2200], many[1600] = "";

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		(void)snprintf(many + strlen(many), sizeof many - strlen(many), "%s192.0.2.%u", i > 0 ? ", " : "", i);
	(void)snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: %s\r\n\r\n", many);
	(void)snprintf(want, sizeof want, "x-forwarded-for: %s, 10.0.0.1\r\n", many);
	assert_non_null(strstr(request(text, "/", NULL, true), want));
}

static void what_frames_and_changes_protocols(void **state)
{
	(void)state;
	assert_non_null(
		strstr(request("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "/", NULL, false),
			"Transfer-Encoding: chunked\r\n\r\n"));
	assert_non_null(strstr(request("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", "/", NULL, false),
		"Content-Length: 5\r\n\r\n"));
	assert_null(strstr(request("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "/", NULL, false), "ontent-"));
	assert_non_null(strstr(request("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
				       "/", NULL, false),
		"connection: upgrade\r\nupgrade: websocket\r\n"));
	assert_memory_equal(request("CONNECT b.test:443 HTTP/1.1\r\nHost: b.test:443\r\n\r\n", "/", NULL, false),
		"CONNECT b.test:443 HTTP/1.1\r\nhost: b.test:443\r\n", 47);
}

static void an_edited_request(void **state)
{
	const char *text;

	(void)state;
	edit_reset(&edit);
	edit.path = edit_keep(&edit, "/new", 4);
	edit.query = edit_keep(&edit, "", 0);
	edit.host = edit_keep(&edit, "b.test", 6);
	edit_remove(&edit, "cookie");
	edit_remove(&edit, "x-gone");
	edit_set_str(&edit, "x-set", "1");
	edit_set_str(&edit, "x-set", "2");
	edit_add(&edit, "x-add", (struct http_span){ "3", 1 });
	edit_set_known(&edit, HTTP_NAME_TRACEPARENT, (struct http_span){ "4", 1 });
	edit_set_known(&edit, HTTP_NAME_TRACEPARENT, (struct http_span){ "5", 1 });
	edit_remove_known(&edit, HTTP_NAME_TRACESTATE);
	text = request("GET /old?q HTTP/1.1\r\nHost: a.test\r\nCookie: a=b\r\nTraceState: 1\r\nTraceparent: "
		       "2\r\nX-GONE: 1\r\nX-Gone-Not: 1\r\nX-Set: 0\r\n\r\n",
		"/old", &edit, false);
	assert_memory_equal(text, "GET /new HTTP/1.1\r\nhost: b.test\r\nX-Gone-Not: 1\r\n", 47);
	assert_null(strstr(text, "a=b"));
	assert_null(strstr(text, "X-GONE"));
	assert_null(strstr(text, "X-Set"));
	assert_null(strstr(text, "x-set: 1"));
	assert_null(strstr(text, "race: 2"));
	assert_null(strstr(text, "TraceState"));
	assert_non_null(strstr(text, "x-set: 2\r\nx-add: 3\r\ntraceparent: 5\r\n"));
}

static void an_edit_that_is_full_or_bad(void **state)
{
	struct http_head h;
	struct addr peer = { .len = 0 };
	struct exchange_origin o = origin(&peer);
	struct message_request m = { .head = &h, .edit = &edit, .path = { "/", 1 }, .from = &o, .request_id = "id-1" };

	(void)state;
	assert_int_equal(addr_parse_ip(&peer, "10.0.0.1", 0), 0);
	read_head(&h, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", false);
	edit_reset(&edit);
	for (int i = 0; i <= EDIT_FIELDS_MAX; i++)
		edit_add(&edit, "x", (struct http_span){ "1", 1 });
	assert_true(edit.failed);
	assert_int_equal(message_request_write(&m, out, sizeof out), -1);
	edit_reset(&edit);
	edit_set_str(&edit, "x", "a\r\nb: c"); /* nothing that is put in can end its line */
	assert_int_equal(message_request_write(&m, out, sizeof out), -1);
	edit_reset(&edit);
	edit_set_known(&edit, HTTP_NAME_TRACEPARENT, (struct http_span){ "a\r\nb: c", 7 });
	assert_int_equal(message_request_write(&m, out, sizeof out), -1);
	edit_reset(&edit);
	edit.host = edit_keep(&edit, "a\r\nb: c", 7);
	assert_int_equal(message_request_write(&m, out, sizeof out), -1);
	edit_reset(&edit);
	assert_true(message_request_write(&m, out, sizeof out) > 0);
	assert_int_equal(message_request_write(&m, out, 20), -1);
}

static const char *answer(const char *text, struct answer a, bool http10, bool keep)
{
	struct http_head h;
	struct message_answer m = {
		.answer = &a, .to_http10 = http10, .keep_alive = keep, .asked_keep = http10 && keep
	};
	bool chunked, until_close;
	int n;

	if (text != NULL) {
		read_head(&h, text, true);
		a.head = &h;
		a.status = h.status;
		a.body = h.body;
		a.has_length = h.has_length;
		a.length = h.length;
	}
	n = message_answer_write(&m, out, sizeof out - 1, &chunked, &until_close);
	assert_true(n > 0 && (size_t)n <= message_answer_room(&m));
	assert_int_equal(chunked, a.body >= HTTP_CHUNKED && !http10);
	assert_int_equal(until_close, a.body >= HTTP_CHUNKED && http10);
	out[n] = '\0';
	return out;
}

static void answers(void **state)
{
	const struct answer none = { .request_id = "id-1" };

	(void)state;
	assert_string_equal(answer("HTTP/1.1 200 Fine\r\nContent-Length: 3\r\nKeep-Alive: x\r\nX-A: 1\r\nX-Request-ID: "
				   "other\r\n\r\n",
				    none, false, true),
		"HTTP/1.1 200 Fine\r\nX-A: 1\r\nvia: 1.1 portway\r\nx-request-id: id-1\r\ncontent-length: 3\r\n\r\n");
	assert_non_null(
		strstr(answer("HTTP/1.1 200 OK\r\n\r\n", none, false, true), "transfer-encoding: chunked\r\n\r\n"));
	assert_non_null(strstr(answer("HTTP/1.1 200 OK\r\n\r\n", none, true, true), "connection: close\r\n\r\n"));
	assert_non_null(strstr(answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", none, true, true),
		"connection: keep-alive\r\n\r\n"));
	assert_non_null(strstr(answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", none, false, false),
		"connection: close\r\n\r\n"));
	assert_string_equal(
		answer(NULL, (struct answer){ .status = 204 }, false, true), "HTTP/1.1 204 No Content\r\n\r\n");
}

static void ids(void **state)
{
	static const struct {
		const char *id;
		bool ok;
	} cases[] = { { "a-B_9.x", true }, { "", false }, { "a b", false }, { "a,b", false }, { "a\"", false },
		{ "0123456789012345678901234567890123456789012345678901234567890123", false },
		{ "012345678901234567890123456789012345678901234567890123456789012", true } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(
			message_id_is_sound((struct http_span){ cases[i].id, strlen(cases[i].id) }), cases[i].ok);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request),
		cmocka_unit_test(a_request_over_ipv6_and_tls),
		cmocka_unit_test(heads_without_room),
		cmocka_unit_test(a_request_from_a_trusted_proxy),
		cmocka_unit_test(a_long_chain_from_a_trusted_proxy),
		cmocka_unit_test(what_frames_and_changes_protocols),
		cmocka_unit_test(an_edited_request),
		cmocka_unit_test(an_edit_that_is_full_or_bad),
		cmocka_unit_test(answers),
		cmocka_unit_test(ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
