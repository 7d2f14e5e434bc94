/* The first bytes of a connection: server names, Host fields, host maps, and what is said to those who lead nowhere. */
#include "common/base/macros.h"
#include "proto/mapping_conf.h"
#include "relayd/vhost/client_hello.h"
#include "relayd/vhost/host_map.h"
#include "relayd/vhost/refusal.h"
#include "relayd/vhost/request_host.h"
#include "relayd/vhost/vhost.h"
#include "tests/unit/relayd/hellos.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- TLS ---------------------------------------------------------------------------------------------------------- */

static const struct {
	const char *what;
	const uint8_t *p;
	size_t n;
	enum opening_kind kind;
	const char *host;
} hellos[] = {
	{ "TLS 1.3", hello_tls13, sizeof hello_tls13, OPENING_FOUND, "www.example.com" },
	{ "TLS 1.2", hello_tls12, sizeof hello_tls12, OPENING_FOUND, "a.b.example" },
	{ "no name", hello_no_name, sizeof hello_no_name, OPENING_NO_HOST, "" },
};

static void assert_hello(const uint8_t *p, size_t n, enum opening_kind kind, const char *host)
{
	struct opening o;

	assert_int_equal(client_hello_read(&o, p, n), kind);
	assert_string_equal(o.host, host);
}

/* Also with something behind it, which is the handshake's next (early data, say). */
static void hellos_are_read(void **state)
{
	uint8_t longer[1024] = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hellos); i++) {
		print_message("%s\n", hellos[i].what);
		assert_hello(hellos[i].p, hellos[i].n, hellos[i].kind, hellos[i].host);
		memcpy(longer, hellos[i].p, hellos[i].n);
		assert_hello(longer, sizeof longer, hellos[i].kind, hellos[i].host);
	}
}

static void hellos_that_are_not_whole_wait(void **state)
{
	struct opening o;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hellos); i++) {
		for (size_t n = 0; n < hellos[i].n; n++) {
			assert_int_equal(client_hello_read(&o, hellos[i].p, n), OPENING_MORE);
			assert_true(o.want > n && o.want <= hellos[i].n);
			if (n >= 9)
				assert_int_equal(o.want, hellos[i].n);
		}
	}
}

/* One record becomes many, `first` bytes in the first and `each` in the others. */
static size_t fragment(uint8_t *dst, const uint8_t *p, size_t n, size_t first, size_t each)
{
	size_t at = 5, out = 0, step = first;

	while (at < n) {
		step = MIN(step, n - at);
		memcpy(dst + out, p, 3);
		dst[out + 3] = (uint8_t)(step >> 8);
		dst[out + 4] = (uint8_t)step;
		memcpy(dst + out + 5, p + at, step);
		out += 5 + step;
		at += step;
		step = each;
	}
	return out;
}

static void hellos_over_many_records(void **state)
{
	static uint8_t cut[8192];
	struct opening o;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hellos); i++) {
		for (size_t first = 1; first < hellos[i].n - 5; first++) {
			size_t n = fragment(cut, hellos[i].p, hellos[i].n, first, hellos[i].n);

			assert_hello(cut, n, hellos[i].kind, hellos[i].host);
			assert_int_equal(client_hello_read(&o, cut, n - 1), OPENING_MORE);
		}
		for (size_t each = 1; each < 40; each++)
			assert_hello(cut, fragment(cut, hellos[i].p, hellos[i].n, each, each), hellos[i].kind,
				hellos[i].host);
	}
}

/* Every byte with every other value: no crash, and never another name by a change before the name. */
static void hellos_with_a_wrong_byte(void **state)
{
	uint8_t wrong[sizeof hello_tls12];
	struct opening o;

	(void)state;
	for (size_t i = 0; i < sizeof wrong; i++) {
		for (unsigned v = 1; v < 256; v++) {
			memcpy(wrong, hello_tls12, sizeof wrong);
			wrong[i] = (uint8_t)(wrong[i] ^ v);
			(void)client_hello_read(&o, wrong, sizeof wrong);
			assert_true(o.host[0] == '\0' || host_pattern_is_taken(o.host));
		}
	}
}

