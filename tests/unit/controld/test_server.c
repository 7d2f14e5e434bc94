/* The server over a real socket: hostile bytes, limits, deadlines, vanishing clients, the graceful end. */
#include "controld/rest/server.h"

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/macros.h"
#include "common/base/str.h"
#include "controld/identity/identity.h"
#include "controld/loop/loop.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
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

#define PATIENCE_MS 10000 /* of a test; never waited for in full when all is well */

/* ---- a feature with rows of each kind ------------------------------------------------------------------------------ */

/* Handlers that stop here until the test opens the gate, so that nothing depends on time. */
struct gate {
	pthread_mutex_t lock;
	pthread_cond_t moved;
	unsigned inside;
	bool open;
};

struct feature {
	struct gate gate;
	struct server *server;
	atomic_bool condition; /* what the parked row waits for */
	atomic_uint freed;     /* states of parked answers that were released */
};

static char large[8 << 20]; /* more than a socket takes at once */

static int row_get(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	(void)feature;
	(void)e;
	reply_etag(rp, 1);
	if (strcmp(request_param(rq, "id"), "large") == 0)
		reply_text(rp, 200, "text/plain", memset(large, '~', sizeof large), sizeof large);
	else
		reply_json(rp, 200, json_pack("{s:s}", "id", request_param(rq, "id")));
	return 0;
}

static int row_echo(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	(void)feature;
	(void)e;
	reply_json(rp, 201, json_incref((json_t *)(uintptr_t)request_body(rq)));
	return 0;
}

static int row_gate(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct gate *g = &((struct feature *)feature)->gate;

	(void)rq;
	(void)e;
	pthread_mutex_lock(&g->lock);
	g->inside++;
	pthread_cond_broadcast(&g->moved);
	while (!g->open)
		pthread_cond_wait(&g->moved, &g->lock);
	g->inside--;
	pthread_mutex_unlock(&g->lock);
	reply_empty(rp, 204);
	return 0;
}

/* Its session of the database ends the first time that it is called for a request. */
static int row_loses(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	static char last[64];
	const bool again = strcmp(last, request_id(rq)) == 0;

	(void)feature;
	(void)str_copy(last, sizeof last, request_id(rq));
	reply_text(rp, 200, "text/plain", "kept", 4);
	return again ? 0 : err_set(e, ERR_UNAVAILABLE, NULL, "the session ended");
}

static int row_forgets(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	(void)feature;
	(void)rq;
	(void)rp;
	(void)e;
	return 0;
}

static int row_fails(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	(void)feature;
	reply_header(rp, "X-Kept", "yes");
	if (request_query(rq, "list") == NULL)
		return err_set(e, ERR_CONFLICT, "name", "the name is taken");
	(void)err_list_add(request_errors(rq), ERR_VALIDATION, "a", "range", "1", "a is wrong");
	(void)err_list_add(request_errors(rq), ERR_VALIDATION, "b", "range", "2", "b is wrong");
	return -1;
}

struct wait_state {
	struct feature *feature;
	char id[32];
};

static void wait_state_free(void *state)
{
	struct wait_state *w = state;

	atomic_fetch_add(&w->feature->freed, 1);
	free(w);
}

static int wait_done(void *feature, struct request *rq, struct reply *rp, void *state, struct err *e)
{
	struct feature *f = feature;
	struct wait_state *w = state;

	(void)e;
	assert(strcmp(w->id, request_param(rq, "id")) == 0);
	reply_json(rp, 200, json_pack("{s:b}", "done", atomic_load(&f->condition)));
	return 0;
}

static int row_waits(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct feature *f = feature;
	struct wait_state *w = calloc(1, sizeof *w);
	uint64_t ticket;

	if (w == NULL)
		return err_set(e, ERR_NOMEM, NULL, "out of memory");
	w->feature = f;
	strncpy(w->id, request_param(rq, "id"), sizeof w->id - 1);
	ticket = park_ticket(server_parks(f->server), "condition");
	reply_park(rp, "condition", ticket, strcmp(w->id, "short") == 0 ? 20 : 60000, wait_done, w, wait_state_free);
	return 0;
}

static const struct schema_field thing_fields[] = {
	{ .name = "name", .type = SCHEMA_STRING, .flags = SCHEMA_REQUIRED, .min = 1, .max = 10 },
	{ .name = "port", .type = SCHEMA_INT, .flags = SCHEMA_REQUIRED, .min = 1, .max = 65535 },
};
static const struct schema thing = { .name = "Thing", .fields = thing_fields, .n = ARRAY_LEN(thing_fields) };

#define ROW(m, p, perm, l, s, req, h)                                                                           \
	{                                                                                                       \
		.method = (m), .path = (p), .permission = (perm), .lane = (l), .status = (s), .request = (req), \
		.handler = (h), .summary = "x", .tag = "Things"                                                 \
	}

