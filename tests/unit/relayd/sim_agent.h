/*
 * sim_agent - an agent in a thread of its own, small: it sends back what comes on a stream. The test has a relay's port for
 * agents (agent_port) and who signs for it (pki). It is static in each test: when a test fails its stack goes at once, and
 * agents_end() in its tear-down ends the threads that are left.
 */
#ifndef PORTWAY_TESTS_RELAYD_SIM_AGENT_H
#define PORTWAY_TESTS_RELAYD_SIM_AGENT_H

#include "common/crypto/key.h"
#include "common/crypto/tls.h"
#include "common/tunnel/frame_check.h"
#include "common/tunnel/frame_hello.h"
#include "common/tunnel/tunnel_link.h"
#include "tests/unit/common/pki.h"
#include "tests/unit/relayd/lab.h"
#include "tests/unit/relayd/sim_agent_state.h"

#include <pthread.h>

#define CLIENT "4711"

static struct pki pki;
static uint16_t agent_port;
static uint8_t hello_version; /* of those that are started; 0: the one that is spoken */
static struct list started = { &started, &started };

/* A stream for datagrams of a visit's client; NULL: none is expected. */
static void (*agent_on_asked)(struct agent *a, struct mux *m, uint32_t id, const struct frame_open *o);

static inline void on_echo(struct stream *s, uint32_t events)
{
	struct echo *e = s->owner;
	const uint8_t *p;
	size_t n;

	if (events & EPOLLERR) {
		__atomic_sub_fetch(&e->agent->streams, 1, __ATOMIC_RELAXED);
		free(e);
		return;
	}
	if (s->kind == FRAME_UDP) {
		struct iovec *d;

		n = events & EPOLLIN ? stream_datagrams(s, &d) : 0;
		for (size_t i = 0; i < n; i++)
			stream_datagram(s, d[i].iov_base, d[i].iov_len);
		return;
	}
	while ((n = stream_peek(s, &p)) > 0 && (n = stream_send(s, p, n)) > 0)
		stream_take(s, n);
	if (s->in_ended && stream_peek(s, &p) == 0) {
		stream_finish(s);
		stream_close(s, ERR_NONE, "");
		__atomic_sub_fetch(&e->agent->streams, 1, __ATOMIC_RELAXED);
		free(e);
	}
}

static inline void on_agent_open(struct tunnel_link *l, uint32_t id, const struct frame_open *o)
{
	struct agent *a = CONTAINER_OF(l, struct alink, link)->agent;
	struct echo *e;

	if (o->host[0] == FRAME_OF_STREAM && agent_on_asked != NULL) {
		agent_on_asked(a, &l->mux, id, o);
		return;
	}
	assert_string_equal(o->host, "svc.internal");
	if (o->port == 81 || __atomic_load_n(&a->dead, __ATOMIC_RELAXED)) {
		stream_refuse(&l->mux, id, ERR_DENIED_TARGET, "not this one");
		return;
	}
	e = calloc(1, sizeof *e);
	e->agent = a;
	if (o->port == 83) { /* says that it ends, and is reset before that has been read */
		static const uint8_t bytes[50000];

		assert_int_equal(stream_accept(&e->stream, &l->mux, id, o, on_echo, e), 0);
		stream_opened(&e->stream);
		assert_int_equal(stream_send(&e->stream, bytes, sizeof bytes), sizeof bytes);
		stream_finish(&e->stream);
		stream_close(&e->stream, ERR_UNAVAILABLE, "reset");
		free(e);
		return;
	}
	__atomic_add_fetch(&a->streams, 1, __ATOMIC_RELAXED);
	assert_int_equal(stream_accept(&e->stream, &l->mux, id, o, on_echo, e), 0);
	stream_opened(&e->stream);
}

static inline void agent_greet(struct tunnel_link *l)
{
	struct agent *a = CONTAINER_OF(l, struct alink, link)->agent;
	uint8_t exported[FRAME_EXPORTED];
	struct buf b;

	assert_int_equal(tunnel_link_export(l, exported), 0);
	buf_init(&b, 4096);
	frame_hello_signed(&a->hello, exported, &b);
	assert_int_equal(key_sign(a->key, b.data, b.len, a->hello.signature), 0);
	buf_free(&b);
	frame_hello_put(&l->mux.out, &a->hello);
	if (hello_version != 0)
		l->mux.out.data[FRAME_HEAD] = hello_version;
}

static inline void on_agent_secured(struct tunnel_link *l)
{
	agent_greet(l);
	tunnel_link_flush(l);
}

