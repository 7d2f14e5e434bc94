/* outbound: what calls carry and bring back, their limits, and where they may not go; against a server of our own. */
#include "controld/out/outbound.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/out/guard.h"

#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a server -------------------------------------------------------------------------------------------------------- */
#define BIG 100000

static struct {
	int fd;
	unsigned port;
	pthread_t thread;
	atomic_int connections, requests;
} server;

static void send_text(int fd, const char *text)
{
	(void)!write(fd, text, strlen(text));
}

static void send_big(int fd)
{
	char body[BIG], head[100];

	memset(body, 'x', sizeof body);
	(void)snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BIG);
	send_text(fd, head);
	(void)!write(fd, body, sizeof body);
}

/* The request itself as the body of the answer. */
static void send_echo(int fd, const char *rq)
{
	char head[200];

	(void)snprintf(head, sizeof head,
		"HTTP/1.1 201 Made\r\nX-Thing: first\r\nx-thing:   second \r\nRetry-After: 7\r\nContent-Length: "
		"%zu\r\n\r\n",
		strlen(rq));
	send_text(fd, head);
	send_text(fd, rq);
}

/* False ends the connection. */
static bool answer(int fd, const char *rq)
{
	char byte;

	atomic_fetch_add(&server.requests, 1);
	if (strstr(rq, " /big ") != NULL)
		send_big(fd);
	else if (strstr(rq, " /redirect ") != NULL)
		send_text(fd, "HTTP/1.1 302 Found\r\nLocation: /hello\r\nContent-Length: 0\r\n\r\n");
	else if (strstr(rq, " /early ") != NULL)
		send_text(
			fd, "HTTP/1.1 103 Early\r\nX-Thing: early\r\n\r\nHTTP/1.1 204 Nothing\r\nX-Late: yes\r\n\r\n");
	else if (strstr(rq, " /cut ") != NULL)
		send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
	else if (strstr(rq, " /silent ") != NULL)
		(void)!read(fd, &byte, 1); /* until the other side gives up */
	else
		send_echo(fd, rq);
	return strstr(rq, " /cut ") == NULL && strstr(rq, " /silent ") == NULL;
}

/* A request with its body, as far as Content-Length says. */
static bool read_request(int fd, char *dst, size_t size)
{
	size_t n = 0, want = 0;

	for (;;) {
		const char *end, *length;
		ssize_t got = read(fd, dst + n, size - 1 - n);

		if (got <= 0)
			return false;
		n += (size_t)got;
		dst[n] = '\0';
		if ((end = strstr(dst, "\r\n\r\n")) == NULL)
			continue;
		length = strstr(dst, "Content-Length: ");
		want = (size_t)(end - dst) + 4 + (length != NULL ? strtoul(length + 16, NULL, 10) : 0);
		if (n >= want)
			return true;
	}
}

static void *work_connection(void *arg)
{
	const int fd = (int)(intptr_t)arg;
	char rq[8192];

	while (read_request(fd, rq, sizeof rq) && answer(fd, rq))
		;
	close(fd);
	return NULL;
}

static void *work_accept(void *arg)
{
	(void)arg;
	for (;;) {
		const int fd = accept(server.fd, NULL, NULL);
		pthread_t t;

		if (fd < 0)
			return NULL;
		atomic_fetch_add(&server.connections, 1);
		assert_int_equal(pthread_create(&t, NULL, work_connection, (void *)(intptr_t)fd), 0);
		pthread_detach(t);
	}
}

static void server_open(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;

	atomic_store(&server.connections, 0);
	atomic_store(&server.requests, 0);
	server.fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(server.fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(server.fd, 64), 0);
	assert_int_equal(getsockname(server.fd, (struct sockaddr *)&a, &len), 0);
	server.port = ntohs(a.sin_port);
	assert_int_equal(pthread_create(&server.thread, NULL, work_accept, NULL), 0);
}

static void server_close(void)
{
	shutdown(server.fd, SHUT_RDWR);
	pthread_join(server.thread, NULL);
	close(server.fd);
}

/* ---- calls ----------------------------------------------------------------------------------------------------------- */
static struct outbound *o;

