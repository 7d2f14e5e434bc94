/*
 * server_bench - the server over a real socket, on a thread of its own, with a feature that has rows of each kind.
 * bench_start(); ask(), or client_open() and byte_client.h; bench_stop(). A handler of /gate stops until gate_open(), so
 * that nothing depends on time.
 */
#ifndef PORTWAY_TESTS_CONTROLD_SERVER_BENCH_H
#define PORTWAY_TESTS_CONTROLD_SERVER_BENCH_H

#include "controld/rest/server.h"

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/macros.h"
#include "common/base/str.h"
#include "controld/identity/identity.h"
#include "controld/loop/loop.h"
#include "tests/unit/controld/byte_client.h"

#include <arpa/inet.h>
#include <assert.h>
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

static inline int row_get(void *feature, struct request *rq, struct reply *rp, struct err *e)
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

static inline int row_echo(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	(void)feature;
	(void)e;
	reply_json(rp, 201, json_incref((json_t *)(uintptr_t)request_body(rq)));
	return 0;
}

static inline int row_gate(void *feature, struct request *rq, struct reply *rp, struct err *e)
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
static inline int row_loses(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	static char last[64];
	const bool again = strcmp(last, request_id(rq)) == 0;

	(void)feature;
	(void)str_copy(last, sizeof last, request_id(rq));
	reply_text(rp, 200, "text/plain", "kept", 4);
	return again ? 0 : err_set(e, ERR_UNAVAILABLE, NULL, "the session ended");
}

static inline int row_forgets(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	(void)feature;
	(void)rq;
	(void)rp;
	(void)e;
	return 0;
}

static inline int row_fails(void *feature, struct request *rq, struct reply *rp, struct err *e)
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

static inline void wait_state_free(void *state)
{
	struct wait_state *w = state;

	atomic_fetch_add(&w->feature->freed, 1);
	free(w);
}

static inline int wait_done(void *feature, struct request *rq, struct reply *rp, void *state, struct err *e)
{
	struct feature *f = feature;
	struct wait_state *w = state;

	(void)e;
	assert(strcmp(w->id, request_param(rq, "id")) == 0);
	reply_json(rp, 200, json_pack("{s:b}", "done", atomic_load(&f->condition)));
	return 0;
}

static inline int row_waits(void *feature, struct request *rq, struct reply *rp, struct err *e)
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

static inline int resolve(
	void *self, const char *authorization, const char *api_key, struct identity *out, struct err *e)
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

static inline void bench_start(struct bench *b, const struct server_conf *conf)
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

static inline void on_stopped(void *arg)
{
	struct bench *b = arg;

	atomic_store(&b->stopped, true);
	loop_stop(b->loop);
}

static inline void on_stop(void *arg)
{
	struct bench *b = arg;

	server_stop(b->server, on_stopped, b);
}

static inline void bench_ask_to_stop(struct bench *b)
{
	b->stop = (struct loop_task){ .fn = on_stop, .arg = b };
	loop_post(b->loop, &b->stop);
}

static inline void bench_end(struct bench *b)
{
	pthread_join(b->thread, NULL);
	server_free(b->server);
	loop_free(b->loop);
	assert_true(b->stopped);
}

static inline void bench_stop(struct bench *b)
{
	bench_ask_to_stop(b);
	bench_end(b);
}

static inline void gate_wait_inside(struct gate *g, unsigned n)
{
	pthread_mutex_lock(&g->lock);
	while (g->inside < n)
		pthread_cond_wait(&g->moved, &g->lock);
	pthread_mutex_unlock(&g->lock);
}

static inline void gate_open(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	g->open = true;
	pthread_cond_broadcast(&g->moved);
	pthread_mutex_unlock(&g->lock);
}

/* ---- a client that sends bytes --------------------------------------------------------------------------------------- */

static inline int client_open(const struct bench *b)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(server_port(b->server)) };
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	return fd;
}

static inline void exchange(const struct bench *b, const char *bytes, size_t n, size_t step, char *dst, size_t size)
{
	const int fd = client_open(b);

	client_send(fd, bytes, n, step);
	client_read_all(fd, dst, size);
	close(fd);
}

static inline void ask(const struct bench *b, const char *request, char *dst, size_t size)
{
	exchange(b, request, strlen(request), strlen(request), dst, size);
}

#define HOST "Host: a\r\n"
#define END  "Connection: close\r\n\r\n"
#define GOOD "GET /things/1 HTTP/1.1\r\n" HOST "\r\n"
#define LAST "GET /loop/1 HTTP/1.1\r\n" HOST END

#endif