/* A hello around one list of extensions. */
static size_t build(uint8_t *dst, const uint8_t *extensions, size_t n)
{
	static const uint8_t head[] = { 0x13, 0x01 };
	size_t body = 2 + 32 + 1 + 2 + sizeof head + 2 + 2 + n;
	uint8_t *p = dst;

	memset(dst, 0, 9 + body);
	p[0] = 22;
	p[1] = 3;
	p[2] = 1;
	p[3] = (uint8_t)((body + 4) >> 8);
	p[4] = (uint8_t)(body + 4);
	p[5] = 1;
	p[7] = (uint8_t)(body >> 8);
	p[8] = (uint8_t)body;
	p += 9 + 2 + 32 + 1;
	p[1] = 2;
	memcpy(p + 2, head, sizeof head);
	p[4] = 1; /* one compression: none */
	p[6] = (uint8_t)(n >> 8);
	p[7] = (uint8_t)n;
	memcpy(p + 8, extensions, n);
	return 9 + body;
}

#define EXT(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })
#define NAME_A   0, 0, 0, 6, 0, 4, 0, 0, 1, 'a'

static void rules_of_the_extension(void **state)
{
	const struct {
		const char *what;
		const uint8_t *p;
		size_t n;
		enum opening_kind kind;
		const char *host;
	} cases[] = {
		{ "a name", EXT(NAME_A), OPENING_FOUND, "a" },
		{ "in capitals", EXT(0, 0, 0, 6, 0, 4, 0, 0, 1, 'A'), OPENING_FOUND, "a" },
		{ "behind another extension", EXT(0, 10, 0, 1, 7, NAME_A), OPENING_FOUND, "a" },
		{ "before another extension", EXT(NAME_A, 0, 10, 0, 1, 7), OPENING_FOUND, "a" },
		{ "of another kind", EXT(0, 0, 0, 6, 0, 4, 9, 0, 1, 'a'), OPENING_NO_HOST, "" },
		{ "of another kind, and a host", EXT(0, 0, 0, 10, 0, 8, 9, 0, 1, 'z', 0, 0, 1, 'a'), OPENING_FOUND,
			"a" },
		{ "that nobody can have", EXT(0, 0, 0, 6, 0, 4, 0, 0, 1, '_'), OPENING_FOUND, "" },
		{ "empty", EXT(0, 0, 0, 5, 0, 3, 0, 0, 0), OPENING_BAD, "" },
		{ "an empty list", EXT(0, 0, 0, 2, 0, 0), OPENING_BAD, "" },
		{ "two names", EXT(0, 0, 0, 10, 0, 8, 0, 0, 1, 'a', 0, 0, 1, 'b'), OPENING_BAD, "a" },
		{ "two extensions", EXT(NAME_A, NAME_A), OPENING_BAD, "a" },
		{ "a list that is longer than its extension", EXT(0, 0, 0, 6, 0, 5, 0, 0, 1, 'a'), OPENING_BAD, "" },
		{ "a name that is longer than its list", EXT(0, 0, 0, 6, 0, 4, 0, 0, 2, 'a'), OPENING_BAD, "" },
		{ "an extension that is longer than the hello", EXT(0, 0, 0, 7, 0, 4, 0, 0, 1, 'a'), OPENING_BAD, "" },
		{ "half an extension's head", EXT(NAME_A, 0), OPENING_BAD, "a" },
		{ "none", EXT(0, 10, 0, 0), OPENING_NO_HOST, "" },
	};
	uint8_t hello[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		print_message("%s\n", cases[i].what);
		assert_hello(hello, build(hello, cases[i].p, cases[i].n), cases[i].kind, cases[i].host);
	}
}

static void what_is_no_hello(void **state)
{
	static const struct {
		const char *what, *p;
		size_t n;
		enum opening_kind kind;
	} cases[] = {
		{ "a request", "GET / HTTP/1.1\r\n", 16, OPENING_ALIEN },
		{ "SSL 2", "\x80\x2e\x01\x00\x02", 5, OPENING_ALIEN },
		{ "another version", "\x16\x02", 2, OPENING_ALIEN },
		{ "an empty record", "\x16\x03\x01\x00\x00", 5, OPENING_BAD },
		{ "a record that is too long", "\x16\x03\x01\x40\x01", 5, OPENING_BAD },
		{ "another message", "\x16\x03\x01\x00\x04\x02\x00\x00\x00", 9, OPENING_BAD },
		{ "a hello that is too long", "\x16\x03\x01\x00\x04\x01\x00\x40\x01", 9, OPENING_BAD },
		{ "another record inside", "\x16\x03\x01\x00\x01\x01\x17\x03\x03\x00\x01", 11, OPENING_BAD },
		{ "a hello of nothing", "\x16\x03\x01\x00\x04\x01\x00\x00\x00", 9, OPENING_BAD },
	};
	struct opening o;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		print_message("%s\n", cases[i].what);
		assert_int_equal(client_hello_read(&o, (const uint8_t *)cases[i].p, cases[i].n), cases[i].kind);
	}
}