static struct outbound *open_outbound(const char *allow, unsigned transfers_max)
{
	const struct outbound_conf conf = {
		.allow = allow, .ca_file = "", .transfers_max = transfers_max, .per_host_max = 4, .connections_max = 16
	};
	struct outbound *made;
	struct err e;

	assert_int_equal(outbound_new(&made, &conf, &e), 0);
	return made;
}

static int setup(void **state)
{
	(void)state;
	server_open();
	o = open_outbound("127.0.0.0/8", 8);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	outbound_free(o);
	server_close();
	return 0;
}

static int call(struct outbound *with, const char *host, const char *path, struct outbound_request rq,
	struct outbound_answer *out, struct err *e)
{
	char url[200];

	memset(e, 0, sizeof *e);
	str_fmt(url, sizeof url, "http://%s:%u%s", host, server.port, path);
	rq.url = url;
	rq.method = rq.method != NULL ? rq.method : "GET";
	rq.timeout_ms = rq.timeout_ms != 0 ? rq.timeout_ms : 20000;
	rq.answer_max = rq.answer_max != 0 ? rq.answer_max : 65536;
	return outbound_send(with, &rq, out, e);
}

#define CALL(path, a, e, ...) call(o, "127.0.0.1", path, (struct outbound_request){ .url = NULL, ##__VA_ARGS__ }, a, e)

static void what_is_sent_and_what_comes_back(void **state)
{
	static const char *const headers[] = { "X-Own: yes", "Content-Type: application/json", NULL };
	struct outbound_answer a;
	char value[20];
	struct err e;

	(void)state;
	assert_int_equal(
		CALL("/hello?a=b", &a, &e, .method = "PUT", .headers = headers, .body = "{\"a\":1}", .body_n = 7), 0);
	assert_int_equal(a.status, 201);
	assert_non_null(strstr(buf_cstr(&a.body), "PUT /hello?a=b HTTP/1.1\r\n"));
	assert_non_null(strstr(buf_cstr(&a.body), "\r\nX-Own: yes\r\n"));
	assert_non_null(strstr(buf_cstr(&a.body), "\r\nContent-Type: application/json\r\n"));
	assert_non_null(strstr(buf_cstr(&a.body), "\r\n\r\n{\"a\":1}"));
	assert_true(outbound_header(&a, "retry-after", value, sizeof value));
	assert_string_equal(value, "7");
	assert_true(outbound_header(&a, "X-THING", value, sizeof value));
	assert_string_equal(value, "second");
	assert_false(outbound_header(&a, "x-thin", value, sizeof value));
	assert_false(outbound_header(&a, "x-thing", value, 3));
	outbound_answer_fini(&a);

	assert_int_equal(CALL("/hello", &a, &e, .method = "DELETE"), 0);
	assert_non_null(strstr(buf_cstr(&a.body), "DELETE /hello"));
	outbound_answer_fini(&a);
	assert_int_equal(CALL("/hello", &a, &e, .method = "POST", .body = "", .body_n = 0), 0);
	assert_non_null(strstr(buf_cstr(&a.body), "Content-Length: 0"));
	outbound_answer_fini(&a);
}

static void connections_are_used_again(void **state)
{
	struct outbound_answer a;
	struct err e;

	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(CALL("/hello", &a, &e), 0);
		outbound_answer_fini(&a);
	}
	assert_int_equal(atomic_load(&server.connections), 1);
	assert_int_equal(atomic_load(&server.requests), 20);
}

static void a_redirect_is_an_answer(void **state)
{
	struct outbound_answer a;
	struct err e;

	(void)state;
	assert_int_equal(CALL("/redirect", &a, &e), 0);
	assert_int_equal(a.status, 302);
	outbound_answer_fini(&a);
	assert_int_equal(atomic_load(&server.requests), 1);
	assert_int_equal(CALL("/early", &a, &e), 0);
	assert_int_equal(a.status, 204);
	assert_false(outbound_header(&a, "x-thing", (char[20]){ 0 }, 20));
	assert_true(outbound_header(&a, "x-late", (char[20]){ 0 }, 20));
	outbound_answer_fini(&a);
}