static const struct route rows[] = {
	ROW("GET", "/things/{id}", PERM_PUBLIC, LANE_DB, 200, NULL, row_get),
	ROW("GET", "/loop/{id}", PERM_PUBLIC, LANE_LOOP, 200, NULL, row_get),
	ROW("GET", "/mine/{id}", PERM_READ, LANE_DB, 200, NULL, row_get),
	ROW("GET", "/system/{id}", PERM_SYSTEM, LANE_LOOP, 200, NULL, row_get),
	ROW("POST", "/things", PERM_PUBLIC, LANE_DB, 201, &thing, row_echo),
	ROW("DELETE", "/things", PERM_PUBLIC, LANE_DB, 201, &thing, row_echo),
	ROW("POST", "/nothing", PERM_PUBLIC, LANE_LOOP, 201, NULL, row_echo),
	ROW("GET", "/gate", PERM_PUBLIC, LANE_SLOW, 204, NULL, row_gate),
	ROW("GET", "/forgets", PERM_PUBLIC, LANE_DB, 200, NULL, row_forgets),
	ROW("GET", "/fails", PERM_PUBLIC, LANE_DB, 200, NULL, row_fails),
	ROW("GET", "/loses", PERM_PUBLIC, LANE_DB, 200, NULL, row_loses),
	ROW("POST", "/loses", PERM_PUBLIC, LANE_DB, 200, NULL, row_loses),
	ROW("GET", "/waits/{id}", PERM_PUBLIC, LANE_DB, 200, NULL, row_waits),
};

static int resolve(void *self, const char *authorization, const char *api_key, struct identity *out, struct err *e)
{
	(void)self;
	if ((authorization == NULL || strcmp(authorization, "Bearer good") != 0) &&
		(api_key == NULL || strcmp(api_key, "good") != 0))
		return err_set(e, ERR_AUTHENTICATION_FAILED, NULL, "credentials are missing or wrong");
	memset(out, 0, sizeof *out);
	strcpy(out->user_id, "usr_1");
	strcpy(out->actor, "usr_1");
	strcpy(out->tenant_id, "ten_1");
	out->role = ROLE_ADMIN;
	return 0;
}

static const struct authenticator authenticator = { .resolve = resolve };

/* ---- the server on a thread of its own ------------------------------------------------------------------------------ */

struct bench {
	struct loop *loop;
	struct server *server;
	struct feature feature;
	pthread_t thread;
	atomic_bool stopped;
	struct loop_task stop;
};

static const struct server_conf conf_default = {
	.listen = "127.0.0.1:0",
	.public_url = "https://panel.example",
	.cors_origins = "https://a.example",
	.trusted_proxies = "",
	.access_log = SERVER_LOG_ALL,
	.connections_max = 100,
	.head_max = 4096,
	.body_max = 1000,
	.head_ms = PATIENCE_MS,
	.body_ms = PATIENCE_MS,
	.idle_ms = PATIENCE_MS,
	.write_ms = PATIENCE_MS,
	.stop_ms = PATIENCE_MS,
	.db_threads = 2,
	.slow_threads = 1,
	.db_queue_max = 100,
	.slow_queue_max = 1,
	.parked_max = 10,
};

static void *work_loop(void *arg)
{
	struct bench *b = arg;
	struct err e;

	return loop_run(b->loop, &e) == 0 ? NULL : b;
}

static void bench_start(struct bench *b, const struct server_conf *conf)
{
	struct err e;

	memset(b, 0, sizeof *b);
	pthread_mutex_init(&b->feature.gate.lock, NULL);
	pthread_cond_init(&b->feature.gate.moved, NULL);
	err_clear(&e);
	if (loop_new(&b->loop, &e) != 0 || server_new(&b->server, conf, b->loop, NULL, &authenticator, &e) != 0 ||
		server_add_routes(b->server, (struct route_table){ rows, ARRAY_LEN(rows), &b->feature }, &e) != 0 ||
		server_start(b->server, &e) != 0)
		fail_msg("%s", e.msg);
	b->feature.server = b->server;
	assert_int_equal(pthread_create(&b->thread, NULL, work_loop, b), 0);
}

static void on_stopped(void *arg)
{
	struct bench *b = arg;

	atomic_store(&b->stopped, true);
	loop_stop(b->loop);
}

static void on_stop(void *arg)
{
	struct bench *b = arg;

	server_stop(b->server, on_stopped, b);
}

static void bench_ask_to_stop(struct bench *b)
{
	b->stop = (struct loop_task){ .fn = on_stop, .arg = b };
	loop_post(b->loop, &b->stop);
}

static void bench_end(struct bench *b)
{
	pthread_join(b->thread, NULL);
	server_free(b->server);
	loop_free(b->loop);
	assert_true(b->stopped);
}

static void bench_stop(struct bench *b)
{
	bench_ask_to_stop(b);
	bench_end(b);
}

