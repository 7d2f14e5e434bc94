/* health: backends are tried by one worker, what is found stands in their upstreams, and a change of the pool forgets nothing. */
#define _GNU_SOURCE
#include "relayd/health/health.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/uv/fd_budget.h"
#include "proto/pool_conf.h"
#include "relayd/conf/object.h"
#include "relayd/lb/upstream.h"
#include "relayd/loop/workers.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* after those: */
#include <cmocka.h>

#define WAIT_MS 20000
#define N_MAX   8

/* ---- a backend that answers with a status of the moment; 0: it hangs up; 1: it says nothing ---- */

struct target {
	int fd;
	uint16_t port;
	pthread_t thread;
	unsigned status, asked; /* atomic */
	char request[512];
};

static void *work_target(void *arg)
{
	struct target *t = arg;
	int fd, silent = -1;

	while ((fd = accept(t->fd, NULL, NULL)) >= 0) {
		const unsigned status = __atomic_load_n(&t->status, __ATOMIC_SEQ_CST);
		ssize_t n;

		__atomic_add_fetch(&t->asked, 1, __ATOMIC_SEQ_CST);
		if (status == 1) {
			if (silent >= 0)
				close(silent);
			silent = fd;
			continue;
		}
		n = recv(fd, t->request, sizeof t->request - 1, 0);
		t->request[n > 0 ? n : 0] = '\0';
		if (status != 0 && n > 0)
			dprintf(fd, "HTTP/1.1 %u x\r\nContent-Length: 4\r\n\r\npong", status);
		close(fd);
	}
	if (silent >= 0)
		close(silent);
	return NULL;
}

