#include "common/tunnel/tunnel_link.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/tls.h"
#include "common/tunnel/stream_side.h"
#include "common/uv/fd_budget.h"
#include "tests/unit/common/pki.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_NS UINT64_C(120000000000)
#define STREAMS     100

static struct pki pki;
static struct fd_budget fds;

/* One end of a link in this process, and what it has seen. */
struct end {
	struct tunnel_link link;
	struct world *world;
	bool server, secured, closed;
	struct frame_hello hello;
	uint8_t exported[FRAME_EXPORTED];
	char why[FRAME_REASON_SIZE];
};

/* A stream with what passed on it. */
struct pipe_end {
	struct stream stream;
	struct world *world;
	uint64_t sent, want, got; /* bytes: to send in all, seen */
	bool lazy;                /* takes nothing */
	bool ended, broken, opened;
	uint16_t code;
	uint8_t next; /* value of the next byte expected */
};

struct world {
	struct worker worker;
	struct tunnel_desk desk;
	struct tls_ctx *relay_tls, *agent_tls;
	struct end relay, agent;
	struct timer watchdog;
	bool timed_out;
	bool (*done)(struct world *w);
	struct pipe_end up[STREAMS], down[STREAMS]; /* the relay's ends, the agent's */
	unsigned n_down;
	bool refuse;
	bool eager; /* the agent does not greet, and opens a stream */
};

static void check_done(struct world *w)
{
	if (w->done != NULL && w->done(w))
		worker_stop(&w->worker);
}

static void on_watchdog(struct timer *t)
{
	struct world *w = CONTAINER_OF(t, struct world, watchdog);

	w->timed_out = true;
	worker_stop(&w->worker);
}

static void run_until(struct world *w, bool (*done)(struct world *w))
{
	w->done = done;
	w->worker.stopping = done(w);
	w->worker.now_ns = clock_mono_ns();
	wheel_arm(&w->worker.wheel, &w->watchdog, w->worker.now_ns + PATIENCE_NS);
	worker_run(&w->worker);
	wheel_disarm(&w->watchdog);
	assert_false(w->timed_out);
}

/* ---- streams of numbered bytes ------------------------------------------------------------------------------------ */

static void pipe_write(struct pipe_end *p)
{
	uint8_t bytes[8192];

	while (p->sent < p->want) {
		size_t n = MIN(sizeof bytes, p->want - p->sent), taken;

		for (size_t i = 0; i < n; i++)
			bytes[i] = (uint8_t)(p->sent + i);
		taken = stream_send(&p->stream, bytes, n);
		if (taken == 0)
			return;
		p->sent += taken;
	}
	stream_finish(&p->stream);
}

static void pipe_read(struct pipe_end *p)
{
	const uint8_t *bytes;
	size_t n;

	while (!p->lazy && (n = stream_peek(&p->stream, &bytes)) > 0) {
		for (size_t i = 0; i < n; i++)
			assert_int_equal(bytes[i], p->next++);
		p->got += n;
		stream_take(&p->stream, n);
	}
	p->ended = p->stream.in_ended && stream_peek(&p->stream, &bytes) == 0;
}

static void on_pipe(struct stream *s, uint32_t events)
{
	struct pipe_end *p = s->owner;

	if (events & EPOLLERR) {
		p->broken = true;
		p->code = s->code;
	}
	p->opened = s->opened;
	if (events & EPOLLIN)
		pipe_read(p);
	if (events & EPOLLOUT)
		pipe_write(p);
	check_done(p->world);
}

/* ---- links -------------------------------------------------------------------------------------------------------- */

static void on_secured(struct tunnel_link *l)
{
	struct end *e = CONTAINER_OF(l, struct end, link);

	e->secured = true;
	assert_int_equal(tunnel_link_export(l, e->exported), 0);
	if (!e->server && e->world->eager) {
		const struct frame_open o = {
			.kind = FRAME_TCP, .mapping = "map_1", .host = "target.example", .port = 80
		};

		frame_open_put(&l->mux.out, 1, &o);
		tunnel_link_flush(l);
	} else if (!e->server) {
		struct frame_hello h = { .client = "17", .instance = "here", .epoch = 5, .version = "1" };

		frame_hello_put(&l->mux.out, &h);
		tunnel_link_flush(l);
	}
	check_done(e->world);
}

static int on_control(struct tunnel_link *l, const struct frame_head *h, const uint8_t *payload)
{
	struct end *e = CONTAINER_OF(l, struct end, link);
	struct frame_welcome w = { .node = "n", .links = 1, .ping_ms = 60000, .window = MUX_WINDOW };

	if (e->server && h->type == FRAME_HELLO) {
		assert_int_equal(frame_hello_get(&e->hello, payload, h->n), 0);
		frame_welcome_put(&l->mux.out, &w);
		tunnel_link_flush(l);
		tunnel_link_up(l, 60000);
		return 0;
	}
	if (e->server || h->type != FRAME_WELCOME || frame_welcome_get(&w, payload, h->n) != 0)
		return -1;
	tunnel_link_up(l, w.ping_ms);
	check_done(e->world);
	return 0;
}