static void gate_wait_inside(struct gate *g, unsigned n)
{
	pthread_mutex_lock(&g->lock);
	while (g->inside < n)
		pthread_cond_wait(&g->moved, &g->lock);
	pthread_mutex_unlock(&g->lock);
}

static void gate_open(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	g->open = true;
	pthread_cond_broadcast(&g->moved);
	pthread_mutex_unlock(&g->lock);
}

/* ---- a client that sends bytes --------------------------------------------------------------------------------------- */

static int client_open(const struct bench *b)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(server_port(b->server)) };
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	return fd;
}

/* Sends in steps; a server that closes meanwhile is no error here. */
static void client_send(int fd, const char *bytes, size_t n, size_t step)
{
	for (size_t at = 0; at < n; at += step)
		if (send(fd, bytes + at, MIN(step, n - at), MSG_NOSIGNAL) < 0)
			return;
}

static void client_say(int fd, const char *text)
{
	client_send(fd, text, strlen(text), strlen(text));
}

static bool client_wait(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, PATIENCE_MS) == 1;
}

/* Reads until the server closes. */
static size_t client_read_all(int fd, char *dst, size_t size)
{
	size_t n = 0;

	while (n + 1 < size && client_wait(fd)) {
		const ssize_t got = recv(fd, dst + n, size - 1 - n, 0);

		if (got <= 0)
			break;
		n += (size_t)got;
	}
	dst[n] = '\0';
	return n;
}

/* Reads until this text has come. */
static bool client_read_until(int fd, char *dst, size_t size, const char *text)
{
	size_t n = 0;

	dst[0] = '\0';
	while (n + 1 < size && client_wait(fd)) {
		const ssize_t got = recv(fd, dst + n, size - 1 - n, 0);

		if (got <= 0)
			return false;
		n += (size_t)got;
		dst[n] = '\0';
		if (strstr(dst, text) != NULL)
			return true;
	}
	return false;
}

/* "200 400": the statuses of all answers in order. */
static void statuses_of(const char *answers, char *dst, size_t size)
{
	size_t n = 0;

	dst[0] = '\0';
	while ((answers = strstr(answers, "HTTP/1.")) != NULL && n + 5 < size) {
		if (answers[8] == ' ') /* not the name of a protocol in a message */
			n += (size_t)snprintf(dst + n, size - n, "%s%.3s", n > 0 ? " " : "", answers + 9);
		answers += 8;
	}
}

static void exchange(const struct bench *b, const char *bytes, size_t n, size_t step, char *dst, size_t size)
{
	const int fd = client_open(b);

	client_send(fd, bytes, n, step);
	client_read_all(fd, dst, size);
	close(fd);
}

static void ask(const struct bench *b, const char *request, char *dst, size_t size)
{
	exchange(b, request, strlen(request), strlen(request), dst, size);
}

/* ---- hostile and odd bytes ------------------------------------------------------------------------------------------- */

#define HOST    "Host: a\r\n"
#define END     "Connection: close\r\n\r\n"
#define GOOD    "GET /things/1 HTTP/1.1\r\n" HOST "\r\n"
#define LAST    "GET /loop/1 HTTP/1.1\r\n" HOST END
#define TEXT(s) (s), sizeof(s) - 1

