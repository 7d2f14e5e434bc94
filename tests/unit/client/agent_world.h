/*
 * agent_world - an agent and a relay of the test's own on one worker, and targets on threads.
 *
 * The relay speaks with the same tunnel_link; what it answers to a greeting is the test's choice. Every wait has a limit.
 */
#ifndef PORTWAY_TESTS_AGENT_WORLD_H
#define PORTWAY_TESTS_AGENT_WORLD_H

#include "client/agent/agent.h"
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/crypto/cert.h"
#include "common/crypto/key.h"
#include "common/crypto/tls.h"
#include "common/net/addr.h"
#include "common/tunnel/frame_check.h"
#include "common/tunnel/frame_hello.h"
#include "common/tunnel/tunnel_link.h"
#include "common/uv/fd_budget.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_NS UINT64_C(30000000000)
#define LINKS_MAX   8

struct world;

struct relay_link {
	struct tunnel_link link;
	struct world *world;
	bool in_use, greeted, goaway;
	struct frame_hello hello;
	unsigned n_health; /* words of a target; the last: */
	struct frame_health health;
};

/* A relay listening on a port of its own. */
struct test_relay {
	struct world *world;
	struct io listener;
	uint16_t port;
	struct relay_link links[LINKS_MAX];
	unsigned n_now, n_ever;  /* greeted */
	uint16_t wants;          /* links */
	struct frame_end refuse; /* code 0: it says welcome */
};

struct world {
	struct fd_budget fds;
	struct worker worker;
	struct tunnel_desk desk;
	struct timer watchdog;
	bool timed_out;
	bool (*done)(struct world *w);
	struct task poll;
	struct timer poll_timer;
	/* who is who */
	struct key *ca_key, *relay_key, *client_key;
	char *relay_key_pem, *ca, *relay_pem;
	char fingerprint[CERT_FINGERPRINT_SIZE];
	char token[256];
	struct tls_ctx *tls;
	char dir[64];
	/* the two */
	struct test_relay relay[2];
	struct agent *agent;
	bool ready, over;
	enum command_exit code;
	char why[FRAME_REASON_SIZE];
};

/* ---- running ------------------------------------------------------------------------------------------------------ */

static inline void world_on_wake(struct worker *w, void *arg)
{
	(void)w;
	(void)arg;
}

static inline void world_on_watchdog(struct timer *t)
{
	struct world *w = CONTAINER_OF(t, struct world, watchdog);

	w->timed_out = true;
	worker_stop(&w->worker);
}

/* Looks twice a tick; what a test waits for need not tell. */
static inline void world_on_poll(struct timer *t)
{
	struct world *w = CONTAINER_OF(t, struct world, poll_timer);

	if (w->done(w))
		worker_stop(&w->worker);
	else
		wheel_arm(&w->worker.wheel, t, w->worker.now_ns + WHEEL_TICK_NS);
}