static inline int on_agent_control(struct tunnel_link *l, const struct frame_head *h, const uint8_t *p)
{
	struct alink *al = CONTAINER_OF(l, struct alink, link);
	struct frame_welcome w;

	if (h->type == FRAME_REFUSED && frame_end_get(&al->refused, p, h->n) == 0) {
		__atomic_store_n(&al->agent->code, al->refused.code, __ATOMIC_RELAXED);
		return 0;
	}
	if (h->type == FRAME_GOAWAY || h->type == FRAME_RULES)
		return 0;
	if (h->type == FRAME_CHECK) {
		struct frame_check c;

		assert_int_equal(frame_check_get(&c, p, h->n), 0);
		assert_string_equal(c.mapping, "map_a");
		__atomic_store_n(&al->agent->checked, c.spec.type, __ATOMIC_RELEASE);
		__atomic_add_fetch(&al->agent->checks, 1, __ATOMIC_RELEASE);
		return 0;
	}
	if (h->type == FRAME_OFFER || h->type == FRAME_WITHDRAW) {
		__atomic_add_fetch(
			h->type == FRAME_OFFER ? &al->agent->offers : &al->agent->withdrawn, 1, __ATOMIC_RELEASE);
		return 0;
	}
	assert_int_equal(frame_welcome_get(&w, p, h->n), 0);
	assert_int_equal(w.links, 2);
	tunnel_link_up(l, w.ping_ms);
	__atomic_add_fetch(&al->agent->up, 1, __ATOMIC_RELEASE);
	return 0;
}

static inline void on_agent_closed(struct tunnel_link *l, const char *why)
{
	(void)why;
	__atomic_add_fetch(&CONTAINER_OF(l, struct alink, link)->agent->closed, 1, __ATOMIC_RELEASE);
}

static const struct tunnel_link_ops agent_ops = {
	.on_secured = on_agent_secured,
	.on_control = on_agent_control,
	.on_open = on_agent_open,
	.on_closed = on_agent_closed,
};

static inline void on_quit(struct task *t)
{
	struct agent *a = CONTAINER_OF(t, struct agent, quit);

	for (unsigned i = 0; i < a->n; i++)
		tunnel_link_close(&a->links[i].link, "quit");
	worker_stop(&a->worker);
}

static inline void on_go_away(struct task *t)
{
	struct agent *a = CONTAINER_OF(t, struct agent, go_away);
	const struct frame_end end = { .code = ERR_UNAVAILABLE, .reason = "no new streams" };

	for (unsigned i = 0; i < a->n; i++) {
		frame_end_put(&a->links[i].link.mux.out, FRAME_GOAWAY, 0, &end);
		tunnel_link_flush(&a->links[i].link);
	}
}

static inline void on_asking(struct stream *s, uint32_t events)
{
	(void)s;
	(void)events;
}

/* For a mapping that nobody has: the relay counts that (not_theirs), and has read then what came before it on the link. */
static inline void ask_behind(struct alink *al)
{
	const struct frame_open o = {
		.kind = FRAME_TCP, .host = "-", .port = 1, .source = "here", .mapping = "map_of_nobody"
	};

	stream_close(&al->asking, ERR_NONE, "");
	assert_int_equal(stream_open(&al->asking, &al->link.mux, &o, on_asking, NULL), 0);
}

/* Greets on the links that it has, with another key. */
static inline void on_again(struct task *t)
{
	struct agent *a = CONTAINER_OF(t, struct agent, again);

	a->key = a->next;
	for (unsigned i = 0; i < a->n; i++) {
		struct alink *al = &a->links[i];

		for (unsigned k = 0; k < a->times; k++)
			agent_greet(&al->link);
		ask_behind(al);
		tunnel_link_flush(&al->link);
	}
	__atomic_add_fetch(&a->said, 1, __ATOMIC_RELEASE);
}

static inline void on_say(struct task *t)
{
	struct agent *a = CONTAINER_OF(t, struct agent, say);
	struct frame_health h = { .mapping = "map_a", .up = a->up_now };

	if (!h.up)
		str_copy(h.reason, sizeof h.reason, a->why != NULL ? a->why : "connection refused");
	if (a->of != NULL)
		str_copy(h.mapping, sizeof h.mapping, a->of);
	for (unsigned i = 0; i < a->n; i++) {
		frame_health_put(&a->links[i].link.mux.out, &h);
		ask_behind(&a->links[i]);
		tunnel_link_flush(&a->links[i].link);
	}
	__atomic_add_fetch(&a->said, 1, __ATOMIC_RELEASE);
}

static inline unsigned seen(const unsigned *n)
{
	return __atomic_load_n(n, __ATOMIC_ACQUIRE);
}

/* Until it has: then the task may be posted again. */
static inline void agent_say(struct lab *lab, struct agent *a, bool up)
{
	unsigned before = seen(&a->said);

	a->up_now = up;
	worker_post(&a->worker, &a->say);
	LAB_UNTIL(lab, seen(&a->said) == before + 1);
}