static const struct {
	const char *what;
	const char *bytes;
	size_t n;
	const char *want; /* statuses, in order; then the server closes */
} exchanges[] = {
	{ "get", TEXT(LAST), "200" },
	{ "keep-alive", TEXT(GOOD LAST), "200 200" },
	{ "pipeline through both lanes", TEXT(GOOD "GET /loop/2 HTTP/1.1\r\n" HOST "\r\n" GOOD LAST),
		"200 200 200 200" },
	{ "head", TEXT("HEAD /things/1 HTTP/1.1\r\n" HOST "\r\n" LAST), "200 200" },
	{ "body and pipeline",
		TEXT("POST /things HTTP/1.1\r\n" HOST "Content-Type: application/json\r\nContent-Length: 22\r\n\r\n"
		     "{\"name\":\"a\",\"port\":80}" LAST),
		"201 200" },
	{ "chunked",
		TEXT("POST /things HTTP/1.1\r\n" HOST
		     "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
		     "a\r\n{\"name\":\"a\r\nC\r\n\",\"port\":80}\r\n0\r\n\r\n" LAST),
		"201 200" },
	{ "delete with a body",
		TEXT("DELETE /things HTTP/1.1\r\n" HOST "Content-Type: application/json\r\nContent-Length: 22\r\n\r\n"
		     "{\"name\":\"a\",\"port\":80}" LAST),
		"201 200" },
	{ "get with a body that looks like a request",
		TEXT("GET /things/1 HTTP/1.1\r\n" HOST
		     "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}" LAST),
		"200 200" },
	{ "1.0 closes", TEXT("GET /things/1 HTTP/1.0\r\n\r\n"), "200" },
	{ "options", TEXT("OPTIONS /things HTTP/1.1\r\n" HOST "\r\nOPTIONS * HTTP/1.1\r\n" HOST "\r\n" LAST),
		"204 204 200" },
	{ "nothing there", TEXT("GET /nowhere HTTP/1.1\r\n" HOST "\r\n" LAST), "404 200" },
	{ "dots", TEXT("GET /things/../things/1 HTTP/1.1\r\n" HOST "\r\n" LAST), "404 200" },
	{ "method not allowed", TEXT("PUT /things HTTP/1.1\r\n" HOST "\r\n" LAST), "405 200" },
	{ "broken escape", TEXT("GET /things/%zz HTTP/1.1\r\n" HOST "\r\n" LAST), "400 200" },
	{ "broken query", TEXT("GET /things/1?a=%00 HTTP/1.1\r\n" HOST "\r\n" LAST), "400 200" },
	{ "unknown parameter", TEXT("GET /things/1?a=1 HTTP/1.1\r\n" HOST "\r\n" LAST), "422 200" },
	{ "not authenticated", TEXT("GET /mine/1 HTTP/1.1\r\n" HOST "\r\n" LAST), "401 200" },
	{ "not allowed", TEXT("GET /system/1?api_key=good HTTP/1.1\r\n" HOST "\r\n" LAST), "403 200" },
	{ "api key in the query", TEXT("GET /mine/1?api_key=good HTTP/1.1\r\n" HOST "\r\n" LAST), "200 200" },
	{ "missing field", TEXT("POST /things HTTP/1.1\r\n" HOST "\r\n" LAST), "400 200" },
	{ "missing and invalid",
		TEXT("POST /things HTTP/1.1\r\n" HOST
		     "Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{\"port\":0}" LAST),
		"422 200" },
	{ "no content type", TEXT("POST /things HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}" LAST), "415 200" },
	{ "unwanted body",
		TEXT("POST /nothing HTTP/1.1\r\n" HOST
		     "Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}" LAST),
		"422 200" },
	{ "absent body is empty", TEXT("POST /nothing HTTP/1.1\r\n" HOST "\r\n" LAST), "201 200" },
	{ "handler without an answer", TEXT("GET /forgets HTTP/1.1\r\n" HOST "\r\n" LAST), "500 200" },
	{ "handler that fails", TEXT("GET /fails HTTP/1.1\r\n" HOST "\r\n" LAST), "409 200" },
	{ "reader that lost its session", TEXT("GET /loses HTTP/1.1\r\n" HOST "\r\n" LAST), "200 200" },
	{ "writer that lost his", TEXT("POST /loses HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n" LAST), "503 200" },

	{ "no host", TEXT("GET /loop/1 HTTP/1.1\r\n\r\n" LAST), "400" },
	{ "two hosts", TEXT("GET /loop/1 HTTP/1.1\r\n" HOST HOST "\r\n" LAST), "400" },
	{ "bare LF", TEXT("GET /loop/1 HTTP/1.1\nHost: a\n\n" LAST), "400" },
	{ "two lengths",
		TEXT("POST /things HTTP/1.1\r\n" HOST "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} " LAST),
		"400" },
	{ "plus length", TEXT("POST /things HTTP/1.1\r\n" HOST "Content-Length: +2\r\n\r\n{}" LAST), "400" },
	{ "length and chunks",
		TEXT("POST /things HTTP/1.1\r\n" HOST
		     "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" LAST),
		"400" },
	{ "blank before the colon", TEXT("GET /loop/1 HTTP/1.1\r\nHost : a\r\n\r\n" LAST), "400" },
	{ "folded", TEXT("GET /loop/1 HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n" LAST), "400" },
	{ "trailer", TEXT("POST /nothing HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n" LAST),
		"400" },
	{ "unknown method", TEXT("BREW / HTTP/1.1\r\n" HOST "\r\n" LAST), "405" },
	{ "TLS", TEXT("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), "400" },
	{ "too large", TEXT("POST /things HTTP/1.1\r\n" HOST "Content-Length: 1001\r\n\r\n{"), "413" },
	{ "too large in chunks", TEXT("POST /things HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3e9\r\n{"),
		"413" },
	{ "good, then bad", TEXT(GOOD "GET /loop/1 HTTP/1.1\r\nX\r\n\r\n" LAST), "200 400" },
	{ "good, then rubbish", TEXT(GOOD "\x00\x01\x02"), "200 400" },
};

static void test_exchanges(void **state)
{
	size_t failed = 0;
	struct bench b;

	(void)state;
	bench_start(&b, &conf_default);
	for (size_t i = 0; i < ARRAY_LEN(exchanges); i++)
		for (unsigned round = 0; round < 3; round++) {
			static const size_t steps[] = { 100000, 1, 7 };
			char answers[65536], got[64];

			exchange(&b, exchanges[i].bytes, exchanges[i].n, steps[round], answers, sizeof answers);
			statuses_of(answers, got, sizeof got);
			if (strcmp(got, exchanges[i].want) == 0)
				continue;
			print_error("%s (%zu bytes at once): got '%s', want '%s'\n%s\n", exchanges[i].what,
				steps[round], got, exchanges[i].want, answers);
			failed++;
		}
	bench_stop(&b);
	assert_int_equal(failed, 0);
}

/* ---- what an answer holds -------------------------------------------------------------------------------------------- */

static void test_headers_of_an_answer(void **state)
{
	static const char *const wanted[] = {
		"\r\nX-Content-Type-Options: nosniff\r\n",
		"\r\nX-Frame-Options: DENY\r\n",
		"\r\nX-XSS-Protection: 1; mode=block\r\n",
		"\r\nContent-Security-Policy: default-src 'self'\r\n",
		"\r\nContent-Type: application/json; charset=utf-8\r\n",
		"\r\nContent-Length: 10\r\n",
		"\r\nETag: \"v1\"\r\n",
		"\r\nX-Request-ID: my-id.1\r\n",
		"\r\nDate: ",
		"\r\nAccess-Control-Allow-Origin: https://a.example\r\n",
		"\r\n\r\n{\"id\":\"1\"}",
	};
	char answer[8192];
	struct bench b;

	(void)state;
	bench_start(&b, &conf_default);
	ask(&b, "GET /things/1 HTTP/1.1\r\n" HOST "Origin: https://a.example\r\nX-Request-ID: my-id.1\r\n" END, answer,
		sizeof answer);
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
		if (strstr(answer, wanted[i]) == NULL)
			fail_msg("'%s' is not in\n%s", wanted[i], answer);
	assert_null(strstr(answer, "Strict-Transport-Security"));
	assert_null(strstr(answer, "\r\nX-RateLimit-"));
	ask(&b, "GET /things/1 HTTP/1.1\r\n" HOST "X-Request-ID: a b\r\n" END, answer, sizeof answer);
	assert_non_null(strstr(answer, "\r\nX-Request-ID: req_"));
	ask(&b, "GET /fails HTTP/1.1\r\n" HOST END, answer, sizeof answer);
	assert_non_null(strstr(answer, "\r\nX-Kept: yes\r\n"));
	assert_non_null(strstr(answer, "\"code\":\"CONFLICT\""));
	assert_non_null(strstr(answer, "\"documentation_url\":\"https://panel.example/docs/errors/CONFLICT\""));
	bench_stop(&b);
}

static void test_head_says_the_length_and_sends_nothing(void **state)
{
	char answer[8192];
	const char *end;
	struct bench b;

	(void)state;
	bench_start(&b, &conf_default);
	ask(&b, "HEAD /things/1 HTTP/1.1\r\n" HOST END, answer, sizeof answer);
	end = strstr(answer, "\r\n\r\n");
	assert_non_null(end);
	assert_string_equal(end, "\r\n\r\n");
	assert_non_null(strstr(answer, "\r\nContent-Length: 10\r\n"));
	bench_stop(&b);
}

static void test_large_answers(void **state)
{
	static char answers[2 * sizeof large + 4096];
	struct bench b;

	(void)state;
	bench_start(&b, &conf_default);
	ask(&b, "GET /things/large HTTP/1.1\r\n" HOST "\r\nGET /things/large HTTP/1.1\r\n" HOST END, answers,
		sizeof answers);
	assert_true(strlen(answers) > 2 * sizeof large);
	bench_stop(&b);
}

static void test_expect_continue(void **state)
{
	char answer[8192];
	struct bench b;
	int fd;

	(void)state;
	bench_start(&b, &conf_default);
	fd = client_open(&b);
	for (unsigned round = 0; round < 3; round++) { /* again on the same connection */
		client_say(fd, "POST /things HTTP/1.1\r\n" HOST
			       "Content-Type: application/json\r\nContent-Length: 22\r\nExpect: 100-continue\r\n\r\n");
		assert_true(client_read_until(fd, answer, sizeof answer, "100 Continue\r\n\r\n"));
		client_send(fd, "{\"name\":\"a\",\"port\":80}", 22, 7 + round);
		assert_true(client_read_until(fd, answer, sizeof answer, "\"port\":80}"));
		assert_non_null(strstr(answer, "HTTP/1.1 201"));
	}
	client_say(fd, "POST /things HTTP/1.1\r\n" HOST "Content-Length: 1001\r\nExpect: 100-continue\r\n\r\n");
	assert_true(client_read_until(fd, answer, sizeof answer, "PAYLOAD_TOO_LARGE"));
	assert_null(strstr(answer, "100 Continue"));
	close(fd);
	bench_stop(&b);
}

static void test_system_rows(void **state)
{
	static const struct {
		const char *path, *want;
	} cases[] = {
		{ "/", "\"api\":\"/api/v1\"" },
		{ "/health", "{\"status\":\"healthy\",\"timestamp\":" },
		{ "/ready", "{\"ready\":true}" },
		{ "/metrics", "http_requests_total{method=\"GET\",status=\"200\",path=\"/health\"} 1" },
		{ "/openapi.json", "\"/things/{id}\":{\"get\":" },
		{ "/docs/errors/VALIDATION_ERROR", "<h1>VALIDATION_ERROR</h1>" },
		{ "/docs/errors/NOPE", "\"code\":\"NOT_FOUND\"" },
	};
	static char answer[1 << 20];
	struct bench b;

	(void)state;
	bench_start(&b, &conf_default);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char request[128];

		(void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\n" HOST END, cases[i].path);
		ask(&b, request, answer, sizeof answer);
		if (strstr(answer, cases[i].want) == NULL)
			fail_msg("%s: '%s' is not in\n%s", cases[i].path, cases[i].want, answer);
	}
	bench_stop(&b);
}

/* ---- lanes and parking ------------------------------------------------------------------------------------------------ */

static void test_full_lane_refuses(void **state)
{
	int first, second;
	char answer[8192];
	struct bench b;

	(void)state;
	bench_start(&b, &conf_default);
	first = client_open(&b);
	client_say(first, "GET /gate HTTP/1.1\r\n" HOST END);
	gate_wait_inside(&b.feature.gate, 1);
	second = client_open(&b);
	client_say(second, "GET /gate HTTP/1.1\r\n" HOST END);
	do /* the second waits in the queue as soon as the loop has read it */
		ask(&b, "GET /gate HTTP/1.1\r\n" HOST END, answer, sizeof answer);
	while (strncmp(answer, "HTTP/1.1 503", 12) != 0);
	assert_non_null(strstr(answer, "\"code\":\"OVERLOADED\""));
	assert_non_null(strstr(answer, "\r\nRetry-After: 1\r\n"));
	ask(&b, LAST, answer, sizeof answer); /* others are not held up */
	assert_non_null(strstr(answer, "HTTP/1.1 200"));
	gate_open(&b.feature.gate);
	client_read_all(first, answer, sizeof answer);
	assert_non_null(strstr(answer, "HTTP/1.1 204"));
	client_read_all(second, answer, sizeof answer);
	assert_non_null(strstr(answer, "HTTP/1.1 204"));
	close(first);
	close(second);
	bench_stop(&b);
}

static void test_vanished_client_costs_nothing(void **state)
{
	char answer[8192];
	struct bench b;

	(void)state;
	bench_start(&b, &conf_default);
	for (unsigned round = 0; round < 20; round++) {
		const struct linger hard = { .l_onoff = 1 };
		const int fd = client_open(&b);

		client_say(fd, round % 2 == 0 ? "GET /gate HTTP/1.1\r\n" HOST "\r\n"
					      : "GET /waits/x HTTP/1.1\r\n" HOST "\r\n");
		if (round == 0)
			gate_wait_inside(&b.feature.gate, 1);
		if (round % 3 == 0)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
		close(fd);
	}
	ask(&b, LAST, answer, sizeof answer);
	assert_non_null(strstr(answer, "HTTP/1.1 200"));
	gate_open(&b.feature.gate);
	bench_stop(&b);
}

static void test_parked_answer(void **state)
{
	char answer[8192];
	struct bench b;
	int fd;

	(void)state;
	bench_start(&b, &conf_default);
	ask(&b, "GET /waits/short HTTP/1.1\r\n" HOST END, answer, sizeof answer);
	assert_non_null(strstr(answer, "{\"done\":false}")); /* its time was over */
	assert_int_equal(b.feature.freed, 1);
	fd = client_open(&b);
	client_say(fd, "GET /waits/long HTTP/1.1\r\n" HOST END);
	ask(&b, LAST, answer, sizeof answer); /* no worker is held */
	atomic_store(&b.feature.condition, true);
	while (atomic_load(&b.feature.freed) < 2) { /* woken before or after it parked: never lost, so this ends */
		park_wake(server_parks(b.server), "condition");
		sched_yield();
	}
	client_read_all(fd, answer, sizeof answer);
	assert_non_null(strstr(answer, "{\"done\":true}"));
	close(fd);
	bench_stop(&b);
}

/* ---- limits and deadlines ---------------------------------------------------------------------------------------------- */

static void expect_closed_silently(int fd)
{
	char answer[256];

	assert_int_equal(client_read_all(fd, answer, sizeof answer), 0);
	close(fd);
}

static void test_deadlines(void **state)
{
	struct server_conf conf = conf_default;
	char answer[8192];
	struct bench b;
	int idle, slow, body;

	(void)state;
	conf.head_ms = conf.body_ms = conf.idle_ms = 50;
	bench_start(&b, &conf);
	idle = client_open(&b);
	slow = client_open(&b);
	client_say(slow, "GET /loop/1 HTTP/1.1\r\nHost:");
	body = client_open(&b);
	client_say(body, "POST /things HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n{");
	expect_closed_silently(idle);
	expect_closed_silently(slow);
	expect_closed_silently(body);
	idle = client_open(&b);
	client_say(idle, "GET /loop/1 HTTP/1.1\r\n" HOST "\r\n");
	client_read_all(idle, answer, sizeof answer); /* ends: idle after an answer */
	assert_non_null(strstr(answer, "HTTP/1.1 200"));
	close(idle);
	bench_stop(&b);
}

/* A header line now and then does not buy time. */
static void test_slow_headers_do_not_renew_the_deadline(void **state)
{
	struct server_conf conf = conf_default;
	struct bench b;
	int fd;

	(void)state;
	conf.head_ms = 300;
	bench_start(&b, &conf);
	fd = client_open(&b);
	client_say(fd, "GET /loop/1 HTTP/1.1\r\n");
	for (unsigned i = 0; i < 1000; i++) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		if (poll(&p, 1, 20) == 1)
			break;
		client_say(fd, "X: y\r\n");
		assert_true(i < 900);
	}
	close(fd);
	bench_stop(&b);
}

static void test_connection_limits(void **state)
{
	struct server_conf conf = conf_default;
	char answer[8192];
	struct bench b;
	int fds[3];

	(void)state;
	conf.connections_per_address_max = 3;
	bench_start(&b, &conf);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = client_open(&b);
		client_say(fds[i], "GET /loop/1 HTTP/1.1\r\n" HOST "\r\n");
		assert_true(client_read_until(fds[i], answer, sizeof answer, "{\"id\":\"1\"}"));
	}
	expect_closed_silently(client_open(&b));
	close(fds[0]);
	do /* as soon as the loop has seen the close */
		ask(&b, "GET /metrics HTTP/1.1\r\n" HOST END, answer, sizeof answer);
	while (strncmp(answer, "HTTP/1.1 200", 12) != 0);
	close(fds[1]);
	close(fds[2]);
	bench_stop(&b);

	conf.connections_per_address_max = 0;
	conf.connections_max = 1;
	conf.requests_per_connection = 2;
	bench_start(&b, &conf);
	fds[0] = client_open(&b);
	client_say(fds[0], "GET /loop/1 HTTP/1.1\r\n" HOST "\r\n");
	assert_true(client_read_until(fds[0], answer, sizeof answer, "{\"id\":\"1\"}"));
	expect_closed_silently(client_open(&b));
	client_say(fds[0], "GET /loop/1 HTTP/1.1\r\n" HOST "\r\n");
	client_read_all(fds[0], answer, sizeof answer); /* the second is the last */
	assert_non_null(strstr(answer, "\r\nConnection: close\r\n"));
	close(fds[0]);
	bench_stop(&b);
}

