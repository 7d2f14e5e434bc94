/* The same server behind TLS: bytes pass the strict reader after decryption, in whatever pieces they come. */
#include "controld/rest/server.h"

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/macros.h"
#include "common/crypto/tls.h"
#include "controld/loop/loop.h"
#include "tests/unit/common/pki.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 30000
#define LAST        "GET /ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

static struct pki pki;

/* ---- server ---------------------------------------------------------------------------------------------------------- */

struct bench {
	struct loop *loop;
	struct server *server;
	struct server_conf conf;
	struct tls_ctx *tls;
	pthread_t thread;
	struct loop_task task;
};

static struct tls_ctx *server_tls(const char *cert)
{
	const struct tls_conf conf = {
		.server = true, .cert_pem = cert, .key_pem = pki.server_key_pem, .min_version = 12
	};
	struct tls_ctx *ctx;
	struct err e;

	if (tls_ctx_new(&ctx, &conf, &e) != 0)
		fail_msg("%s", e.msg);
	return ctx;
}

static void *work_loop(void *arg)
{
	return loop_run(arg, NULL) == 0 ? NULL : arg;
}

static void bench_start(struct bench *b, uint64_t head_ms)
{
	struct err e;

	*b = (struct bench){ .tls = server_tls(pki.server) };
	b->conf = (struct server_conf){ .listen = "127.0.0.1:0",
		.tls = b->tls,
		.cors_origins = "",
		.trusted_proxies = "",
		.connections_max = 100,
		.head_max = 4096,
		.body_max = 100000,
		.head_ms = head_ms,
		.body_ms = PATIENCE_MS,
		.idle_ms = PATIENCE_MS,
		.write_ms = PATIENCE_MS,
		.stop_ms = PATIENCE_MS,
		.db_threads = 1,
		.slow_threads = 1,
		.db_queue_max = 10,
		.slow_queue_max = 10,
		.parked_max = 10 };
	if (loop_new(&b->loop, &e) != 0 || server_new(&b->server, &b->conf, b->loop, NULL, NULL, &e) != 0 ||
		server_start(b->server, &e) != 0)
		fail_msg("%s", e.msg);
	assert_int_equal(pthread_create(&b->thread, NULL, work_loop, b->loop), 0);
}

static void on_stopped(void *loop)
{
	loop_stop(loop);
}

static void on_stop(void *arg)
{
	struct bench *b = arg;

	server_stop(b->server, on_stopped, b->loop);
}

static void bench_stop(struct bench *b)
{
	b->task = (struct loop_task){ .fn = on_stop, .arg = b };
	loop_post(b->loop, &b->task);
	pthread_join(b->thread, NULL);
	server_free(b->server);
	loop_free(b->loop);
	tls_ctx_unref(b->tls);
}

/* ---- client ---------------------------------------------------------------------------------------------------------- */

struct client {
	int fd;
	struct tls_ctx *ctx;
	struct tls_session *session;
};

static ssize_t on_send(void *arg, const void *p, size_t n)
{
	const ssize_t sent = send(((struct client *)arg)->fd, p, n, MSG_NOSIGNAL);

	return sent >= 0 ? sent : TLS_FAILED;
}

static ssize_t on_recv(void *arg, void *p, size_t n)
{
	struct client *c = arg;
	struct pollfd ready = { .fd = c->fd, .events = POLLIN };
	ssize_t got;

	if (poll(&ready, 1, PATIENCE_MS) != 1)
		return TLS_FAILED;
	got = recv(c->fd, p, n, 0);
	return got > 0 ? got : got == 0 ? TLS_CLOSED : TLS_FAILED;
}

static int client_socket(const struct bench *b)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(server_port(b->server)) };
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	return fd;
}

/* Shakes hands with a server whose chain must end in ca. */
static int client_open(struct client *c, const struct bench *b, const char *ca)
{
	const struct tls_conf conf = { .ca_pem = ca, .server_name = "localhost" };
	const struct tls_io io = { on_send, on_recv, c };
	struct err e;
	int rc;

	*c = (struct client){ .fd = client_socket(b) };
	if (tls_ctx_new(&c->ctx, &conf, &e) != 0 || tls_session_new(&c->session, c->ctx, &io, &e) != 0)
		fail_msg("%s", e.msg);
	while ((rc = tls_session_handshake(c->session)) == TLS_AGAIN)
		;
	return rc;
}

static void client_close(struct client *c)
{
	tls_session_free(c->session);
	tls_ctx_unref(c->ctx);
	close(c->fd);
}

static void client_send(struct client *c, const char *text, size_t step)
{
	const size_t n = strlen(text);

	for (size_t at = 0; at < n;) {
		const ssize_t sent = tls_session_write(c->session, text + at, MIN(step, n - at));

		if (sent == TLS_AGAIN)
			continue;
		if (sent <= 0)
			return;
		at += (size_t)sent;
	}
}