#define world_run_until(w, fn)                                                             \
	do {                                                                               \
		if (!world_runs_until(w, fn))                                              \
			fail_msg("%s:%d: %s did not come about", __FILE__, __LINE__, #fn); \
	} while (0)

static inline bool world_runs_until(struct world *w, bool (*done)(struct world *w))
{
	w->done = done;
	w->worker.stopping = done(w);
	w->worker.now_ns = clock_mono_ns();
	wheel_arm(&w->worker.wheel, &w->watchdog, w->worker.now_ns + PATIENCE_NS);
	wheel_arm(&w->worker.wheel, &w->poll_timer, w->worker.now_ns);
	worker_run(&w->worker);
	wheel_disarm(&w->watchdog);
	wheel_disarm(&w->poll_timer);
	return !w->timed_out;
}

/* ---- the relay ---------------------------------------------------------------------------------------------------- */

static inline struct test_relay *test_relay_of(struct relay_link *l)
{
	struct world *w = l->world;

	return l >= w->relay[0].links && l < w->relay[0].links + LINKS_MAX ? &w->relay[0] : &w->relay[1];
}

static inline int test_relay_on_hello(struct relay_link *l, const struct frame_head *h, const uint8_t *payload)
{
	struct test_relay *r = test_relay_of(l);
	struct frame_welcome welcome = {
		.node = "edge-test", .links = r->wants, .ping_ms = 60000, .window = MUX_WINDOW, .backoff_ms = 1000
	};
	uint8_t exported[FRAME_EXPORTED];
	struct buf text;

	assert_int_equal(frame_hello_get(&l->hello, payload, h->n), 0);
	assert_int_equal(tunnel_link_export(&l->link, exported), 0);
	buf_init(&text, 1024);
	frame_hello_signed(&l->hello, exported, &text);
	assert_true(key_verify(l->world->client_key, text.data, text.len, l->hello.signature));
	buf_free(&text);
	r->n_ever++;
	if (r->refuse.code != 0) {
		frame_end_put(&l->link.mux.out, FRAME_REFUSED, 0, &r->refuse);
		tunnel_link_close_after(&l->link, "refused");
		return 0;
	}
	l->greeted = true;
	r->n_now++;
	frame_welcome_put(&l->link.mux.out, &welcome);
	tunnel_link_flush(&l->link);
	tunnel_link_up(&l->link, 60000);
	return 0;
}

static inline void test_relay_on_secured(struct tunnel_link *l)
{
	(void)l;
}

static inline int test_relay_on_control(struct tunnel_link *l, const struct frame_head *h, const uint8_t *payload)
{
	struct relay_link *r = CONTAINER_OF(l, struct relay_link, link);

	if (h->type == FRAME_HELLO && !r->greeted)
		return test_relay_on_hello(r, h, payload);
	if (h->type == FRAME_HEALTH) {
		r->n_health++;
		return frame_health_get(&r->health, payload, h->n);
	}
	if (h->type != FRAME_GOAWAY)
		return -1;
	r->goaway = true;
	return 0;
}

static inline void test_relay_on_closed(struct tunnel_link *l, const char *why)
{
	struct relay_link *r = CONTAINER_OF(l, struct relay_link, link);

	(void)why;
	test_relay_of(r)->n_now -= r->greeted;
	*r = (struct relay_link){ .world = r->world };
}

static inline void test_relay_on_listener(struct io *io, uint32_t events)
{
	static const struct tunnel_link_ops ops = { .on_secured = test_relay_on_secured,
		.on_control = test_relay_on_control,
		.on_closed = test_relay_on_closed };
	struct test_relay *r = CONTAINER_OF(io, struct test_relay, listener);
	struct world *w = r->world;
	int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (fd < 0)
		return;
	for (unsigned i = 0; i < LINKS_MAX; i++)
		if (!r->links[i].in_use) {
			r->links[i].in_use = true;
			assert_int_equal(tunnel_link_start(
						 &r->links[i].link, &w->worker, &w->desk, w->tls, true, fd, &ops, NULL),
				0);
			return;
		}
	close(fd);
}

static inline int world_listen(int type, uint16_t port, uint16_t *out)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), on = 1;
	socklen_t len = sizeof a;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	if ((type & 0xf) == SOCK_STREAM)
		assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*out = ntohs(a.sin_port);
	return fd;
}

static inline void test_relay_open(struct test_relay *r, struct world *w)
{
	int fd = world_listen(SOCK_STREAM | SOCK_NONBLOCK, r->port, &r->port);

	r->world = w;
	if (r->wants == 0)
		r->wants = 2;
	for (unsigned i = 0; i < LINKS_MAX; i++)
		r->links[i].world = w;
	io_init(&r->listener, test_relay_on_listener, fd);
	assert_int_equal(io_add(&w->worker, &r->listener, EPOLLIN), 0);
}

/* It is gone, with all its links, as after a kill. */
static inline void test_relay_crash(struct test_relay *r)
{
	io_del(&r->world->worker, &r->listener);
	io_close(&r->listener);
	for (unsigned i = 0; i < LINKS_MAX; i++)
		if (r->links[i].in_use)
			tunnel_link_close(&r->links[i].link, "crash");
}

static inline struct relay_link *test_relay_link(struct test_relay *r)
{
	for (unsigned i = 0; i < LINKS_MAX; i++)
		if (r->links[i].greeted && !r->links[i].goaway)
			return &r->links[i];
	return NULL;
}

/* ---- the agent ---------------------------------------------------------------------------------------------------- */

static inline void world_on_ready(void *arg)
{
	((struct world *)arg)->ready = true;
}

static inline void world_on_over(void *arg, enum command_exit code, const char *why)
{
	struct world *w = arg;

	assert_false(w->over);
	w->over = true;
	w->code = code;
	str_copy(w->why, sizeof w->why, why);
}

