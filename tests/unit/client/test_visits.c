/* visits: mappings that lead from this machine: where they are listened on, which relay is asked, and who waits for one. */
#define _GNU_SOURCE
#include "common/net/socks5.h"
#include "common/tunnel/frame_offer.h"
#include "tests/unit/client/agent_world.h"

#include <fcntl.h>
#include <sys/epoll.h>

#define GUESTS_MAX 8
#define ANYWHERE   ((const char *const[]){ "listen=127.0.0.1", NULL })

/* What the agent opened at a relay, which answers with what it gets. */
struct guest {
	struct stream stream;
	struct frame_open open;
	bool in_use, ended;
};

enum manner { SERVES, REFUSES, SAYS_NOTHING };

/* One test at a time; what a test waits for is looked at from here. */
static struct guest guests[GUESTS_MAX];
static unsigned n_guests, n_refused;
static enum manner manners[2]; /* of the relays */
static int client = -1;
static uint16_t port;
static uint8_t seen[4096];
static size_t n_seen;

/* ---- the relays' side --------------------------------------------------------------------------------------------- */

static void answer_bytes(struct guest *g)
{
	const uint8_t *p;
	size_t n;

	while ((n = stream_peek(&g->stream, &p)) > 0) {
		assert_int_equal(stream_send(&g->stream, p, n), n);
		stream_take(&g->stream, n);
	}
	if (g->stream.in_ended)
		stream_finish(&g->stream);
}

static void answer_datagrams(struct guest *g)
{
	struct iovec *d;
	unsigned n = stream_datagrams(&g->stream, &d);

	for (unsigned i = 0; i < n; i++)
		assert_true(stream_datagram(&g->stream, d[i].iov_base, d[i].iov_len));
}

static void on_guest(struct stream *s, uint32_t events)
{
	struct guest *g = s->owner;

	if (events & EPOLLERR)
		g->ended = true;
	else if (events & EPOLLIN && s->kind == FRAME_UDP)
		answer_datagrams(g);
	else if (events & EPOLLIN)
		answer_bytes(g);
}

static void on_open(struct relay_link *l, uint32_t id, const struct frame_open *o)
{
	const enum manner manner = manners[test_relay_of(l) - l->world->relay];
	struct guest *g = &guests[n_guests];

	if (manner == REFUSES) {
		n_refused++;
		stream_refuse(&l->link.mux, id, ERR_UNAVAILABLE, "the target's agent is not here");
		return;
	}
	assert_true(n_guests < GUESTS_MAX);
	assert_int_equal(stream_accept(&g->stream, &l->link.mux, id, o, on_guest, g), 0);
	g->open = *o;
	n_guests++;
	if (manner == SERVES)
		stream_opened(&g->stream);
}

static void offer(struct test_relay *r, uint8_t kind, const char *bind)
{
	struct frame_offer o = { .kind = kind, .mapping = "map_1", .first = port, .last = port };
	struct relay_link *l = test_relay_link(r);

	assert_non_null(l);
	str_copy(o.bind, sizeof o.bind, bind);
	frame_offer_put(&l->link.mux.out, &o);
	tunnel_link_flush(&l->link);
}

static void withdraw(struct test_relay *r)
{
	struct relay_link *l = test_relay_link(r);

	frame_withdraw_put(&l->link.mux.out, "map_1");
	tunnel_link_flush(&l->link);
}

/* ---- who connects ------------------------------------------------------------------------------------------------- */

static struct sockaddr_in here(void)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
}

static bool try_to_connect(void)
{
	const struct sockaddr_in a = here();

	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(client, (const struct sockaddr *)&a, sizeof a) == 0 && fcntl(client, F_SETFL, O_NONBLOCK) == 0)
		return true;
	close(client);
	client = -1;
	return false;
}

static bool listens(struct world *w)
{
	(void)w;
	return client >= 0 || try_to_connect();
}