static void what_goes_wrong(void **state)
{
	static const char *const split[] = { "X-Own: yes\r\nX-Other: no", NULL };
	struct outbound_answer a;
	struct err e;

	(void)state;
	assert_int_equal(CALL("/big", &a, &e, .answer_max = BIG - 1), -1);
	assert_int_equal(e.code, ERR_TOO_LARGE);
	assert_int_equal(CALL("/big", &a, &e, .answer_max = BIG), 0);
	assert_int_equal(a.body.len, BIG);
	outbound_answer_fini(&a);
	assert_int_equal(CALL("/cut", &a, &e), -1);
	assert_int_equal(e.code, ERR_IO);
	assert_int_equal(CALL("/silent", &a, &e, .timeout_ms = 100), -1);
	assert_int_equal(e.code, ERR_TIMEOUT);
	assert_int_equal(CALL("/hello", &a, &e, .headers = split), -1);
	assert_int_equal(e.code, ERR_VALIDATION);
	assert_int_equal(CALL("/hello", &a, &e, .method = "GET /x"), -1);
	assert_int_equal(e.code, ERR_VALIDATION);
}

/* The port is ours, so that nobody else listens there meanwhile. */
static void nobody_listens(void **state)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const int fd = socket(AF_INET, SOCK_STREAM, 0);
	const unsigned port = server.port;
	struct outbound_answer a;
	socklen_t len = sizeof at;
	struct err e;

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	server.port = ntohs(at.sin_port);
	assert_int_equal(CALL("/hello", &a, &e, .timeout_ms = 30000), -1);
	assert_true(e.code == ERR_UNAVAILABLE || e.code == ERR_IO);
	server.port = port;
	close(fd);
}

static bool on_asked(void *arg)
{
	return ++*(int *)arg >= 2;
}

static void who_is_told_to_stop_stops(void **state)
{
	struct outbound_answer a;
	int asked = 0;
	struct err e;

	(void)state;
	assert_int_equal(CALL("/silent", &a, &e, .stop = on_asked, .arg = &asked), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	assert_int_equal(asked, 2);
}

/* ---- where it may not go --------------------------------------------------------------------------------------------- */
static void closed_addresses_are_not_dialled(void **state)
{
	static const char *const hosts[] = { "127.0.0.1", "localhost", "0x7f.1", "2130706433", "127.1", "[::1]",
		"0.0.0.0", "[::ffff:127.0.0.1]" };
	struct outbound *shut = open_outbound("", 8);
	struct outbound_stats stats;
	struct outbound_answer a;
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		assert_int_equal(call(shut, hosts[i], "/hello", (struct outbound_request){ .url = NULL }, &a, &e), -1);
		if (e.code != ERR_DENIED_TARGET)
			print_error("%s: %s\n", hosts[i], e.msg);
		assert_int_equal(e.code, ERR_DENIED_TARGET);
	}
	assert_int_equal(atomic_load(&server.connections), 0);
	outbound_stats(shut, &stats);
	assert_int_equal(stats.denied, 1); /* the name alone had to be resolved */
	outbound_free(shut);
	/* The name that was closed is open where its range is. */
	assert_int_equal(call(o, "localhost", "/hello", (struct outbound_request){ .url = NULL }, &a, &e), 0);
	outbound_answer_fini(&a);
}