static void test_rate_of_an_address(void **state)
{
	struct server_conf conf = conf_default;
	char answer[8192];
	struct bench b;

	(void)state;
	conf.per_address = (struct server_rate){ .rate = 1, .burst = 2 };
	bench_start(&b, &conf);
	ask(&b, "GET /loop/1 HTTP/1.1\r\n" HOST "\r\n" GOOD LAST, answer, sizeof answer);
	assert_non_null(strstr(answer, "HTTP/1.1 429 Too Many Requests"));
	assert_non_null(strstr(answer, "\r\nRetry-After: 1\r\n"));
	assert_non_null(strstr(answer, "\"code\":\"RATE_LIMIT_EXCEEDED\""));
	bench_stop(&b);
}

/* What no row takes is counted like the rest: of these three the last is refused, each for itself. */
static void test_rate_of_what_is_nowhere(void **state)
{
	static const char *const lines[] = { "GET /nowhere", "OPTIONS /loop/1", "OPTIONS *", "PATCH /loop/1",
		"GET /%ff", "GET /loop/1?%ff" };
	struct server_conf conf = conf_default;
	char text[1024], answer[8192];
	struct bench b;

	(void)state;
	conf.per_address = (struct server_rate){ .rate = 1, .burst = 2 };
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		(void)snprintf(text, sizeof text,
			"%s HTTP/1.1\r\n" HOST "\r\n%s HTTP/1.1\r\n" HOST "\r\n%s HTTP/1.1\r\n" HOST
			"Connection: close\r\n\r\n",
			lines[i], lines[i], lines[i]);
		bench_start(&b, &conf);
		ask(&b, text, answer, sizeof answer);
		bench_stop(&b);
		if (strstr(answer, "HTTP/1.1 429 Too Many Requests") == NULL)
			fail_msg("%s: %s", lines[i], answer);
	}
}