static int listen_on(uint16_t *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

static void target_open(struct target *t, unsigned status)
{
	*t = (struct target){ .status = status };
	t->fd = listen_on(&t->port);
	assert_int_equal(pthread_create(&t->thread, NULL, work_target, t), 0);
}

static void target_set(struct target *t, unsigned status)
{
	__atomic_store_n(&t->status, status, __ATOMIC_SEQ_CST);
}

static void target_close(struct target *t)
{
	shutdown(t->fd, SHUT_RDWR);
	pthread_join(t->thread, NULL);
	close(t->fd);
}

/* ---- a relay's part ---- */

struct ward {
	uv_loop_t loop;
	uv_timer_t tick;
	struct fd_budget fds;
	struct workers *workers;
	struct health *health;
	struct upstream *ups[N_MAX];
	unsigned changed, hurried;
	uint64_t seq;
};

static void on_changed(void *arg, void *pool)
{
	struct ward *w = arg;

	assert_ptr_equal(pool, w);
	w->changed++;
}

static void on_hurry(void *arg)
{
	((struct ward *)arg)->hurried++;
}

static void on_tick(uv_timer_t *t)
{
	(void)t;
}

static int set_up(void **state)
{
	static const struct health_ops ops = { on_changed, on_hurry };
	struct ward *w = calloc(1, sizeof *w);

	log_init("test", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, 2);
	uv_loop_init(&w->loop);
	uv_timer_init(&w->loop, &w->tick);
	uv_timer_start(&w->tick, on_tick, 20, 20);
	fd_budget_init(&w->fds, 1000);
	assert_int_equal(workers_new(&w->workers, 2, &w->fds, NULL), 0);
	assert_int_equal(health_new(&w->health, &(struct health_env){ workers_at(w->workers, 0), &w->loop, NULL }, &ops,
				 w, NULL),
		0);
	assert_int_equal(workers_start(w->workers, NULL), 0);
	for (unsigned i = 0; i < N_MAX; i++) {
		w->ups[i] = aligned_alloc(64, sizeof *w->ups[i]);
		upstream_init(w->ups[i], &(struct upstream_conf){ .weight = 1, .slow_start_ns = 1000 });
	}
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct ward *w = *state;

	workers_stop(w->workers);
	health_close(w->health);
	uv_close((uv_handle_t *)&w->tick, NULL);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	workers_free(w->workers);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	assert_int_equal(fd_budget_used(&w->fds), 0);
	for (unsigned i = 0; i < N_MAX; i++)
		free(w->ups[i]);
	free(w);
	return 0;
}

/* A pool "p" with backends b0, b1, ... at these ports. */
static void pool_set(struct ward *w, const struct pool_health *health, const uint16_t *ports, unsigned n, bool dial_any)
{
	static const char *const ids[N_MAX] = { "b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7" };
	struct pool_backend backends[N_MAX] = { { .id = NULL } };
	struct pool_conf conf = { .name = "p",
		.tenant = "t",
		.algorithm = POOL_ROUND_ROBIN,
		.health = *health,
		.headroom_percent = 100,
		.dial_any = dial_any,
		.backends = backends,
		.n_backends = n };
	struct update_entry entry = { .kind = OBJECT_POOL, .id = "p", .seq = ++w->seq };
	struct object *o;
	struct buf b;

	for (unsigned i = 0; i < n; i++)
		backends[i] = (struct pool_backend){ .id = ids[i], .host = "127.0.0.1", .port = ports[i], .weight = 1 };
	buf_init(&b, 1024 * 1024);
	pool_conf_encode(&conf, &b);
	assert_false(b.failed);
	entry.body = b.data;
	entry.body_n = b.len;
	assert_int_equal(object_new(&o, &entry, NULL), 0);
	assert_int_equal(o->kind, OBJECT_POOL);
	assert_int_equal(health_pool_set(w->health, o, w->ups, w, NULL), 0);
	object_unref(o);
	buf_free(&b);
}

static struct pool_health check(uint8_t type)
{
	return (struct pool_health){ .type = type,
		.interval_ms = 1000,
		.timeout_ms = 10000,
		.rise = 1,
		.fall = 2,
		.method = "GET",
		.path = "/up",
		.host = "",
		.body = "" };
}

/* What a report would say of a backend; NULL: nothing. */
static const struct backend_state *told(struct ward *w, const char *backend)
{
	static struct backend_states s;

	health_states(w->health, &s);
	assert_true(s.told);
	for (uint32_t i = 0; i < s.n; i++)
		if (str_eq(s.items[i].backend, backend))
			return &s.items[i];
	return NULL;
}

static void wait_for(struct ward *w, const char *backend, enum backend_state_kind state)
{
	const uint64_t until = clock_mono_ms() + WAIT_MS;
	const struct backend_state *s;

	while ((s = told(w, backend)) == NULL || s->state != state) {
		if (clock_mono_ms() > until)
			fail_msg("%s is %d: %s", backend, s != NULL ? s->state : 0, s != NULL ? s->reason : "");
		uv_run(&w->loop, UV_RUN_ONCE);
	}
	for (unsigned i = 0; i < 3; i++) /* what it brought about, too */
		uv_run(&w->loop, UV_RUN_ONCE);
}

/* ---- tests ---- */

static void test_tcp(void **state)
{
	const struct pool_health health = check(POOL_CHECK_TCP);
	struct ward *w = *state;
	struct target t;
	uint16_t ports[2];

	close(listen_on(&ports[1])); /* nobody listens there */
	target_open(&t, 1);
	ports[0] = t.port;
	pool_set(w, &health, ports, 2, true);
	assert_int_equal(told(w, "b0")->state, BACKEND_UNKNOWN);
	assert_true(upstream_is_up(w->ups[0])); /* until the first try says otherwise */
	wait_for(w, "b0", BACKEND_HEALTHY);
	wait_for(w, "b1", BACKEND_UNHEALTHY);
	assert_true(upstream_is_up(w->ups[0]));
	assert_false(upstream_is_up(w->ups[1]));
	assert_non_null(strstr(told(w, "b1")->reason, "refused"));
	assert_int_equal(told(w, "b1")->flaps, 0);
	assert_true(w->changed > 0 && w->hurried > 0);
	target_close(&t);
}

static void test_http(void **state)
{
	const struct pool_status some[] = { { 200, 204 } };
	struct pool_health health = check(POOL_CHECK_HTTP);
	struct ward *w = *state;
	struct target t;

	health.statuses = (struct pool_status *)some;
	health.n_statuses = 1;
	health.host = "check.example";
	health.body = "pong";
	target_open(&t, 204);
	target_set(&t, 200);
	pool_set(w, &health, &t.port, 1, true);
	wait_for(w, "b0", BACKEND_HEALTHY);
	target_set(&t, 503);
	wait_for(w, "b0", BACKEND_UNHEALTHY);
	assert_string_equal(told(w, "b0")->reason, "status 503");
	assert_int_equal(told(w, "b0")->flaps, 1);
	target_set(&t, 200);
	wait_for(w, "b0", BACKEND_HEALTHY);
	assert_int_equal(told(w, "b0")->flaps, 2);
	assert_true(w->ups[0]->up_since_ns != 0); /* it starts slowly */
	health.timeout_ms = 300;
	target_set(&t, 1);
	pool_set(w, &health, &t.port, 1, true);
	wait_for(w, "b0", BACKEND_UNHEALTHY);
	assert_string_equal(told(w, "b0")->reason, "no answer within 300 ms");
	target_close(&t);
	assert_non_null(strstr(t.request, "GET /up HTTP/1.1\r\nHost: check.example\r\n"));
}

/* What a pool was told of its backends holds in its next configuration, unless they are checked another way. */
static void test_another_pool(void **state)
{
	struct pool_health health = check(POOL_CHECK_HTTP);
	struct ward *w = *state;
	struct target t;
	uint16_t ports[2];
	unsigned asked;

	target_open(&t, 500);
	ports[0] = ports[1] = t.port;
	pool_set(w, &health, ports, 1, true);
	wait_for(w, "b0", BACKEND_UNHEALTHY);
	health.interval_ms = 60000;
	upstream_set_down(w->ups[0], UPSTREAM_UNHEALTHY, false, 1); /* as a new one would be */
	pool_set(w, &health, ports, 2, true);
	assert_int_equal(told(w, "b0")->state, BACKEND_UNHEALTHY);
	assert_false(upstream_is_up(w->ups[0]));
	assert_int_equal(told(w, "b1")->state, BACKEND_UNKNOWN);
	wait_for(w, "b1", BACKEND_UNHEALTHY);
	health.path = "/other";
	pool_set(w, &health, ports, 2, true);
	assert_int_equal(told(w, "b0")->state, BACKEND_UNKNOWN);
	assert_true(upstream_is_up(w->ups[0]));
	health_pool_gone(w->health, "p");
	health_pool_gone(w->health, "p");
	assert_null(told(w, "b0"));
	asked = __atomic_load_n(&t.asked, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < 20; i++)
		uv_run(&w->loop, UV_RUN_ONCE);
	assert_in_range(__atomic_load_n(&t.asked, __ATOMIC_SEQ_CST), asked, asked + 2); /* those under way */
	target_close(&t);
}

static void test_not_granted(void **state)
{
	const struct pool_health health = check(POOL_CHECK_TCP);
	struct ward *w = *state;
	struct target t;

	target_open(&t, 1);
	pool_set(w, &health, &t.port, 1, false);
	wait_for(w, "b0", BACKEND_UNHEALTHY);
	assert_non_null(strstr(told(w, "b0")->reason, "may be served from"));
	assert_int_equal(__atomic_load_n(&t.asked, __ATOMIC_SEQ_CST), 0);
	target_close(&t);
}

static void test_ejected_and_panic(void **state)
{
	const struct pool_health health = { .type = POOL_CHECK_NONE };
	const uint16_t ports[] = { 1, 2 };
	struct ward *w = *state;
	struct backend_states s;

	pool_set(w, &health, ports, 2, true);
	assert_int_equal(told(w, "b0")->state, BACKEND_UNKNOWN); /* nobody checks it */
	health_ejected(w->health, "p", "b1", true, "5 failures in a row");
	assert_int_equal(told(w, "b1")->state, BACKEND_EJECTED);
	assert_string_equal(told(w, "b1")->reason, "5 failures in a row");
	pool_set(w, &health, ports, 2, true);
	assert_int_equal(told(w, "b1")->state, BACKEND_EJECTED);
	health_ejected(w->health, "p", "b1", false, "its time is over");
	assert_int_equal(told(w, "b1")->state, BACKEND_UNKNOWN);
	assert_int_equal(told(w, "b1")->flaps, 2);
	health_ejected(w->health, "p", "nobody", true, "");
	health_ejected(w->health, "none", "b1", true, "");
	health_panic(w->health, "p", true);
	health_states(w->health, &s);
	assert_int_equal(s.n_panics, 1);
	assert_string_equal(s.panics[0].pool, "p");
	health_panic(w->health, "p", false);
	health_states(w->health, &s);
	assert_int_equal(s.n_panics, 0);
}

/* The end comes while a try waits for an answer. */
static void test_end_within(void **state)
{
	const struct pool_health health = { .type = POOL_CHECK_HTTP,
		.interval_ms = 1000,
		.timeout_ms = 60000,
		.rise = 1,
		.fall = 1,
		.method = "GET",
		.path = "/",
		.host = "",
		.body = "" };
	struct ward *w = *state;
	const uint64_t until = clock_mono_ms() + WAIT_MS;
	struct target t;

	target_open(&t, 1);
	pool_set(w, &health, &t.port, 1, true);
	while (__atomic_load_n(&t.asked, __ATOMIC_SEQ_CST) == 0 && clock_mono_ms() < until)
		uv_run(&w->loop, UV_RUN_ONCE);
	assert_int_equal(__atomic_load_n(&t.asked, __ATOMIC_SEQ_CST), 1);
	workers_stop(w->workers);
	target_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_tcp, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_http, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_another_pool, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_not_granted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ejected_and_panic, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_end_within, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
