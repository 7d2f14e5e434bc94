#define _GNU_SOURCE
/*
 * A shared port: connections find their mapping by host name, are then what they would be on a port of their own, and whoever leads
 * nowhere is told so.
 */
#include "common/base/err.h"
#include "relayd/vhost/front.h"
#include "relayd/vhost/vhost_service.h"
#include "tests/unit/relayd/hellos.h"
#include "tests/unit/relayd/lab.h"

#include <netinet/tcp.h>

#define HEAD(host) "GET / HTTP/1.1\r\nHost: " host "\r\n\r\n"

static struct lab lab;
static struct front *fronts[FRONTS_N];
static uint16_t shared, target;
static int listener;
static char at[32];
static struct front_conf limits; /* timeout and numbers of the next start */

static int make(struct service *out, const struct service_env *env, struct err *e, enum front_kind which)
{
	static const uint8_t protocols[] = { MAPPING_HTTP, MAPPING_TLS };
	static const char *const names[] = { "http", "tls" };
	struct service_env with = *env;

	with.fronts = fronts;
	for (int i = 0; i < FRONTS_N; i++) {
		struct front_conf conf = limits;

		conf.protocol = protocols[i];
		conf.name = names[i];
		conf.listen = i == (int)which ? at : "off";
		conf.workers = 2;
		assert_int_equal(front_new(&fronts[i], &conf, env, e), 0);
	}
	return which == FRONT_HTTP ? vhost_http_service_new(out, &with, e) : vhost_tls_service_new(out, &with, e);
}

static int make_http(struct service *out, const struct service_env *env, struct err *e)
{
	return make(out, env, e, FRONT_HTTP);
}

static int make_tls(struct service *out, const struct service_env *env, struct err *e)
{
	return make(out, env, e, FRONT_TLS);
}

static void put(const char *id, const char *host, uint16_t to)
{
	static char names[1][HOST_NAME_SIZE];
	struct mapping_conf m = lab_mapping(
		fronts[FRONT_HTTP] != NULL && front_port(fronts[FRONT_HTTP]) ? MAPPING_HTTP : MAPPING_TLS, 0, to);

	str_copy(names[0], sizeof names[0], host);
	m.hosts = (struct mapping_hosts){ names, 1 };
	m.bind[0] = '\0';
	m.on_delete = MAPPING_KEEP;
	lab_change(&lab, id, &m);
}

static void start(lab_service_fn service)
{
	shared = lab_free_port(SOCK_STREAM);
	str_fmt(at, sizeof at, "127.0.0.1:%u", (unsigned)shared);
	lab_start(&lab, service);
	listener = lab_bound(SOCK_STREAM, &target);
	put("map_a", "a.example", target);
}

static int set_up_http(void **state)
{
	(void)state;
	limits = (struct front_conf){ .timeout_ms = 10000, .waiting_max = 64 };
	start(make_http);
	return 0;
}

static int set_up_tls(void **state)
{
	(void)state;
	limits = (struct front_conf){ .timeout_ms = 10000, .waiting_max = 64 };
	start(make_tls);
	put("map_a", "www.example.com", target);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(listener);
	lab_stop(&lab);
	for (int i = 0; i < FRONTS_N; i++) {
		front_free(fronts[i]);
		fronts[i] = NULL;
	}
	return 0;
}

static uint64_t counted(enum front_counter c)
{
	struct front_counts counts;

	front_counts(fronts[front_port(fronts[FRONT_HTTP]) != 0 ? FRONT_HTTP : FRONT_TLS], &counts);
	return counts.value[c];
}

static int ask(const char *text)
{
	int fd = lab_connect(SOCK_STREAM, shared);

	lab_send(fd, text, strlen(text));
	return fd;
}