static uint64_t plan_of_two(void *self, const char *tenant_id)
{
	(void)self;
	return strcmp(tenant_id, "ten_1") == 0 ? 2 : 0;
}

static void test_plan_of_a_tenant(void **state)
{
	static const struct rate_plans plans = { .per_hour = plan_of_two };
	static const char request[] = "GET /mine/1 HTTP/1.1\r\n" HOST "Authorization: Bearer good\r\n" END;
	char answer[8192];
	struct bench b;

	(void)state;
	bench_start(&b, &conf_default);
	server_set_plans(b.server, &plans);
	ask(&b, request, answer, sizeof answer);
	assert_non_null(strstr(answer, "\r\nX-RateLimit-Limit: 2\r\n"));
	assert_non_null(strstr(answer, "\r\nX-RateLimit-Remaining: 1\r\n"));
	assert_non_null(strstr(answer, "\r\nX-RateLimit-Window: 3600\r\n"));
	assert_non_null(strstr(answer, "\r\nX-RateLimit-Reset: "));
	ask(&b, request, answer, sizeof answer);
	assert_non_null(strstr(answer, "HTTP/1.1 200"));
	ask(&b, request, answer, sizeof answer);
	assert_non_null(strstr(answer, "HTTP/1.1 429"));
	bench_stop(&b);
}