/* relays: "" for the first test relay. more: further settings, NULL at the end. */
static inline int world_settings(struct world *w, struct settings *out, const char *relays, const char *const *more)
{
	char token[300], state[100], where[100];
	const char *set[16] = { token, state, where, "proxy=off", "drain_timeout=20s" };
	const char *const none[] = { NULL };
	const struct conf_source src = { .env = none, .set = set };
	struct err_list *errs = calloc(1, sizeof *errs);
	int r;

	str_fmt(token, sizeof token, "token=%s", w->token);
	str_fmt(state, sizeof state, "state_dir=%s", w->dir);
	str_fmt(where, sizeof where, "relays=127.0.0.1:%u", w->relay[0].port);
	if (relays[0] != '\0')
		str_fmt(where, sizeof where, "relays=%s", relays);
	for (size_t i = 0; more != NULL && more[i] != NULL; i++)
		set[5 + i] = more[i];
	r = settings_load(out, &src, errs);
	if (r != 0)
		print_message("settings: %s\n", errs->items[0].msg);
	free(errs);
	return r;
}

static inline void world_open_agent(struct world *w, const char *relays, const char *const *more)
{
	static const struct agent_events events = { world_on_ready, world_on_over, NULL };
	struct settings s;
	struct err e = { .code = ERR_NONE };

	assert_int_equal(world_settings(w, &s, relays, more), 0);
	if (agent_open(&w->agent, &w->worker, &s, &events, w, &e) != 0)
		fail_msg("%s", e.msg);
}

/* ---- all of it ---------------------------------------------------------------------------------------------------- */

static inline void world_make_identities(struct world *w)
{
	int64_t now = clock_wall_ms();
	uint8_t seed[KEY_SEED_SIZE];
	struct cert_info info;
	char secret[64], *leaf;
	size_t n;

	assert_int_equal(key_generate(&w->ca_key, NULL) | key_generate(&w->relay_key, NULL), 0);
	assert_int_equal(key_generate(&w->client_key, NULL), 0);
	w->ca = cert_make_ca(w->ca_key, "Test CA", now, 10, NULL);
	leaf = cert_issue(w->ca, w->ca_key, w->relay_key, "node_1", NULL, CERT_CLIENT, now, 10, NULL);
	n = strlen(leaf) + strlen(w->ca) + 1;
	w->relay_pem = malloc(n);
	snprintf(w->relay_pem, n, "%s%s", leaf, w->ca);
	free(leaf);
	w->relay_key_pem = key_to_pem(w->relay_key);
	assert_int_equal(cert_inspect(w->ca, &info, NULL), 0);
	str_copy(w->fingerprint, sizeof w->fingerprint, info.fingerprint);
	assert_int_equal(key_seed(w->client_key, seed), 0);
	str_b64url(secret, seed, sizeof seed);
	str_fmt(w->token, sizeof w->token, "42.pws_%s.%s", secret, w->fingerprint);
}

static inline int world_set_up(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	struct tls_conf conf = { .server = true };

	log_init("test", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, 2);
	world_make_identities(w);
	conf.cert_pem = w->relay_pem;
	conf.key_pem = w->relay_key_pem;
	assert_int_equal(tls_ctx_new(&w->tls, &conf, NULL), 0);
	str_copy(w->dir, sizeof w->dir, "/tmp/agent-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	fd_budget_init(&w->fds, 1000);
	assert_int_equal(worker_init(&w->worker, 0, &w->fds, world_on_wake, NULL, NULL), 0);
	assert_int_equal(tunnel_desk_init(&w->desk), 0);
	timer_init(&w->watchdog, world_on_watchdog);
	timer_init(&w->poll_timer, world_on_poll);
	test_relay_open(&w->relay[0], w);
	test_relay_open(&w->relay[1], w);
	*state = w;
	return 0;
}

static inline int world_tear_down(void **state)
{
	struct world *w = *state;
	char cmd[128];

	if (w->agent != NULL)
		agent_free(w->agent);
	test_relay_crash(&w->relay[0]);
	test_relay_crash(&w->relay[1]);
	worker_bury_all(&w->worker);
	assert_int_equal(fd_budget_used(&w->fds), 0);
	worker_fini(&w->worker);
	tunnel_desk_fini(&w->desk);
	tls_ctx_unref(w->tls);
	key_free(w->ca_key);
	key_free(w->relay_key);
	key_free(w->client_key);
	free(w->relay_key_pem);
	free(w->relay_pem);
	free(w->ca);
	str_fmt(cmd, sizeof cmd, "rm -rf %s", w->dir);
	assert_int_equal(system(cmd), 0);
	free(w);
	return 0;
}

#endif