static size_t client_read_all(struct client *c, char *dst, size_t size)
{
	size_t n = 0;

	while (n + 1 < size) {
		const ssize_t got = tls_session_read(c->session, dst + n, size - 1 - n);

		if (got == TLS_AGAIN)
			continue;
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	dst[n] = '\0';
	return n;
}

static unsigned count(const char *text, const char *what)
{
	unsigned n = 0;

	while ((text = strstr(text, what)) != NULL) {
		n++;
		text++;
	}
	return n;
}

/* ---- tests ----------------------------------------------------------------------------------------------------------- */

static void test_requests_in_pieces(void **state)
{
	static const size_t steps[] = { 100000, 1, 5, 37 };
	static char answers[1 << 20];
	struct bench b;

	(void)state;
	bench_start(&b, PATIENCE_MS);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct client c;

		assert_int_equal(client_open(&c, &b, pki.ca), 0);
		client_send(&c,
			"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
			"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n"
			"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" LAST,
			steps[i]);
		client_read_all(&c, answers, sizeof answers);
		assert_int_equal(count(answers, "HTTP/1.1 200 OK"), 3);
		assert_int_equal(count(answers, "HTTP/1.1 405 Method Not Allowed"), 1);
		assert_int_equal(
			count(answers, "\r\nStrict-Transport-Security: max-age=31536000; includeSubDomains\r\n"), 4);
		assert_non_null(strstr(answers, "\"documentation_url\":\"https://a/docs/errors/METHOD_NOT_ALLOWED\""));
		assert_non_null(strstr(answers, "{\"ready\":true}"));
		client_close(&c);
	}
	bench_stop(&b);
}

static void test_refusal_and_large_body(void **state)
{
	static char answer[65536], body[90100];
	struct bench b;
	struct client c;
	int n;

	(void)state;
	bench_start(&b, PATIENCE_MS);
	assert_int_equal(client_open(&c, &b, pki.ca), 0);
	client_send(&c, "GET /ready HTTP/1.1\nHost: a\n\n", 1000);
	client_read_all(&c, answer, sizeof answer);
	assert_non_null(strstr(answer, "HTTP/1.1 400 Bad Request"));
	client_close(&c);

	assert_int_equal(client_open(&c, &b, pki.ca), 0);
	n = snprintf(body, sizeof body, "POST /ready HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n");
	memset(body + n, 'x', sizeof body - 1 - (size_t)n);
	body[n + 90000] = '\0';
	client_send(&c, body, sizeof body);
	client_send(&c, LAST, sizeof body);
	client_read_all(&c, answer, sizeof answer);
	assert_non_null(strstr(answer, "HTTP/1.1 405"));
	assert_non_null(strstr(answer, "{\"ready\":true}"));
	client_close(&c);
	bench_stop(&b);
}

static void test_who_does_not_speak_tls(void **state)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
	struct bench b;
	struct client c;
	char answer[1024];
	int plain, silent, half;
	bool served = false;

	(void)state;
	bench_start(&b, 200);
	plain = client_socket(&b);
	silent = client_socket(&b);
	half = client_socket(&b);
	assert_true(send(plain, request, sizeof request - 1, MSG_NOSIGNAL) > 0);
	assert_true(send(half, "\x16\x03\x01\x00\xff\x01", 6, MSG_NOSIGNAL) > 0);
	c.fd = plain;
	while (on_recv(&c, answer, sizeof answer) > 0)
		assert_null(strstr(answer, "HTTP/"));
	c.fd = silent;
	assert_true(on_recv(&c, answer, sizeof answer) <= 0);
	c.fd = half;
	while (on_recv(&c, answer, sizeof answer) > 0)
		;
	close(plain);
	close(silent);
	close(half);
	for (unsigned i = 0; i < 100 && !served; i++) { /* others are, unless they were too slow as well */
		if (client_open(&c, &b, pki.ca) == 0) {
			client_send(&c, LAST, 1000);
			client_read_all(&c, answer, sizeof answer);
			served = strstr(answer, "200 OK") != NULL;
		}
		client_close(&c);
	}
	assert_true(served);
	bench_stop(&b);
}

struct reload {
	struct bench *bench;
	pthread_mutex_t lock;
	pthread_cond_t moved;
	bool done;
};

static void on_reload(void *arg)
{
	struct reload *r = arg;

	pthread_mutex_lock(&r->lock);
	server_reload(r->bench->server, &r->bench->conf);
	r->done = true;
	pthread_cond_signal(&r->moved);
	pthread_mutex_unlock(&r->lock);
}

static void reload(struct bench *b)
{
	struct reload r = { .bench = b };
	struct loop_task task = { .fn = on_reload, .arg = &r };

	pthread_mutex_init(&r.lock, NULL);
	pthread_cond_init(&r.moved, NULL);
	pthread_mutex_lock(&r.lock);
	loop_post(b->loop, &task);
	while (!r.done)
		pthread_cond_wait(&r.moved, &r.lock);
	pthread_mutex_unlock(&r.lock);
}

static void test_new_certificate_for_new_connections(void **state)
{
	struct client old, fresh;
	char answer[65536];
	struct bench b;

	(void)state;
	bench_start(&b, PATIENCE_MS);
	assert_int_equal(client_open(&old, &b, pki.ca), 0);
	b.conf.tls = server_tls(pki.server_rogue);
	reload(&b);
	assert_int_equal(client_open(&fresh, &b, pki.ca), TLS_BAD_PEER);
	client_close(&fresh);
	assert_int_equal(client_open(&fresh, &b, pki.rogue_ca), 0);
	client_close(&fresh);
	client_send(&old, LAST, 1000);
	client_read_all(&old, answer, sizeof answer);
	assert_non_null(strstr(answer, "200 OK"));
	client_close(&old);
	bench_stop(&b);
	tls_ctx_unref(b.conf.tls);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests_in_pieces),
		cmocka_unit_test(test_refusal_and_large_body),
		cmocka_unit_test(test_who_does_not_speak_tls),
		cmocka_unit_test(test_new_certificate_for_new_connections),
	};
	int rc;

	log_init("test", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, STDERR_FILENO);
	signal(SIGPIPE, SIG_IGN);
	pki_init(&pki);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	pki_fini(&pki);
	return rc;
}
