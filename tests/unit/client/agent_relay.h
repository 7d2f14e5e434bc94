/*
 * agent_relay - a relay of the test's own, and the world that it shares with the agent (agent_world.h).
 *
 * It speaks with the same tunnel_link; what it answers to a greeting, and to streams, is the test's choice.
 */
#ifndef PORTWAY_TESTS_AGENT_RELAY_H
#define PORTWAY_TESTS_AGENT_RELAY_H

#include "client/agent/agent.h"
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/rand.h"
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

#define LINKS_MAX 8

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
	void (*on_open)(struct relay_link *l, uint32_t id, const struct frame_open *o); /* NULL: all are refused */
	struct agent *agent;
	bool ready, over;
	enum command_exit code;
	char why[FRAME_REASON_SIZE];
};

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

static inline void test_relay_on_open(struct tunnel_link *l, uint32_t id, const struct frame_open *o)
{
	struct relay_link *r = CONTAINER_OF(l, struct relay_link, link);

	if (r->world->on_open != NULL)
		r->world->on_open(r, id, o);
	else
		stream_refuse(&l->mux, id, ERR_FORBIDDEN, "not here");
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
		.on_open = test_relay_on_open,
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

/* A port on which nobody listens, and not one that the kernel gives to clients and to who asks for any. */
static inline uint16_t world_free_port(void)
{
	for (unsigned tries = 0; tries < 100; tries++) {
		const struct sockaddr_in a = { .sin_family = AF_INET,
			.sin_port = htons((uint16_t)(11000 + rand_below(20000))),
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		int rc = bind(fd, (const struct sockaddr *)&a, sizeof a);

		close(fd);
		if (rc == 0)
			return ntohs(a.sin_port);
	}
	fail_msg("no port is free");
	return 0;
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

#endif