/* A page of this status and the end of the stream, although it is not read at once. */
static void expect_page(int fd, const char *status)
{
	char page[1024] = "";
	size_t n = 0;
	ssize_t k;

	while ((k = recv(fd, page + n, sizeof page - 1 - n, 0)) > 0)
		n += (size_t)k;
	assert_int_equal(k, 0);
	assert_int_equal(strncmp(page, "HTTP/1.1 ", 9), 0);
	if (strncmp(page + 9, status, 3) != 0)
		fail_msg("wanted %s: %s", status, page);
	close(fd);
}

static void serve_one(int client, const char *request, size_t n)
{
	int server = lab_accept(listener);

	lab_expect(server, request, n);
	lab_send(server, "answer", 6);
	lab_expect(client, "answer", 6);
	shutdown(client, SHUT_WR);
	lab_expect_end(server);
	lab_send(server, "more", 4); /* a half-closed connection still answers */
	lab_expect(client, "more", 4);
	close(server);
	lab_expect_end(client);
	close(client);
}

/* ---- HTTP --------------------------------------------------------------------------------------------------------- */

static void a_request_comes_whole_and_is_counted(void **state)
{
	const char *request = HEAD("A.example:80");

	(void)state;
	serve_one(ask(request), request, strlen(request));
	LAB_UNTIL(&lab, lab_connections(&lab) == 0);
	assert_int_equal(lab_count(&lab, "map_a", METER_bytes_in), strlen(request));
	assert_int_equal(lab_count(&lab, "map_a", METER_bytes_out), 10);
	assert_int_equal(lab_count(&lab, "map_a", METER_opened), 1);
	assert_int_equal(lab_count(&lab, "map_a", METER_closed), 1);
	assert_int_equal(counted(FRONT_accepted), 1);
	assert_int_equal(counted(FRONT_served), 1);
}

/* Byte by byte, with the body right behind the head. */
static void a_request_in_single_bytes(void **state)
{
	const char *request = HEAD("a.example") "body";
	int fd = lab_connect(SOCK_STREAM, shared), on = 1;

	(void)state;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	for (size_t i = 0; request[i] != '\0'; i++)
		lab_send(fd, request + i, 1);
	serve_one(fd, request, strlen(request));
}

static void a_request_with_its_end(void **state)
{
	const char *request = HEAD("a.example");
	int fd = ask(request), server;

	(void)state;
	shutdown(fd, SHUT_WR);
	server = lab_accept(listener);
	lab_expect(server, request, strlen(request));
	lab_expect_end(server);
	lab_reset(server);
	lab_expect_reset(fd);
	close(fd);
}

static void who_leads_nowhere_is_told(void **state)
{
	static char large[64 * 1024];

	(void)state;
	expect_page(ask(HEAD("b.example")), "404");
	expect_page(ask(HEAD("127.0.0.1")), "404");
	expect_page(ask("GET / HTTP/1.1\r\n\r\n"), "400");
	expect_page(ask(HEAD("a.example\r\nHost: b")), "400");
	expect_page(ask("\x16\x03\x01junk"), "400");
	memset(large, 'x', sizeof large - 1);
	memcpy(large, HEAD("b.example"), strlen(HEAD("b.example")));
	expect_page(ask(large), "404");
	assert_int_equal(counted(FRONT_unknown), 3);
	assert_int_equal(counted(FRONT_bad), 3);
	LAB_UNTIL(&lab, lab_connections(&lab) == 0);
	assert_int_equal(lab_count(&lab, "map_a", METER_opened), 0);
}

