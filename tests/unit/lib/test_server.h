/*
 * test_server - routes of one room behind the real HTTP server, on a thread of its own.
 *
 *	test_server_open(&s, authenticator);       store, loop, server; parks are server_parks(s.server)
 *	... make the feature, server_add_routes(s.server, ...)
 *	test_server_start(&s);
 *	test_server_stop(&s);                      then free the feature, then
 *	test_server_close(&s);
 */
#ifndef PORTWAY_TESTS_TEST_SERVER_H
#define PORTWAY_TESTS_TEST_SERVER_H

#include "controld/identity/identity.h"
#include "controld/loop/loop.h"
#include "controld/rest/server.h"
#include "tests/unit/lib/test_store.h"

#include <pthread.h>

struct test_server {
	struct test_store store;
	struct loop *loop;
	struct server *server;
	pthread_t thread;
};

static void *work_test_loop(void *arg)
{
	struct err e;

	return loop_run(arg, &e) == 0 ? NULL : arg;
}

static inline UNUSED void test_server_open(struct test_server *s, const struct authenticator *auth)
{
	const struct server_conf conf = { .listen = "127.0.0.1:0",
		.cors_origins = "",
		.trusted_proxies = "",
		.connections_max = 200,
		.head_max = 16384,
		.body_max = 1 << 20,
		.head_ms = 30000,
		.body_ms = 30000,
		.idle_ms = 30000,
		.write_ms = 30000,
		.stop_ms = 2000,
		.db_threads = 4,
		.slow_threads = 1,
		.db_queue_max = 100,
		.slow_queue_max = 10,
		.parked_max = 100 };
	struct err e = { 0 };

	memset(s, 0, sizeof *s);
	test_store_open(&s->store);
	TEST_STORE_MUST(loop_new(&s->loop, &e), e);
	TEST_STORE_MUST(server_new(&s->server, &conf, s->loop, s->store.store, auth, &e), e);
}

static inline UNUSED void test_server_start(struct test_server *s)
{
	struct err e = { 0 };

	TEST_STORE_MUST(server_start(s->server, &e), e);
	if (pthread_create(&s->thread, NULL, work_test_loop, s->loop) != 0)
		abort();
}

static void on_test_server_stopped(void *loop)
{
	loop_stop(loop);
}

static void on_test_stop(void *arg)
{
	struct test_server *s = arg;

	server_stop(s->server, on_test_server_stopped, s->loop);
}

static inline UNUSED void test_server_stop(struct test_server *s)
{
	struct loop_task stop = { .fn = on_test_stop, .arg = s };

	loop_post(s->loop, &stop);
	pthread_join(s->thread, NULL);
	server_free(s->server);
}

static inline UNUSED void test_server_close(struct test_server *s)
{
	loop_free(s->loop);
	test_store_close(&s->store);
}

#endif