static void on_open(struct tunnel_link *l, uint32_t id, const struct frame_open *o)
{
	struct world *w = CONTAINER_OF(l, struct end, link)->world;
	struct pipe_end *p;

	assert_string_equal(o->host, "target.example");
	if (w->refuse) {
		stream_refuse(&l->mux, id, ERR_DENIED_TARGET, "not on the list");
		return;
	}
	p = &w->down[w->n_down++];
	p->world = w;
	assert_int_equal(stream_accept(&p->stream, &l->mux, id, o, on_pipe, p), 0);
	stream_opened(&p->stream);
	check_done(w);
}

static void on_closed(struct tunnel_link *l, const char *why)
{
	struct end *e = CONTAINER_OF(l, struct end, link);

	assert_false(e->closed);
	e->closed = true;
	str_copy(e->why, sizeof e->why, why);
	check_done(e->world);
}

static const struct tunnel_link_ops ops = {
	.on_secured = on_secured,
	.on_control = on_control,
	.on_open = on_open,
	.on_closed = on_closed,
};

static bool both_up(struct world *w)
{
	return w->relay.link.state == TUNNEL_UP && w->agent.link.state == TUNNEL_UP;
}

static bool both_closed(struct world *w)
{
	return w->relay.closed && w->agent.closed;
}

static void make_tls(struct world *w, const char *cert)
{
	char *chain = pki_join(cert, pki.ca);
	const struct tls_conf relay = {
		.server = true, .cert_pem = chain, .key_pem = pki.client_key_pem, .bulk = true
	};
	const struct tls_conf agent = { .ca_fingerprint = pki.fingerprint, .peer_is_relay = true, .bulk = true };

	assert_int_equal(tls_ctx_new(&w->relay_tls, &relay, NULL), 0);
	assert_int_equal(tls_ctx_new(&w->agent_tls, &agent, NULL), 0);
	free(chain);
}

static void start_on(struct world *w, const char *cert, const int pair[2])
{
	memset(w, 0, sizeof *w);
	w->relay.world = w->agent.world = w;
	w->relay.server = true;
	make_tls(w, cert);
	assert_int_equal(worker_init(&w->worker, 0, &fds, NULL, NULL, NULL), 0);
	w->worker.turn = 64 * 1024;
	assert_int_equal(tunnel_desk_init(&w->desk), 0);
	timer_init(&w->watchdog, on_watchdog);
	assert_int_equal(
		tunnel_link_start(&w->relay.link, &w->worker, &w->desk, w->relay_tls, true, pair[0], &ops, NULL), 0);
	assert_int_equal(
		tunnel_link_start(&w->agent.link, &w->worker, &w->desk, w->agent_tls, false, pair[1], &ops, NULL), 0);
}

static void start(struct world *w, const char *cert)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	start_on(w, cert, pair);
}

/* Over TCP; the agent's kernel takes little of what the agent does not read. */
static void start_tcp(struct world *w)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof at;
	int door = socket(AF_INET, SOCK_STREAM, 0), little = 8192, much = 200000, pair[2];

	assert_int_equal(setsockopt(door, SOL_SOCKET, SO_SNDBUF, &much, sizeof much), 0); /* of whom it accepts, too */
	assert_int_equal(bind(door, (const struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(door, 1), 0);
	assert_int_equal(getsockname(door, (struct sockaddr *)&at, &n), 0);
	pair[1] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(setsockopt(pair[1], SOL_SOCKET, SO_RCVBUF, &little, sizeof little), 0);
	assert_int_equal(connect(pair[1], (const struct sockaddr *)&at, sizeof at), 0);
	pair[0] = accept(door, NULL, NULL);
	assert_true(pair[0] >= 0);
	close(door);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(fcntl(pair[i], F_SETFL, O_NONBLOCK), 0);
	start_on(w, pki.client, pair);
}

static void stop(struct world *w)
{
	tunnel_link_close(&w->relay.link, "the test is over");
	tunnel_link_close(&w->relay.link, "again");
	tunnel_link_close(&w->agent.link, "the test is over");
	worker_bury_all(&w->worker);
	assert_true(both_closed(w));
	tunnel_desk_fini(&w->desk);
	worker_fini(&w->worker);
	tls_ctx_unref(w->relay_tls);
	tls_ctx_unref(w->agent_tls);
	assert_int_equal(fd_budget_used(&fds), 0);
}

static void open_stream(struct world *w, unsigned i, uint64_t want)
{
	struct frame_open o = { .kind = FRAME_TCP, .mapping = "map_1", .host = "target.example", .port = 80 };

	w->up[i].world = w;
	w->up[i].want = want;
	assert_int_equal(stream_open(&w->up[i].stream, &w->relay.link.mux, &o, on_pipe, &w->up[i]), 0);
}

/* ---- tests -------------------------------------------------------------------------------------------------------- */

static void test_greeting(void **state)
{
	static struct world w;

	(void)state;
	start(&w, pki.client);
	run_until(&w, both_up);
	assert_string_equal(w.relay.hello.client, "17");
	assert_int_equal(w.relay.hello.epoch, 5);
	assert_memory_equal(w.relay.exported, w.agent.exported, FRAME_EXPORTED);
	stop(&w);
}

/* A certificate of the right CA that is no relay's (controld's own) is not taken for one. */
static void test_wrong_certificates(void **state)
{
	const char *const bad[] = { pki.client_rogue, pki.client_expired };
	static struct world w;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		start(&w, bad[i]);
		run_until(&w, both_closed);
		assert_false(w.agent.secured);
		stop(&w);
	}
}