static void say(const char *text)
{
	assert_int_equal(send(client, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static bool has_four(struct world *w)
{
	ssize_t n = recv(client, seen + n_seen, sizeof seen - n_seen, MSG_DONTWAIT);

	(void)w;
	n_seen += n > 0 ? (size_t)n : 0;
	return n_seen >= 4;
}

/* 0: the end, else errno; EAGAIN: it is as it was. */
static int how_it_is(void)
{
	uint8_t byte;
	ssize_t n = recv(client, &byte, 1, MSG_DONTWAIT);

	return n == 0 ? 0 : n < 0 ? errno : EBUSY;
}

static bool has_ended(struct world *w)
{
	(void)w;
	return how_it_is() == 0;
}

static bool was_reset(struct world *w)
{
	(void)w;
	return how_it_is() == ECONNRESET;
}

static void expect_four(struct world *w)
{
	n_seen = 0;
	say("ping");
	world_run_until(w, has_four);
	assert_memory_equal(seen, "ping", 4);
}

/* ---- waiting ------------------------------------------------------------------------------------------------------ */

static bool one_link_each(struct world *w)
{
	return w->relay[0].n_now == 1 && w->relay[1].n_now == 1;
}

static bool first_has_a_link(struct world *w)
{
	return w->relay[0].n_now == 1;
}

static bool first_has_none(struct world *w)
{
	return w->relay[0].n_now == 0;
}

static bool one_refused(struct world *w)
{
	(void)w;
	return n_refused == 1;
}

static bool one_guest(struct world *w)
{
	(void)w;
	return n_guests == 1;
}

static bool guest_ended(struct world *w)
{
	(void)w;
	return guests[0].ended;
}

static const char *shown;
static bool status_shows(struct world *w)
{
	struct buf b;
	bool found;

	buf_init(&b, 65536);
	agent_print(w->agent, &b);
	found = strstr(buf_cstr(&b), shown) != NULL;
	buf_free(&b);
	return found;
}

static void expect_status(struct world *w, const char *text)
{
	shown = text;
	world_run_until(w, status_shows);
}

static void begin(struct world *w, enum manner first, enum manner second, const char *const *settings)
{
	char relays[64];

	n_guests = n_refused = 0;
	n_seen = 0;
	memset(guests, 0, sizeof guests);
	manners[0] = first;
	manners[1] = second;
	client = -1;
	port = world_free_port();
	w->on_open = on_open;
	w->relay[0].wants = w->relay[1].wants = 1;
	str_fmt(relays, sizeof relays, "127.0.0.1:%u,127.0.0.1:%u", w->relay[0].port, w->relay[1].port);
	world_open_agent(w, relays, settings);
	world_run_until(w, one_link_each);
}

static void end(void)
{
	for (unsigned i = 0; i < n_guests; i++)
		stream_close(&guests[i].stream, ERR_NONE, "");
	if (client >= 0)
		close(client);
	client = -1;
}

/* ---- TCP ---------------------------------------------------------------------------------------------------------- */

static void test_bytes_and_ends(void **state)
{
	struct world *w = *state;

	begin(w, SERVES, SERVES, ANYWHERE);
	offer(&w->relay[0], FRAME_TCP, "");
	world_run_until(w, listens);
	world_run_until(w, one_guest);
	assert_string_equal(guests[0].open.mapping, "map_1");
	assert_string_equal(guests[0].open.host, "-");
	assert_int_equal(guests[0].open.port, port);
	assert_memory_equal(guests[0].open.source, "127.0.0.1:", 10);
	expect_four(w);
	assert_int_equal(shutdown(client, SHUT_WR), 0);
	world_run_until(w, has_ended);
	expect_status(w, "\"links\":1");
	end();
}

static void test_where_it_may_not_listen(void **state)
{
	struct world *w = *state;

	begin(w, SERVES, SERVES, (const char *const[]){ "listen=127.0.0.2", NULL });
	offer(&w->relay[0], FRAME_TCP, "127.0.0.1");
	expect_status(w, "\"listening\":false,\"reason\":\"");
	assert_false(try_to_connect());
	end();
}

static void test_taken_back(void **state)
{
	struct world *w = *state;

	begin(w, SERVES, SERVES, ANYWHERE);
	offer(&w->relay[0], FRAME_TCP, "");
	offer(&w->relay[1], FRAME_TCP, "");
	expect_status(w, "\"links\":2");
	world_run_until(w, listens);
	expect_four(w);
	withdraw(&w->relay[0]);
	expect_status(w, "\"links\":1");
	expect_four(w); /* the other one still offers it */
	withdraw(&w->relay[1]);
	expect_status(w, "\"visits\":[]");
	expect_four(w); /* what has begun goes on */
	close(client);
	assert_false(try_to_connect());
	end();
}

/* One relay cannot lead there: the other is asked, though it offers the mapping a moment later only. */
static void test_next_relay(void **state)
{
	struct world *w = *state;

	begin(w, REFUSES, SERVES, ANYWHERE);
	offer(&w->relay[0], FRAME_TCP, "");
	world_run_until(w, listens);
	say("ping");
	world_run_until(w, one_refused);
	assert_int_equal(how_it_is(), EAGAIN);
	offer(&w->relay[1], FRAME_TCP, "");
	world_run_until(w, has_four);
	assert_memory_equal(seen, "ping", 4);
	assert_int_equal(n_refused, 1);
	end();
}

/* When no other has come after a while, that was the last word; later ones need not wait. */
static void test_no_relay_left(void **state)
{
	struct world *w = *state;
	uint64_t begun, first;

	begin(w, REFUSES, REFUSES, ANYWHERE);
	offer(&w->relay[0], FRAME_TCP, "");
	world_run_until(w, listens);
	begun = w->worker.now_ns;
	world_run_until(w, was_reset);
	first = w->worker.now_ns - begun;
	assert_in_range(first, UINT64_C(2000000000), PATIENCE_NS);
	assert_int_equal(n_refused, 1);
	close(client);
	client = -1;
	for (unsigned tries = 1;; tries++) { /* one of them when nobody else keeps the machine for so long */
		world_run_until(w, listens);
		begun = w->worker.now_ns;
		world_run_until(w, was_reset);
		assert_int_equal(n_refused, 1 + tries);
		if (w->worker.now_ns - begun < first)
			break;
		assert_true(tries < 5);
		close(client);
		client = -1;
	}
	end();
}

/* A link that is lost says nothing about its relay: who waits is served when it is back. */
static void test_relay_that_comes_back(void **state)
{
	struct world *w = *state;

	begin(w, SAYS_NOTHING, REFUSES, ANYWHERE);
	offer(&w->relay[0], FRAME_TCP, "");
	world_run_until(w, listens);
	say("ping");
	world_run_until(w, one_guest);
	test_relay_crash(&w->relay[0]);
	world_run_until(w, guest_ended);
	assert_int_equal(how_it_is(), EAGAIN);
	manners[0] = SERVES;
	world_run_until(w, first_has_none);
	test_relay_open(&w->relay[0], w);
	world_run_until(w, first_has_a_link);
	offer(&w->relay[0], FRAME_TCP, "");
	world_run_until(w, has_four);
	assert_memory_equal(seen, "ping", 4);
	assert_int_equal(n_refused, 0);
	end();
}

/* ---- UDP ---------------------------------------------------------------------------------------------------------- */

static void connect_udp(void)
{
	const struct sockaddr_in a = here();

	client = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client, (const struct sockaddr *)&a, sizeof a), 0);
}

static void test_datagrams(void **state)
{
	struct world *w = *state;
	uint8_t one[1];
	int first;

	begin(w, SERVES, SERVES, ANYWHERE);
	offer(&w->relay[0], FRAME_UDP, "");
	expect_status(w, "\"listening\":true");
	connect_udp();
	expect_four(w);
	expect_four(w);
	assert_int_equal(n_guests, 1);
	assert_int_equal(guests[0].open.kind, FRAME_UDP);
	assert_int_equal(guests[0].open.port, port);
	first = client;
	connect_udp(); /* another one, by itself */
	expect_four(w);
	assert_int_equal(n_guests, 2);
	assert_int_equal(recv(first, one, 1, MSG_DONTWAIT), -1);
	close(first);
	expect_status(w, "\"visits_udp\":2");
	end();
}

/* A datagram that a relay could not lead on is lost; the next one goes another way. */
static void test_datagrams_to_the_next_relay(void **state)
{
	struct world *w = *state;

	begin(w, REFUSES, SERVES, ANYWHERE);
	offer(&w->relay[0], FRAME_UDP, "");
	expect_status(w, "\"listening\":true");
	connect_udp();
	say("lost");
	world_run_until(w, one_refused);
	offer(&w->relay[1], FRAME_UDP, "");
	expect_status(w, "\"links\":2");
	expect_four(w);
	assert_int_equal(n_refused, 1);
	end();
}

static void test_silent_one_is_forgotten(void **state)
{
	struct world *w = *state;

	begin(w, SERVES, SERVES, (const char *const[]){ "listen=127.0.0.1", "udp_idle_timeout=1s", NULL });
	offer(&w->relay[0], FRAME_UDP, "");
	expect_status(w, "\"listening\":true");
	connect_udp();
	expect_four(w);
	world_run_until(w, guest_ended);
	expect_status(w, "\"visits_udp\":0");
	end();
}

/* ---- datagrams of a SOCKS5 client --------------------------------------------------------------------------------- */

/* The stream on which the first relay asks for them, and the last datagram on it. */
static struct {
	struct stream stream;
	bool over;
	uint16_t code;
	uint8_t last[256];
	size_t n, count;
} asked;

static void on_asked(struct stream *s, uint32_t events)
{
	struct iovec *d;
	unsigned n;

	if (events & EPOLLERR) {
		asked.over = true;
		asked.code = s->code;
	}
	if (!(events & EPOLLIN))
		return;
	n = stream_datagrams(s, &d);
	for (unsigned i = 0; i < n; i++) {
		assert_true(d[i].iov_len <= sizeof asked.last);
		memcpy(asked.last, d[i].iov_base, d[i].iov_len);
		asked.n = d[i].iov_len;
		asked.count++;
	}
}

static void ask_for_datagrams(struct world *w, const char *host)
{
	struct frame_open o = { .kind = FRAME_UDP, .mapping = "map_1", .port = port };

	memset(&asked, 0, sizeof asked);
	str_copy(o.host, sizeof o.host, host);
	assert_int_equal(stream_open(&asked.stream, &test_relay_link(&w->relay[0])->link.mux, &o, on_asked, NULL), 0);
}

static void ask_of_guest(struct world *w)
{
	char host[16];

	str_fmt(host, sizeof host, "=%u", guests[0].stream.id);
	ask_for_datagrams(w, host);
}

static size_t awaited;
static bool have_come(struct world *w)
{
	(void)w;
	return asked.count == awaited;
}

static bool is_over(struct world *w)
{
	(void)w;
	return asked.over;
}

/* Somebody of this machine who sends where the agent says that it listens. */
static int sender(struct sockaddr_in *to)
{
	char host[SOCKS5_HOST_SIZE];
	uint16_t where;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(socks5_datagram(host, &where, asked.last, asked.n), asked.n);
	assert_string_equal(host, "127.0.0.1");
	*to = here();
	to->sin_port = htons(where);
	return fd;
}

static void send_to(int fd, const struct sockaddr_in *to, const char *p, size_t n)
{
	assert_int_equal(sendto(fd, p, n, 0, (const struct sockaddr *)to, sizeof *to), n);
}

static const char ping[] = "\0\0\0\1\xc0\0\2\1\0\x35ping", pong[] = "\0\0\0\1\xc0\0\2\1\0\x35pong";

static void connect_a_guest(struct world *w, const char *const *settings)
{
	begin(w, SERVES, SERVES, settings);
	offer(&w->relay[0], FRAME_TCP, "");
	world_run_until(w, listens);
	world_run_until(w, one_guest);
	expect_four(w);
}

static void reload(struct world *w, const char *const *more)
{
	struct err e = { .code = ERR_NONE };
	struct settings s;
	char relays[64];

	str_fmt(relays, sizeof relays, "127.0.0.1:%u,127.0.0.1:%u", w->relay[0].port, w->relay[1].port);
	assert_int_equal(world_settings(w, &s, relays, more), 0);
	assert_int_equal(agent_reload(w->agent, &s, &e), 0);
}

/* Its client alone is heard, from the port that sends first what has a header; with the stream it is over. */
static void test_associated(void **state)
{
	struct world *w = *state;
	struct sockaddr_in to;
	char heard[64];
	int own, other;

	connect_a_guest(w, ANYWHERE);
	ask_of_guest(w);
	awaited = 1;
	world_run_until(w, have_come);
	assert_true(asked.stream.opened);
	own = sender(&to);
	other = sender(&to);
	send_to(other, &to, "no header", 9);
	expect_status(w, "\"visit_datagrams_dropped\":1");
	send_to(own, &to, ping, sizeof ping - 1);
	awaited = 2;
	world_run_until(w, have_come);
	assert_int_equal(asked.n, sizeof ping - 1);
	assert_memory_equal(asked.last, ping, sizeof ping - 1);
	send_to(other, &to, ping, sizeof ping - 1);
	expect_status(w, "\"visit_datagrams_dropped\":2");
	assert_int_equal(asked.count, 2);
	assert_true(stream_datagram(&asked.stream, (const uint8_t *)pong, sizeof pong - 1));
	expect_status(w, "\"visit_bytes_in\":18"); /* with the four of the connection */
	assert_int_equal(recv(own, heard, sizeof heard, MSG_DONTWAIT), sizeof pong - 1);
	assert_memory_equal(heard, pong, sizeof pong - 1);
	expect_status(w, "\"visits_udp\":1");
	stream_close(&asked.stream, ERR_NONE, "");
	expect_status(w, "\"visits_udp\":0");
	close(own);
	close(other);
	end();
}

/* A relay cannot have it take datagrams for nobody, nor where its settings do not let it. */
static void test_not_associated(void **state)
{
	struct world *w = *state;
	char listen[64];

	connect_a_guest(w, ANYWHERE);
	ask_for_datagrams(w, "=2");
	world_run_until(w, is_over);
	assert_int_equal(asked.code, ERR_NOT_FOUND);
	ask_for_datagrams(w, "=one");
	world_run_until(w, is_over);
	assert_int_equal(asked.code, ERR_NOT_FOUND);
	ask_of_guest(w);
	awaited = 1;
	world_run_until(w, have_come);
	str_fmt(listen, sizeof listen, "listen=127.0.0.1:%u", port);
	reload(w, (const char *const[]){ listen, NULL });
	world_run_until(w, is_over);
	assert_int_equal(asked.code, ERR_PERMISSION);
	ask_of_guest(w);
	world_run_until(w, is_over);
	assert_int_equal(asked.code, ERR_PERMISSION);
	expect_four(w); /* the connection goes on */
	end();
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_set_up, world_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_bytes_and_ends),
		TEST(test_where_it_may_not_listen),
		TEST(test_taken_back),
		TEST(test_next_relay),
		TEST(test_no_relay_left),
		TEST(test_relay_that_comes_back),
		TEST(test_datagrams),
		TEST(test_datagrams_to_the_next_relay),
		TEST(test_silent_one_is_forgotten),
		TEST(test_associated),
		TEST(test_not_associated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