/* ---- the end ------------------------------------------------------------------------------------------------------------ */

static void test_stop_lets_running_requests_finish(void **state)
{
	char answer[8192];
	struct bench b;
	int running, idle, parked;

	(void)state;
	bench_start(&b, &conf_default);
	running = client_open(&b);
	client_say(running, "GET /gate HTTP/1.1\r\n" HOST "\r\n");
	gate_wait_inside(&b.feature.gate, 1);
	idle = client_open(&b);
	client_say(idle, "GET /loop/1 HTTP/1.1\r\n" HOST "\r\n");
	assert_true(client_read_until(idle, answer, sizeof answer, "{\"id\":\"1\"}"));
	parked = client_open(&b);
	client_say(parked, "GET /waits/long HTTP/1.1\r\n" HOST "\r\n");
	bench_ask_to_stop(&b);
	expect_closed_silently(idle);
	client_read_all(parked, answer, sizeof answer); /* what is parked is answered now */
	assert_true(answer[0] == '\0' || strstr(answer, "{\"done\":false}") != NULL);
	gate_open(&b.feature.gate);
	client_read_all(running, answer, sizeof answer);
	assert_non_null(strstr(answer, "HTTP/1.1 204"));
	assert_non_null(strstr(answer, "\r\nConnection: close\r\n"));
	close(running);
	close(parked);
	bench_end(&b);
}