static inline void on_visiting(struct stream *s, uint32_t events)
{
	static const uint8_t bytes[1000];
	struct agent *a = s->owner;
	const uint8_t *p;
	size_t n;

	if (s->kind == FRAME_UDP) {
		for (unsigned i = 0; events & EPOLLOUT && s->opened && i < VISIT_DATAGRAMS; i++)
			assert_true(stream_datagram(s, bytes, sizeof bytes));
		return;
	}
	if (events & EPOLLERR)
		__atomic_store_n(&a->visit_code, s->code, __ATOMIC_RELEASE);
	else if (events & EPOLLOUT && s->opened && a->visit_words != NULL)
		assert_int_equal(stream_send(s, (const uint8_t *)a->visit_words, a->visit_words_n), a->visit_words_n);
	else if (events & EPOLLOUT && s->opened)
		assert_int_equal(stream_send(s, bytes, sizeof bytes), sizeof bytes);
	while (s->mux != NULL && (n = stream_peek(s, &p)) > 0) {
		if (a->visit_back < sizeof a->visit_heard)
			memcpy(a->visit_heard + a->visit_back, p, MIN(n, sizeof a->visit_heard - a->visit_back));
		stream_take(s, n);
		__atomic_add_fetch(&a->visit_back, (unsigned)n, __ATOMIC_RELEASE);
	}
}

static inline void on_visit(struct task *t)
{
	struct agent *a = CONTAINER_OF(t, struct agent, visit);
	struct frame_open o = { .kind = FRAME_TCP, .host = "-", .port = 7000, .source = "here" };

	if (a->visit_kind != 0)
		o.kind = a->visit_kind;
	stream_close(&a->visiting, ERR_NONE, "");
	str_copy(o.mapping, sizeof o.mapping, a->visit_mapping);
	assert_int_equal(stream_open(&a->visiting, &a->links[0].link.mux, &o, on_visiting, a), 0);
}

static inline void visit(struct agent *a, const char *mapping)
{
	a->visit_mapping = mapping;
	a->visit_code = a->visit_back = 0;
	worker_post(&a->worker, &a->visit);
}

static inline void *work_agent(void *arg)
{
	struct agent *a = arg;

	for (unsigned i = 0; i < a->n; i++) {
		int fd = lab_connect(SOCK_STREAM, agent_port);

		fcntl(fd, F_SETFL, O_NONBLOCK);
		a->links[i].agent = a;
		assert_int_equal(
			tunnel_link_start(&a->links[i].link, &a->worker, &a->desk, a->tls, false, fd, &agent_ops, NULL),
			0);
	}
	worker_run(&a->worker);
	return NULL;
}

static inline void agent_start_of(struct agent *a, const char *client, const char *instance, uint64_t epoch,
	const struct key *key, unsigned links)
{
	const struct tls_conf conf = { .ca_fingerprint = pki.fingerprint, .peer_is_relay = true, .bulk = true };

	memset(a, 0, sizeof *a);
	a->n = links;
	a->key = key;
	a->hello = (struct frame_hello){ .epoch = epoch, .version = "test" };
	str_copy(a->hello.client, sizeof a->hello.client, client);
	str_copy(a->hello.instance, sizeof a->hello.instance, instance);
	fd_budget_init(&a->fds, 1000);
	assert_int_equal(tls_ctx_new(&a->tls, &conf, NULL), 0);
	assert_int_equal(worker_init(&a->worker, 0, &a->fds, NULL, NULL, NULL), 0);
	assert_int_equal(tunnel_desk_init(&a->desk), 0);
	task_init(&a->quit, on_quit);
	task_init(&a->go_away, on_go_away);
	task_init(&a->say, on_say);
	task_init(&a->again, on_again);
	task_init(&a->visit, on_visit);
	assert_int_equal(pthread_create(&a->thread, NULL, work_agent, a), 0);
	list_push_back(&started, &a->started);
}

static inline void agent_start(
	struct agent *a, const char *instance, uint64_t epoch, const struct key *key, unsigned links)
{
	agent_start_of(a, CLIENT, instance, epoch, key, links);
}

static inline void agent_end(struct agent *a)
{
	list_remove(&a->started);
	worker_post(&a->worker, &a->quit);
	pthread_join(a->thread, NULL);
	tunnel_desk_fini(&a->desk);
	worker_fini(&a->worker);
	tls_ctx_unref(a->tls);
}

static inline void agents_end(void)
{
	struct list *left;

	while ((left = list_first(&started)) != NULL)
		agent_end(CONTAINER_OF(left, struct agent, started));
}

static inline void agent_stop(struct agent *a)
{
	agent_end(a);
	assert_int_equal(a->closed, a->n);
	assert_int_equal(a->streams, 0);
}

#endif