/* ---- HTTP --------------------------------------------------------------------------------------------------------- */

#define LINE "GET / HTTP/1.1\r\n"

static const struct {
	const char *what, *head;
	enum opening_kind kind;
	const char *host;
} heads[] = {
	{ "a request", LINE "Host: a.example\r\n\r\n", OPENING_FOUND, "a.example" },
	{ "with a port", LINE "Host: a.example:8080\r\n\r\n", OPENING_FOUND, "a.example" },
	{ "with an empty port", LINE "Host: a.example:\r\n\r\n", OPENING_FOUND, "a.example" },
	{ "in capitals", LINE "HOST: A.Example.\r\n\r\n", OPENING_FOUND, "a.example" },
	{ "without a space", LINE "host:a.example\r\n\r\n", OPENING_FOUND, "a.example" },
	{ "with spaces", LINE "host: \t a.example \t \r\n\r\n", OPENING_FOUND, "a.example" },
	{ "behind other fields", LINE "A: b\r\nX-Host: c\r\nHost: a.example\r\nHostage: d\r\n\r\n", OPENING_FOUND,
		"a.example" },
	{ "behind an empty line", "\r\n\r\n" LINE "Host: a\r\n\r\n", OPENING_FOUND, "a" },
	{ "with a body", "POST / HTTP/1.1\r\nHost: a\r\n\r\nHost: b\r\n\r\n", OPENING_FOUND, "a" },
	{ "of 1.0", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", OPENING_FOUND, "a" },
	{ "of 1.0 without a host", "GET / HTTP/1.0\r\n\r\n", OPENING_BAD, "" },
	{ "without a host", LINE "A: b\r\n\r\n", OPENING_BAD, "" },
	{ "without a field", LINE "\r\n", OPENING_BAD, "" },
	{ "two hosts", LINE "Host: a\r\nHost: b\r\n\r\n", OPENING_BAD, "" },
	{ "the same host twice", LINE "Host: a\r\nhost: a\r\n\r\n", OPENING_BAD, "" },
	{ "asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", OPENING_FOUND, "a" },
	{ "absolute", "GET http://a:80/x HTTP/1.1\r\nHost: a\r\n\r\n", OPENING_FOUND, "a" },
	{ "absolute in capitals", "GET HTTP://A HTTP/1.1\r\nHost: a\r\n\r\n", OPENING_FOUND, "a" },
	{ "absolute with a query", "GET http://a?b/c HTTP/1.1\r\nHost: a\r\n\r\n", OPENING_FOUND, "a" },
	{ "absolute, another host", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", OPENING_BAD, "" },
	{ "absolute without a host", "GET http://a/ HTTP/1.1\r\n\r\n", OPENING_BAD, "" },
	{ "absolute with user", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", OPENING_BAD, "" },
	{ "absolute to nothing", "GET http:/// HTTP/1.1\r\nHost: a\r\n\r\n", OPENING_BAD, "" },
	{ "another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", OPENING_BAD, "" },
	{ "CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", OPENING_BAD, "" },
	{ "an address", LINE "Host: 127.0.0.1\r\n\r\n", OPENING_FOUND, "" },
	{ "an IPv6 address", LINE "Host: [::1]:80\r\n\r\n", OPENING_FOUND, "" },
	{ "half an IPv6 address", LINE "Host: [::1\r\n\r\n", OPENING_BAD, "" },
	{ "behind an IPv6 address", LINE "Host: [::1]a\r\n\r\n", OPENING_BAD, "" },
	{ "an empty host", LINE "Host:\r\n\r\n", OPENING_FOUND, "" },
	{ "a name nobody can have", LINE "Host: a_b\r\n\r\n", OPENING_FOUND, "" },
	{ "a path in it", LINE "Host: a/b\r\n\r\n", OPENING_BAD, "" },
	{ "a space in it", LINE "Host: a b\r\n\r\n", OPENING_BAD, "" },
	{ "a user in it", LINE "Host: u@a\r\n\r\n", OPENING_BAD, "" },
	{ "a list", LINE "Host: a, b\r\n\r\n", OPENING_BAD, "" },
	{ "a port that is none", LINE "Host: a:b\r\n\r\n", OPENING_BAD, "" },
	{ "a port that is too high", LINE "Host: a:65536\r\n\r\n", OPENING_BAD, "" },
	{ "a port of zeros", LINE "Host: a:000000\r\n\r\n", OPENING_BAD, "" },
	{ "space before the colon", LINE "Host : a\r\n\r\n", OPENING_BAD, "" },
	{ "a folded line", LINE "A: b\r\n Host: a\r\n\r\n", OPENING_BAD, "" },
	{ "a field without a colon", LINE "A\r\nHost: a\r\n\r\n", OPENING_BAD, "" },
	{ "a field without a name", LINE ": b\r\nHost: a\r\n\r\n", OPENING_BAD, "" },
	{ "bare LF", "GET / HTTP/1.1\nHost: a\n\n", OPENING_BAD, "" },
	{ "a bare LF inside", LINE "A: b\nHost: b\r\nHost: a\r\n\r\n", OPENING_BAD, "" },
	{ "a bare CR", LINE "A: b\rHost: b\r\nHost: a\r\n\r\n", OPENING_BAD, "" },
	{ "two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", OPENING_BAD, "" },
	{ "a space more", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", OPENING_BAD, "" },
	{ "no version", "GET /\r\nHost: a\r\n\r\n", OPENING_BAD, "" },
	{ "another version", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", OPENING_BAD, "" },
	{ "a version of two", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", OPENING_BAD, "" },
	{ "HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", OPENING_HTTP2, "" },
	{ "a method of junk", "G\x01T / HTTP/1.1\r\nHost: a\r\n\r\n", OPENING_BAD, "" },
	{ "a long method", "ABCDEFGHIJABCDEFGHIJABCDEFGHIJABC / HTTP/1.1\r\nHost: a\r\n\r\n", OPENING_BAD, "" },
	{ "SSH", "SSH-2.0-OpenSSH_9.2\r\n\r\n", OPENING_BAD, "" },
	{ "TLS", "\x16\x03\x01", OPENING_BAD, "" },
};

/* Cut anywhere: the answer is the same, or not there yet. */
static void heads_are_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		const uint8_t *p = (const uint8_t *)heads[i].head;
		size_t size = strlen(heads[i].head);
		struct opening o;

		print_message("%s\n", heads[i].what);
		assert_int_equal(request_host_read(&o, p, size), heads[i].kind);
		assert_string_equal(o.host, heads[i].host);
		for (size_t n = 0; n < size; n++) {
			enum opening_kind kind = request_host_read(&o, p, n);

			if (kind == OPENING_MORE)
				assert_true(o.want > n && o.want <= size);
			else
				assert_int_equal(kind, heads[i].kind);
		}
	}
}

static void a_nul_in_the_head(void **state)
{
	static const char head[] = LINE "Host: a\0b\r\n\r\n";
	struct opening o;

	(void)state;
	assert_int_equal(request_host_read(&o, (const uint8_t *)head, sizeof head - 1), OPENING_BAD);
}

/* A head that has no end within the limit is passed on by what it says until there. */
static void a_head_of_many_kilobytes(void **state)
{
	static char head[2 * REQUEST_HEAD_MAX];
	struct opening o;

	(void)state;
	memset(head, 'c', sizeof head);
	memcpy(head, LINE "Host: a\r\nCookie: ", strlen(LINE "Host: a\r\nCookie: "));
	assert_int_equal(request_host_read(&o, (const uint8_t *)head, REQUEST_HEAD_MAX - 1), OPENING_MORE);
	assert_int_equal(request_host_read(&o, (const uint8_t *)head, sizeof head), OPENING_FOUND);
	assert_string_equal(o.host, "a");
	memcpy(head, LINE "Cookie: ", strlen(LINE "Cookie: "));
	memset(head + strlen(LINE "Cookie: "), 'c', 20);
	assert_int_equal(request_host_read(&o, (const uint8_t *)head, sizeof head), OPENING_BAD);
}

/* ---- names -------------------------------------------------------------------------------------------------------- */

static void names_lead_to_hosts(void **state)
{
	struct vhost exact, wild, deep;
	struct host_map m;

	(void)state;
	host_map_init(&m);
	vhost_init(&exact, NULL);
	vhost_init(&wild, NULL);
	vhost_init(&deep, NULL);
	assert_null(host_map_find(&m, "a.example"));
	assert_int_equal(host_map_add(&m, "a.example", &exact), 0);
	assert_int_equal(host_map_add(&m, "*.example", &wild), 0);
	assert_int_equal(host_map_add(&m, "*.b.example", &deep), 0);
	assert_ptr_equal(host_map_find(&m, "a.example"), &exact);
	assert_ptr_equal(host_map_find(&m, "c.example"), &wild);
	assert_ptr_equal(host_map_find(&m, "d.c.example"), &wild);
	assert_ptr_equal(host_map_find(&m, "b.example"), &wild);
	assert_ptr_equal(host_map_find(&m, "c.b.example"), &deep);
	assert_ptr_equal(host_map_find(&m, "x.y.b.example"), &deep);
	assert_null(host_map_find(&m, "example"));
	assert_null(host_map_find(&m, "other"));
	assert_null(host_map_find(&m, ""));
	assert_ptr_equal(host_map_holder(&m, "*.example"), &wild);
	host_map_leave(&m, &wild);
	host_map_leave(&m, &wild);
	assert_null(host_map_find(&m, "c.example"));
	assert_int_equal(host_map_add(&m, "a.example", &deep), 0); /* it moves */
	assert_ptr_equal(host_map_find(&m, "a.example"), &deep);
	host_map_leave(&m, &exact);
	assert_ptr_equal(host_map_find(&m, "a.example"), &deep);
	host_map_leave(&m, &deep);
	assert_int_equal(m.wild, 0);
	assert_int_equal(map_count(&m.by_name), 0);
	host_map_fini(&m);
}

/* ---- last words --------------------------------------------------------------------------------------------------- */

static void assert_page(struct refusal r, const char *status)
{
	char text[1024], *body, *length;

	assert_true(r.n > 0 && r.n < sizeof text);
	memcpy(text, r.p, r.n);
	text[r.n] = '\0';
	assert_int_equal(strncmp(text, "HTTP/1.1 ", 9), 0);
	assert_int_equal(strncmp(text + 9, status, 3), 0);
	body = strstr(text, "\r\n\r\n");
	length = strstr(text, "Content-Length: ");
	assert_non_null(body);
	assert_non_null(length);
	assert_int_equal(strtoul(length + 16, NULL, 10), strlen(body + 4));
	assert_non_null(strstr(text, "Connection: close\r\n"));
}

static void pages_and_alerts(void **state)
{
	static const struct {
		enum opening_kind kind;
		const char *status;
		uint8_t alert;
	} openings[] = {
		{ OPENING_FOUND, "404", 112 },
		{ OPENING_BAD, "400", 50 },
		{ OPENING_NO_HOST, "400", 109 },
	};
	static const struct {
		enum farewell why;
		const char *status;
		uint8_t alert;
	} farewells[] = {
		{ FAREWELL_FORBIDDEN, "403", 49 },
		{ FAREWELL_BUSY, "503", 80 },
		{ FAREWELL_UNREACHABLE, "502", 80 },
		{ FAREWELL_BAD, "400", 50 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(openings); i++) {
		struct refusal r = refusal_of_opening(MAPPING_TLS, openings[i].kind);

		assert_page(refusal_of_opening(MAPPING_HTTP, openings[i].kind), openings[i].status);
		assert_int_equal(r.n, 7);
		assert_memory_equal(r.p, "\x15\x03\x03\x00\x02\x02", 6);
		assert_int_equal(r.p[6], openings[i].alert);
	}
	for (size_t i = 0; i < ARRAY_LEN(farewells); i++) {
		struct refusal r = refusal_of_farewell(MAPPING_TLS, farewells[i].why);

		assert_page(refusal_of_farewell(MAPPING_HTTP, farewells[i].why), farewells[i].status);
		assert_int_equal(r.n, 7);
		assert_int_equal(r.p[6], farewells[i].alert);
	}
	assert_int_equal(refusal_of_opening(MAPPING_TLS, OPENING_ALIEN).n, 0);
	assert_int_equal(refusal_of_farewell(MAPPING_HTTP, FAREWELL_NONE).n, 0);
	assert_int_equal(refusal_of_opening(MAPPING_HTTP, OPENING_HTTP2).n, 9 + 9 + 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hellos_are_read),
		cmocka_unit_test(hellos_that_are_not_whole_wait),
		cmocka_unit_test(hellos_over_many_records),
		cmocka_unit_test(hellos_with_a_wrong_byte),
		cmocka_unit_test(rules_of_the_extension),
		cmocka_unit_test(what_is_no_hello),
		cmocka_unit_test(heads_are_read),
		cmocka_unit_test(a_nul_in_the_head),
		cmocka_unit_test(a_head_of_many_kilobytes),
		cmocka_unit_test(names_lead_to_hosts),
		cmocka_unit_test(pages_and_alerts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