static void test_stop_does_not_wait_for_ever(void **state)
{
	struct server_conf conf = conf_default;
	struct bench b;
	int fd;

	(void)state;
	conf.stop_ms = 50;
	bench_start(&b, &conf);
	fd = client_open(&b);
	client_say(fd, "GET /gate HTTP/1.1\r\n" HOST "\r\n");
	gate_wait_inside(&b.feature.gate, 1);
	bench_ask_to_stop(&b);
	expect_closed_silently(fd);
	pthread_join(b.thread, NULL);
	gate_open(&b.feature.gate);
	server_free(b.server);
	loop_free(b.loop);
}

static void test_a_taken_port_is_an_error(void **state)
{
	struct server_conf conf = conf_default;
	struct server *second;
	char listen_at[32];
	struct bench b;
	struct loop *loop;
	struct err e;

	(void)state;
	bench_start(&b, &conf_default);
	(void)snprintf(listen_at, sizeof listen_at, "127.0.0.1:%u", server_port(b.server));
	conf.listen = listen_at;
	assert_int_equal(loop_new(&loop, &e), 0);
	assert_int_equal(server_new(&second, &conf, loop, NULL, &authenticator, &e), 0);
	assert_int_equal(server_start(second, &e), -1);
	assert_int_equal(e.code, ERR_ADDR_IN_USE);
	assert_non_null(strstr(e.msg, listen_at));
	server_free(second);
	loop_free(loop);
	bench_stop(&b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exchanges),
		cmocka_unit_test(test_headers_of_an_answer),
		cmocka_unit_test(test_head_says_the_length_and_sends_nothing),
		cmocka_unit_test(test_large_answers),
		cmocka_unit_test(test_expect_continue),
		cmocka_unit_test(test_system_rows),
		cmocka_unit_test(test_full_lane_refuses),
		cmocka_unit_test(test_vanished_client_costs_nothing),
		cmocka_unit_test(test_parked_answer),
		cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_slow_headers_do_not_renew_the_deadline),
		cmocka_unit_test(test_connection_limits),
		cmocka_unit_test(test_rate_of_an_address),
		cmocka_unit_test(test_rate_of_what_is_nowhere),
		cmocka_unit_test(test_plan_of_a_tenant),
		cmocka_unit_test(test_stop_lets_running_requests_finish),
		cmocka_unit_test(test_stop_does_not_wait_for_ever),
		cmocka_unit_test(test_a_taken_port_is_an_error),
	};

	log_init("test", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, STDERR_FILENO);
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