/* Nobody has said who he is: no answer is made for him that he could leave unread. */
static void test_stream_before_greeting(void **state)
{
	static struct world w;

	(void)state;
	start(&w, pki.client);
	w.eager = true;
	run_until(&w, both_closed);
	assert_string_equal(w.relay.why, "a stream before the greeting's end");
	assert_int_equal(w.relay.link.mux.passed, 0);
	stop(&w);
}

static bool all_read(struct world *w)
{
	for (unsigned i = 0; i < w->n_down; i++)
		if (!w->down[i].ended && !w->down[i].lazy)
			return false;
	return w->n_down > 0 && w->n_down == STREAMS;
}

/* One of a hundred readers takes nothing: the others get all of theirs, and what waits for it is at most a window. */
static void test_one_stalled_stream(void **state)
{
	static struct world w;
	uint64_t each = 1 << 20;

	(void)state;
	start(&w, pki.client);
	run_until(&w, both_up);
	w.down[0].lazy = true;
	for (unsigned i = 0; i < STREAMS; i++) {
		open_stream(&w, i, each);
		pipe_write(&w.up[i]);
	}
	run_until(&w, all_read);
	for (unsigned i = 1; i < STREAMS; i++)
		assert_int_equal(w.down[i].got, each);
	assert_int_equal(w.down[0].got, 0);
	assert_true(w.up[0].sent <= MUX_WINDOW);
	assert_true(w.down[0].stream.kept_n <= MUX_WINDOW);
	w.down[0].lazy = false;
	pipe_read(&w.down[0]);
	run_until(&w, all_read);
	assert_int_equal(w.down[0].got, each);
	stop(&w);
	assert_true(w.down[5].broken); /* the link went, and its streams were told */
}

static bool first_up_broken(struct world *w)
{
	return w->up[0].broken;
}

static void test_refused_stream(void **state)
{
	static struct world w;

	(void)state;
	start(&w, pki.client);
	run_until(&w, both_up);
	w.refuse = true;
	open_stream(&w, 0, 10);
	pipe_write(&w.up[0]);
	run_until(&w, first_up_broken);
	assert_int_equal(w.up[0].code, ERR_DENIED_TARGET);
	assert_int_equal(mux_count(&w.relay.link.mux), 0);
	stop(&w);
}

static bool first_down_ended(struct world *w)
{
	return w->n_down == 1 && w->down[0].ended;
}

static bool first_up_ended(struct world *w)
{
	return w->up[0].ended;
}

/* Both ways end one after the other, and nobody has to be told. */
static void test_half_close(void **state)
{
	static struct world w;

	(void)state;
	start(&w, pki.client);
	run_until(&w, both_up);
	open_stream(&w, 0, 100000);
	pipe_write(&w.up[0]);
	run_until(&w, first_down_ended);
	assert_true(w.up[0].opened);
	w.down[0].want = 300000;
	pipe_write(&w.down[0]);
	run_until(&w, first_up_ended);
	assert_int_equal(w.up[0].got, 300000);
	stream_close(&w.up[0].stream, ERR_NONE, "");
	stream_close(&w.down[0].stream, ERR_NONE, "");
	assert_int_equal(w.relay.link.mux.out.len, 0);
	assert_int_equal(mux_count(&w.relay.link.mux) + mux_count(&w.agent.link.mux), 0);
	stop(&w);
}

static bool agent_closed(struct world *w)
{
	return w->agent.closed;
}