static void http2_without_tls_is_sent_away(void **state)
{
	static const char want[] = "\0\0\0\4\0\0\0\0\0\0\0\x08\7\0\0\0\0\0\0\0\0\0\0\0\0\x0d";
	int fd = ask("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

	(void)state;
	lab_expect(fd, want, sizeof want - 1);
	lab_expect_end(fd);
	close(fd);
}

static void a_target_that_cannot_be_reached(void **state)
{
	int closed = lab_bound(SOCK_STREAM, &target);

	(void)state;
	close(closed);
	put("map_a", "a.example", target);
	expect_page(ask(HEAD("a.example")), "502");
	LAB_UNTIL(&lab, lab_connections(&lab) == 0);
	assert_int_equal(lab_count(&lab, "map_a", METER_refused_dial), 1);
	assert_int_equal(lab_count(&lab, "map_a", METER_closed), 1);
}

static void limits_are_said(void **state)
{
	static char name[1][HOST_NAME_SIZE] = { "a.example" };
	static struct cidr nobody[] = { { 4, 32, { 192, 0, 2, 1 } } };
	struct mapping_conf m = lab_mapping(MAPPING_HTTP, 0, target);
	int first, server;

	(void)state;
	m.bind[0] = '\0';
	m.hosts = (struct mapping_hosts){ name, 1 };
	m.max_connections = 1;
	lab_change(&lab, "map_a", &m);
	first = ask(HEAD("a.example"));
	server = lab_accept(listener);
	expect_page(ask(HEAD("a.example")), "503");
	assert_int_equal(lab_count(&lab, "map_a", METER_refused_limit), 1);
	m.max_connections = 0;
	m.allow = (struct mapping_cidrs){ nobody, 1 };
	lab_change(&lab, "map_a", &m);
	expect_page(ask(HEAD("a.example")), "403");
	assert_int_equal(lab_count(&lab, "map_a", METER_refused_cidr), 1);
	lab_expect(server, HEAD("a.example"), strlen(HEAD("a.example"))); /* the first goes on through all of it */
	lab_send(server, "x", 1);
	lab_expect(first, "x", 1);
	close(first);
	close(server);
}

/* A PROXY header counts for a mapping that asks for one, and is an error for the others. */
static void proxy_headers(void **state)
{
	static char name[1][HOST_NAME_SIZE] = { "p.example" };
	static struct cidr here[] = { { 4, 8, { 127 } } };
	struct mapping_conf m = lab_mapping(MAPPING_HTTP, 0, target);
	const char *line = "PROXY TCP4 192.0.2.7 192.0.2.8 1000 80\r\n" HEAD("p.example");
	int fd, server;

	(void)state;
	m.bind[0] = '\0';
	m.hosts = (struct mapping_hosts){ name, 1 };
	m.proxy_in = true;
	m.proxy_trusted = (struct mapping_cidrs){ here, 1 };
	m.proxy_out = MAPPING_PROXY_V1;
	lab_change(&lab, "map_p", &m);
	fd = ask(line);
	server = lab_accept(listener);
	lab_expect(server, line, strlen(line));
	close(fd);
	close(server);
	fd = ask(HEAD("p.example"));
	lab_expect_reset(fd);
	close(fd);
	assert_int_equal(lab_count(&lab, "map_p", METER_refused_proxy), 1);
	expect_page(ask("PROXY TCP4 192.0.2.7 192.0.2.8 1000 80\r\n" HEAD("a.example")), "400");
	assert_int_equal(lab_count(&lab, "map_a", METER_refused_proxy), 1);
}

/* ---- changes ------------------------------------------------------------------------------------------------------ */

static void names_come_and_go(void **state)
{
	uint16_t other;
	int b = lab_bound(SOCK_STREAM, &other), old = ask(HEAD("a.example")), server = lab_accept(listener), fd, to;

	(void)state;
	put("map_b", "*.b.example", other);
	fd = ask(HEAD("x.b.example"));
	to = lab_accept(b);
	lab_expect(to, HEAD("x.b.example"), strlen(HEAD("x.b.example")));
	close(fd);
	close(to);
	put("map_a", "c.example", target); /* another name: who is there stays */
	expect_page(ask(HEAD("a.example")), "404");
	fd = ask(HEAD("c.example"));
	to = lab_accept(listener);
	close(fd);
	close(to);
	lab_change(&lab, "map_a", NULL);
	expect_page(ask(HEAD("c.example")), "404");
	lab_expect(server, HEAD("a.example"), strlen(HEAD("a.example")));
	lab_send(server, "still", 5);
	lab_expect(old, "still", 5);
	close(old);
	close(server);
	close(b);
}

/* A name belongs to one mapping; who wants it too is refused, and gets it once it is free. */
static void a_name_that_is_taken(void **state)
{
	enum err_code code;

	(void)state;
	put("map_b", "a.example", target);
	assert_string_equal(lab_refusal(&lab, "map_b", &code), "host name already in use: a.example");
	assert_int_equal(code, ERR_ADDR_IN_USE);
	serve_one(ask(HEAD("a.example")), HEAD("a.example"), strlen(HEAD("a.example")));
	lab_change(&lab, "map_a", NULL);
	LAB_UNTIL(&lab, lab_refusal(&lab, "map_b", &code) == NULL);
	serve_one(ask(HEAD("a.example")), HEAD("a.example"), strlen(HEAD("a.example")));
	LAB_UNTIL(&lab, lab_count(&lab, "map_b", METER_closed) == 1);
}

static void a_shared_port_that_is_taken(void **state)
{
	struct sockaddr_in a;
	enum err_code code;
	int holder = lab_socket(SOCK_STREAM);

	(void)state;
	limits = (struct front_conf){ .timeout_ms = 10000, .waiting_max = 64 };
	shared = lab_free_port(SOCK_STREAM);
	a = lab_addr(shared);
	assert_int_equal(bind(holder, (struct sockaddr *)&a, sizeof a) | listen(holder, 1), 0);
	str_fmt(at, sizeof at, "127.0.0.1:%u", (unsigned)shared);
	lab_start(&lab, make_http);
	lab.fds_before++; /* its socket was there before */
	listener = lab_bound(SOCK_STREAM, &target);
	put("map_a", "a.example", target);
	assert_non_null(strstr(lab_refusal(&lab, "map_a", &code), "http.listen: address already in use: 127.0.0.1:"));
	assert_int_equal(code, ERR_UNAVAILABLE);
	close(holder);
	lab.fds_before -= 2;
	LAB_UNTIL(&lab, lab_refusal(&lab, "map_a", &code) == NULL);
	serve_one(ask(HEAD("a.example")), HEAD("a.example"), strlen(HEAD("a.example")));
}

static void a_shared_port_that_is_off(void **state)
{
	enum err_code code;

	(void)state;
	limits = (struct front_conf){ .timeout_ms = 10000, .waiting_max = 64 };
	str_copy(at, sizeof at, "off");
	lab_start(&lab, make_tls);
	listener = lab_bound(SOCK_STREAM, &target);
	put("map_a", "a.example", target);
	assert_string_equal(lab_refusal(&lab, "map_a", &code), "this relay has no tls port: tls.listen is off");
	assert_int_equal(code, ERR_UNAVAILABLE);
}

/* The successor's sockets are the same; who is here and has not said for whom is served here all the same. */
static void who_has_come_is_served_after_a_handover(void **state)
{
	int fd = lab_connect(SOCK_STREAM, shared);

	(void)state;
	lab_send(fd, HEAD("a.example"), 10);
	LAB_UNTIL(&lab, counted(FRONT_accepted) == 1);
	lab.service.ops->quiesce(lab.service.self, true);
	lab_send(fd, HEAD("a.example") + 10, strlen(HEAD("a.example")) - 10);
	serve_one(fd, HEAD("a.example"), strlen(HEAD("a.example")));
}

/* ---- those who wait ----------------------------------------------------------------------------------------------- */

static void who_does_not_say_it_in_time(void **state)
{
	int fd;

	(void)state;
	limits = (struct front_conf){ .timeout_ms = 200, .waiting_max = 64 };
	start(make_http);
	fd = ask("GET / HTTP/1.1\r\n");
	lab_expect_reset(fd);
	close(fd);
	assert_int_equal(counted(FRONT_slow), 1);
	assert_int_equal(lab_connections(&lab), 0);
}

static void too_many_that_wait(void **state)
{
	int fds[16];

	(void)state;
	limits = (struct front_conf){ .timeout_ms = 60000, .waiting_max = 4 };
	start(make_http);
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = lab_connect(SOCK_STREAM, shared);
	LAB_UNTIL(&lab, counted(FRONT_accepted) == ARRAY_LEN(fds) && lab_connections(&lab) <= 4 &&
				counted(FRONT_evicted) == ARRAY_LEN(fds) - lab_connections(&lab));
	serve_one(ask(HEAD("a.example")), HEAD("a.example"), strlen(HEAD("a.example")));
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
}

static void too_many_from_one_source(void **state)
{
	int fds[3];

	(void)state;
	limits = (struct front_conf){ .timeout_ms = 60000, .waiting_max = 64, .waiting_per_source = 3 };
	start(make_http);
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = lab_connect(SOCK_STREAM, shared);
	LAB_UNTIL(&lab, lab_connections(&lab) == 3);
	lab_expect_refused(shared);
	assert_int_equal(counted(FRONT_crowded), 1);
	close(fds[0]);
	LAB_UNTIL(&lab, lab_connections(&lab) == 2);
	serve_one(ask(HEAD("a.example")), HEAD("a.example"), strlen(HEAD("a.example")));
	close(fds[1]);
	close(fds[2]);
}

/* ---- TLS ---------------------------------------------------------------------------------------------------------- */

static void a_hello_comes_whole(void **state)
{
	int fd = lab_connect(SOCK_STREAM, shared);

	(void)state;
	lab_send(fd, hello_tls13, 100);
	lab_send(fd, hello_tls13 + 100, sizeof hello_tls13 - 100);
	serve_one(fd, (const char *)hello_tls13, sizeof hello_tls13);
	LAB_UNTIL(&lab, lab_connections(&lab) == 0);
	assert_int_equal(lab_count(&lab, "map_a", METER_bytes_in), sizeof hello_tls13);
}

static void expect_alert(const uint8_t *p, size_t n, char alert)
{
	const char want[] = { 0x15, 3, 3, 0, 2, 2, alert };
	int fd = lab_connect(SOCK_STREAM, shared);

	lab_send(fd, p, n);
	lab_expect(fd, want, sizeof want);
	lab_expect_end(fd);
	close(fd);
}

static void alerts(void **state)
{
	int fd;

	(void)state;
	expect_alert(hello_tls12, sizeof hello_tls12, 112);
	expect_alert(hello_no_name, sizeof hello_no_name, 109);
	expect_alert((const uint8_t *)"\x16\x03\x01\x00\x04\x02\x00\x00\x00", 9, 50);
	put("map_a", "www.example.com", 1);
	expect_alert(hello_tls13, sizeof hello_tls13, 80);
	fd = ask(HEAD("www.example.com"));
	lab_expect_reset(fd);
	close(fd);
}

#define HTTP(f)  cmocka_unit_test_setup_teardown(f, set_up_http, tear_down)
#define TLS(f)   cmocka_unit_test_setup_teardown(f, set_up_tls, tear_down)
#define ALONE(f) cmocka_unit_test_setup_teardown(f, NULL, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HTTP(a_request_comes_whole_and_is_counted),
		HTTP(a_request_in_single_bytes),
		HTTP(a_request_with_its_end),
		HTTP(who_leads_nowhere_is_told),
		HTTP(http2_without_tls_is_sent_away),
		HTTP(a_target_that_cannot_be_reached),
		HTTP(limits_are_said),
		HTTP(proxy_headers),
		HTTP(names_come_and_go),
		HTTP(a_name_that_is_taken),
		ALONE(a_shared_port_that_is_taken),
		ALONE(a_shared_port_that_is_off),
		HTTP(who_has_come_is_served_after_a_handover),
		ALONE(who_does_not_say_it_in_time),
		ALONE(too_many_that_wait),
		ALONE(too_many_from_one_source),
		TLS(a_hello_comes_whole),
		TLS(alerts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