static void urls(void **state)
{
	static const struct {
		const char *url, *allow;
		enum err_code code;
	} cases[] = {
		{ "https://example.com/x?y=z", "", ERR_NONE },
		{ "http://example.com:8080", "", ERR_NONE },
		{ "http://192.0.2.1/", "", ERR_NONE },
		{ "http://[2001:db8::1]/", "", ERR_NONE },
		{ "http://10.1.2.3/", "10.0.0.0/8", ERR_NONE },
		{ "http://10.1.2.3/", "10.2.0.0/16", ERR_DENIED_TARGET },
		{ "http://10.1.2.3/", "", ERR_DENIED_TARGET },
		{ "http://169.254.169.254/latest/meta-data", "", ERR_DENIED_TARGET },
		{ "http://[fe80::1]/", "", ERR_DENIED_TARGET },
		{ "http://[::ffff:10.0.0.1]/", "", ERR_DENIED_TARGET },
		{ "http://[64:ff9b::a00:1]/", "", ERR_DENIED_TARGET },
		{ "http://0177.0.0.1/", "", ERR_DENIED_TARGET },
		{ "http://3232235777/", "", ERR_DENIED_TARGET },
		{ "ftp://example.com/", "", ERR_VALIDATION },
		{ "file:///etc/passwd", "", ERR_VALIDATION },
		{ "gopher://example.com/", "", ERR_VALIDATION },
		{ "example.com", "", ERR_VALIDATION },
		{ "//example.com", "", ERR_VALIDATION },
		{ "", "", ERR_VALIDATION },
		{ "http://", "", ERR_VALIDATION },
		{ "http://user@example.com/", "", ERR_VALIDATION },
		{ "http://user:secret@example.com/", "", ERR_VALIDATION },
		{ "http://example.com/a b", "", ERR_VALIDATION },
		{ "http://example.com/\r\nX: y", "", ERR_VALIDATION },
	};
	int failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err e = { 0 };
		struct guard g;

		assert_int_equal(guard_init(&g, cases[i].allow, &e), 0);
		(void)!guard_check_url(&g, "url", cases[i].url, &e);
		if (e.code != cases[i].code || strstr(e.value, "secret") != NULL) {
			print_error("'%s': %s %s\n", cases[i].url, err_name(e.code), e.msg);
			failed++;
		}
	}
	assert_int_equal(failed, 0);
}

static void ranges(void **state)
{
	struct guard g;
	struct err e;

	(void)state;
	assert_int_equal(guard_init(&g, " 10.0.0.0/8,192.168.1.5,, fd00::/8 ", &e), 0);
	assert_int_equal(g.n, 3);
	assert_int_equal(guard_init(&g, "10.0.0.0/8, nothing", &e), -1);
	assert_int_equal(guard_init(&g, "10.0.0.1/8", &e), -1);
}

/* ---- many at once ---------------------------------------------------------------------------------------------------- */
static void *work_call(void *arg)
{
	struct outbound_answer a;
	struct err e;

	for (int i = 0; i < 20; i++) {
		if (CALL("/hello", &a, &e) != 0) {
			atomic_fetch_add((atomic_int *)arg, 1);
			continue;
		}
		outbound_answer_fini(&a);
	}
	return NULL;
}

static void many_at_once(void **state)
{
	pthread_t threads[8];
	atomic_int failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work_call, &failed), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&failed), 0);
	assert_in_range(atomic_load(&server.connections), 1, 4); /* as many as one host gets */
	assert_int_equal(atomic_load(&server.requests), 160);
}

static void *work_silent(void *arg)
{
	struct outbound_answer a;
	struct err e;

	if (CALL("/silent", &a, &e) == 0)
		outbound_answer_fini(&a);
	*(enum err_code *)arg = e.code;
	return NULL;
}

/* The end fails what is under way, and what is too much is refused. */
static void limits_and_the_end(void **state)
{
	pthread_t threads[8];
	enum err_code codes[8];
	struct outbound_stats stats;
	struct outbound_answer a;
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work_silent, &codes[i]), 0);
	do
		outbound_stats(o, &stats);
	while (stats.active < ARRAY_LEN(threads));
	assert_int_equal(CALL("/hello", &a, &e), -1);
	assert_int_equal(e.code, ERR_OVERLOADED);
	outbound_free(o);
	o = NULL;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(codes[i], ERR_IO);
	}
}

#define SEQUENCE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SEQUENCE(what_is_sent_and_what_comes_back),
		SEQUENCE(connections_are_used_again),
		SEQUENCE(a_redirect_is_an_answer),
		SEQUENCE(what_goes_wrong),
		SEQUENCE(nobody_listens),
		SEQUENCE(who_is_told_to_stop_stops),
		SEQUENCE(closed_addresses_are_not_dialled),
		SEQUENCE(many_at_once),
		SEQUENCE(limits_and_the_end),
		cmocka_unit_test(urls),
		cmocka_unit_test(ranges),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