static void test_last_words(void **state)
{
	struct frame_end end = { .code = ERR_AUTHENTICATION_FAILED, .reason = "no" };
	static struct world w;

	(void)state;
	start(&w, pki.client);
	run_until(&w, both_up);
	frame_end_put(&w.relay.link.mux.out, FRAME_GOAWAY, 0, &end);
	tunnel_link_close_after(&w.relay.link, "said it");
	run_until(&w, agent_closed);
	assert_string_equal(w.relay.why, "said it");
	assert_string_equal(w.agent.why, "a frame out of turn"); /* this agent knows no GOAWAY: it did arrive */
	stop(&w);
}

static bool relay_closed(struct world *w)
{
	return w->relay.closed;
}

/* Also of one that finds by sending that nobody is there any more. */
static void test_last_words_before_a_break(void **state)
{
	struct frame_end end = { .code = ERR_AUTHENTICATION_FAILED, .reason = "no" };
	static struct world w;

	(void)state;
	start(&w, pki.client);
	run_until(&w, both_up);
	io_del(&w.worker, &w.agent.link.io); /* it does not read yet */
	frame_end_put(&w.relay.link.mux.out, FRAME_GOAWAY, 0, &end);
	tunnel_link_close_after(&w.relay.link, "said it");
	run_until(&w, relay_closed);
	partings_cut(&w.desk.partings);
	(void)send(w.agent.link.io.fd, "x", 1, MSG_NOSIGNAL); /* the answer is a RST */
	frame_ping_put(&w.agent.link.mux.out, FRAME_PING, 1);
	tunnel_link_flush(&w.agent.link);
	run_until(&w, agent_closed);
	assert_string_equal(w.agent.why, "a frame out of turn");
	stop(&w);
}

/* Nor may they be lost when they take their time, and something comes meanwhile from one who has not heard them. */
static void test_last_words_under_way(void **state)
{
	struct frame_end end = { .code = ERR_AUTHENTICATION_FAILED, .reason = "no" };
	static struct world w;

	(void)state;
	start_tcp(&w);
	run_until(&w, both_up);
	io_del(&w.worker, &w.agent.link.io); /* it does not read yet */
	open_stream(&w, 0, MUX_WINDOW);
	pipe_write(&w.up[0]);
	frame_end_put(&w.relay.link.mux.out, FRAME_GOAWAY, 0, &end);
	tunnel_link_close_after(&w.relay.link, "said it");
	run_until(&w, relay_closed);
	assert_int_equal(send(w.agent.link.io.fd, "x", 1, MSG_NOSIGNAL), 1);
	assert_int_equal(io_add(&w.worker, &w.agent.link.io, IO_STREAM), 0);
	run_until(&w, agent_closed);
	assert_int_equal(w.down[0].got, MUX_WINDOW);
	assert_string_equal(w.agent.why, "a frame out of turn");
	stop(&w);
}

/* What was sent and the end are there at once: epoll tells of both in one event, and never again. */
static void test_end_behind_bytes(void **state)
{
	static struct world w;

	(void)state;
	start(&w, pki.client);
	run_until(&w, both_up);
	frame_ping_put(&w.relay.link.mux.out, FRAME_PING, 1);
	tunnel_link_close_after(&w.relay.link, "done");
	run_until(&w, agent_closed);
	assert_string_equal(w.agent.why, "the peer closed");
	stop(&w);
}

/* Whoever is to go and does not take the last words has seconds for it, and no longer. */
static void test_last_words_not_taken(void **state)
{
	static struct world w;
	uint64_t began;

	(void)state;
	start(&w, pki.client);
	run_until(&w, both_up);
	io_del(&w.worker, &w.agent.link.io); /* it reads no more */
	for (unsigned i = 0; i < 16; i++) {
		open_stream(&w, i, MUX_WINDOW);
		pipe_write(&w.up[i]);
	}
	began = clock_mono_ns();
	w.relay.link.due_ns = began; /* a ping is; that ends nothing */
	tunnel_link_close_after(&w.relay.link, "has to go");
	run_until(&w, relay_closed);
	assert_true(clock_mono_ns() - began > UINT64_C(4000000000));
	assert_string_equal(w.relay.why, "has to go");
	assert_true(w.up[0].broken);
	stop(&w);
}

static int set_up(void **state)
{
	(void)state;
	pki_init(&pki);
	fd_budget_init(&fds, 1000);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	pki_fini(&pki);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_greeting),
		cmocka_unit_test(test_wrong_certificates),
		cmocka_unit_test(test_stream_before_greeting),
		cmocka_unit_test(test_one_stalled_stream),
		cmocka_unit_test(test_refused_stream),
		cmocka_unit_test(test_half_close),
		cmocka_unit_test(test_last_words),
		cmocka_unit_test(test_last_words_before_a_break),
		cmocka_unit_test(test_last_words_under_way),
		cmocka_unit_test(test_end_behind_bytes),
		cmocka_unit_test(test_last_words_not_taken),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
