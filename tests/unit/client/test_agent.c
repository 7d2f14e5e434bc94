/* agent: links to relays, streams to targets, losing and coming back, leaving. */
#define _GNU_SOURCE
#include "tests/unit/client/agent_world.h"

/* ---- targets ------------------------------------------------------------------------------------------------------ */

enum target_kind { TARGET_ECHO, TARGET_RESET, TARGET_UDP };

#define CONNS_MAX 16
struct target {
	enum target_kind kind;
	int fd;
	uint16_t port;
	pthread_t thread, conns[CONNS_MAX];
	unsigned n_conns;
	int ended_by; /* atomic: errno of the last read of a connection that ended, 0 for its end; -1: none has */
};

struct conn {
	struct target *target;
	int fd;
};

static void *work_conn(void *arg)
{
	struct conn *c = arg;
	char bytes[16384];
	ssize_t n;

	while ((n = recv(c->fd, bytes, sizeof bytes, 0)) > 0) {
		if (c->target->kind == TARGET_RESET) {
			struct linger at_once = { .l_onoff = 1 };

			setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
			break;
		}
		for (ssize_t done = 0, r; done < n; done += r)
			if ((r = send(c->fd, bytes + done, (size_t)(n - done), MSG_NOSIGNAL)) < 0)
				break;
	}
	__atomic_store_n(&c->target->ended_by, n < 0 ? errno : 0, __ATOMIC_SEQ_CST);
	close(c->fd);
	free(c);
	return NULL;
}

static void *work_target(void *arg)
{
	struct target *t = arg;
	int fd;

	while (t->kind != TARGET_UDP && (fd = accept(t->fd, NULL, NULL)) >= 0 && t->n_conns < CONNS_MAX) {
		struct conn *c = malloc(sizeof *c);

		*c = (struct conn){ t, fd };
		pthread_create(&t->conns[t->n_conns++], NULL, work_conn, c);
	}
	while (t->kind == TARGET_UDP) {
		struct sockaddr_storage from;
		socklen_t len = sizeof from;
		char bytes[2048];
		ssize_t n = recvfrom(t->fd, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &len);

		if (n < 0 || len == 0)
			break;
		(void)!sendto(t->fd, bytes, (size_t)n, 0, (struct sockaddr *)&from, len);
	}
	return NULL;
}

static void target_open(struct target *t, enum target_kind kind)
{
	*t = (struct target){ .kind = kind, .ended_by = -1 };
	t->fd = world_listen(kind == TARGET_UDP ? SOCK_DGRAM : SOCK_STREAM, 0, &t->port);
	pthread_create(&t->thread, NULL, work_target, t);
}

/* Every connection to it has ended. */
static void target_close(struct target *t)
{
	shutdown(t->fd, SHUT_RDWR);
	pthread_join(t->thread, NULL);
	for (unsigned i = 0; i < t->n_conns; i++)
		pthread_join(t->conns[i], NULL);
	close(t->fd);
}

/* ---- clients of the relay ----------------------------------------------------------------------------------------- */

struct client {
	struct stream stream;
	size_t want, sent, got;
	bool finish, opened, ended, over;
	uint16_t code;
	uint8_t next;
};

static struct client one;

static void client_write(struct client *c)
{
	uint8_t bytes[8192];

	while (c->sent < c->want) {
		size_t n = MIN(sizeof bytes, c->want - c->sent), taken;

		for (size_t i = 0; i < n; i++)
			bytes[i] = (uint8_t)(c->sent + i);
		taken = stream_send(&c->stream, bytes, n);
		if (taken == 0)
			return;
		c->sent += taken;
	}
	if (c->finish)
		stream_finish(&c->stream);
}

static void on_client(struct stream *s, uint32_t events)
{
	struct client *c = s->owner;
	const uint8_t *bytes;
	size_t n;

	c->opened = s->opened;
	if (events & EPOLLERR) {
		c->over = true;
		c->code = s->code;
		return;
	}
	while ((n = stream_peek(s, &bytes)) > 0) {
		for (size_t i = 0; i < n; i++)
			assert_int_equal(bytes[i], c->next++);
		c->got += n;
		stream_take(s, n);
	}
	c->ended = s->in_ended;
	if (events & EPOLLOUT)
		client_write(c);
}

static void client_open(struct client *c, struct relay_link *l, int kind, const char *host, uint16_t port)
{
	struct frame_open o = { .kind = (uint8_t)kind, .mapping = "map_1", .port = port, .source = "192.0.2.1:5" };
	size_t want = c->want;
	bool finish = c->finish;

	*c = (struct client){ .want = want, .finish = finish };
	str_copy(o.host, sizeof o.host, host);
	assert_non_null(l);
	assert_int_equal(stream_open(&c->stream, &l->link.mux, &o, on_client, c), 0);
	if (kind == FRAME_TCP)
		client_write(c);
}

/* ---- what is waited for ------------------------------------------------------------------------------------------- */

static bool one_link(struct world *w)
{
	return w->relay[0].n_now == 1;
}

static bool both_links(struct world *w)
{
	return w->relay[0].n_now == 2;
}

static bool both_relays(struct world *w)
{
	return w->relay[0].n_now == 2 && w->relay[1].n_now == 2;
}

static bool first_relay_only(struct world *w)
{
	return w->relay[0].n_now == 2 && w->relay[1].n_now == 0;
}

static bool no_links(struct world *w)
{
	return w->relay[0].n_now == 0;
}

static bool one_ended(struct world *w)
{
	(void)w;
	return one.ended && one.got == one.want;
}

static bool one_echoed(struct world *w)
{
	(void)w;
	return one.got == one.want;
}

static bool one_over(struct world *w)
{
	(void)w;
	return one.over;
}

static bool is_over(struct world *w)
{
	return w->over;
}

/* "tcp":0 and no session: the status says it. */
static bool says(struct world *w, const char *what)
{
	struct buf b;
	bool found;

	buf_init(&b, 1 << 20);
	agent_print(w->agent, &b);
	assert_false(b.failed);
	found = strstr(buf_cstr(&b), what) != NULL;
	buf_free(&b);
	return found;
}

static bool no_sessions(struct world *w)
{
	return says(w, "\"tcp\":0,\"udp\":0,");
}

static bool one_session(struct world *w)
{
	return says(w, "\"tcp\":1,");
}

/* ---- links -------------------------------------------------------------------------------------------------------- */

static void test_links(void **state)
{
	struct world *w = *state;
	struct relay_link *a = &w->relay[0].links[0], *b = &w->relay[0].links[1];

	world_open_agent(w, "", NULL);
	world_run_until(w, both_links);
	assert_true(w->ready);
	assert_string_equal(a->hello.client, "42");
	assert_string_equal(a->hello.version, PORTWAY_VERSION);
	assert_string_equal(a->hello.instance, b->hello.instance);
	assert_true(a->hello.epoch > 0 && a->hello.epoch == b->hello.epoch);
	assert_true(says(w, "\"node\":\"edge-test\",\"state\":\"up\""));
}

static void test_epoch_rises(void **state)
{
	struct world *w = *state;
	char instance[FRAME_ID_SIZE];
	uint64_t epoch;

	world_open_agent(w, "", NULL);
	world_run_until(w, both_links);
	str_copy(instance, sizeof instance, w->relay[0].links[0].hello.instance);
	epoch = w->relay[0].links[0].hello.epoch;
	agent_free(w->agent);
	w->agent = NULL;
	world_run_until(w, no_links);
	world_open_agent(w, "", NULL);
	world_run_until(w, both_links);
	assert_string_equal(w->relay[0].links[0].hello.instance, instance);
	assert_true(w->relay[0].links[0].hello.epoch > epoch);
}

static void test_only_one_runs(void **state)
{
	static const struct agent_events events = { world_on_ready, world_on_over, NULL, NULL };
	struct world *w = *state;
	struct settings s;
	struct agent *second;
	struct err e;

	world_open_agent(w, "", NULL);
	assert_int_equal(world_settings(w, &s, "", NULL), 0);
	assert_int_equal(agent_open(&second, &w->worker, &s, &events, w, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
}

/* Its certificate ends in another CA: nothing is said to it, and as it never was the right one the setting is wrong. */
static void test_wrong_ca(void **state)
{
	struct world *w = *state;
	char want[160];

	memset(strrchr(w->token, '.') + 1, 'a', CERT_FINGERPRINT_SIZE - 1);
	world_open_agent(w, "", NULL);
	world_run_until(w, is_over);
	assert_int_equal(w->relay[0].n_ever, 0);
	assert_int_equal(w->code, EXIT_CREDENTIALS);
	(void)snprintf(
		want, sizeof want, "CA fingerprint expected %s, seen %s", strrchr(w->token, '.') + 1, w->fingerprint);
	assert_string_equal(w->why, want);
}

static bool met_a_stranger(struct world *w)
{
	return says(w, "\"state\":\"waiting\"") && says(w, "\"last_error\":\"CA fingerprint expected ");
}

/* Another CA where the right one was before: somebody is in between, and will not be for ever. */
static void test_another_ca_later(void **state)
{
	struct world *w = *state, *other;
	struct tls_ctx *right = w->tls;
	void *its = NULL;

	world_open_agent(w, "", NULL);
	world_run_until(w, both_links);
	assert_int_equal(world_set_up(&its), 0);
	other = its;
	test_relay_crash(&w->relay[0]);
	w->tls = other->tls;
	test_relay_open(&w->relay[0], w);
	world_run_until(w, met_a_stranger);
	assert_false(w->over);
	test_relay_crash(&w->relay[0]);
	w->tls = right;
	test_relay_open(&w->relay[0], w);
	world_run_until(w, both_links);
	assert_int_equal(world_tear_down(&its), 0);
}

static void test_refused_for_good(void **state)
{
	struct world *w = *state;

	w->relay[0].refuse = (struct frame_end){ .code = ERR_AUTHENTICATION_FAILED, .reason = "no such client" };
	world_open_agent(w, "", NULL);
	world_run_until(w, is_over);
	assert_int_equal(w->code, EXIT_CREDENTIALS);
	assert_string_equal(w->why, "no such client");
	assert_int_equal(w->relay[0].n_ever, 1);
}

static void test_taken_over(void **state)
{
	struct world *w = *state;

	w->relay[0].refuse = (struct frame_end){ .code = ERR_CONFLICT, .reason = "a later one is here" };
	world_open_agent(w, "", NULL);
	world_run_until(w, is_over);
	assert_int_equal(w->code, EXIT_CONFLICT);
}

static bool asked_thrice(struct world *w)
{
	return w->relay[0].n_ever >= 3;
}

static void test_refused_for_now(void **state)
{
	struct world *w = *state;

	w->relay[0].refuse = (struct frame_end){ .code = ERR_OVERLOADED, .retry_ms = 20, .reason = "later" };
	world_open_agent(w, "", NULL);
	world_run_until(w, asked_thrice);
	assert_false(w->over);
	w->relay[0].refuse.code = 0;
	world_run_until(w, both_links);
}

static bool one_refused_one_serves(struct world *w)
{
	return w->relay[1].n_now == 2 && says(w, "\"state\":\"refused\"");
}

/* One refuses for good, the other serves: the agent stays. */
static void test_one_of_two_refuses(void **state)
{
	struct world *w = *state;
	char relays[100];

	w->relay[0].refuse = (struct frame_end){ .code = ERR_FORBIDDEN, .reason = "not here" };
	str_fmt(relays, sizeof relays, "127.0.0.1:%u,localhost:%u", w->relay[0].port, w->relay[1].port);
	world_open_agent(w, relays, NULL);
	world_run_until(w, one_refused_one_serves);
	assert_false(w->over);
}

/* ---- losing and coming back --------------------------------------------------------------------------------------- */

static void test_comes_back(void **state)
{
	struct world *w = *state;
	struct target echo;

	target_open(&echo, TARGET_ECHO);
	world_open_agent(w, "", NULL);
	world_run_until(w, both_links);
	one = (struct client){ .want = 1000 };
	client_open(&one, test_relay_link(&w->relay[0]), FRAME_TCP, "127.0.0.1", echo.port);
	world_run_until(w, one_echoed);
	test_relay_crash(&w->relay[0]);
	world_run_until(w, no_sessions);
	target_close(&echo);
	assert_int_equal(echo.ended_by, ECONNRESET);
	test_relay_open(&w->relay[0], w);
	world_run_until(w, both_links);
}

static bool eight_links(struct world *w)
{
	return w->relay[0].n_now == 8;
}

/* Milliseconds until the last of those that wait is dialled. */
static unsigned long longest_wait(struct world *w)
{
	static const char key[] = "\"dials_in_ms\":";
	unsigned long most = 0;
	struct buf b;

	buf_init(&b, 1 << 20);
	agent_print(w->agent, &b);
	for (const char *p = buf_cstr(&b); (p = strstr(p, key)) != NULL; p += strlen(key))
		most = MAX(most, strtoul(p + strlen(key), NULL, 10));
	buf_free(&b);
	return most;
}

/* Links that are lost with their relay are one failure, and make nobody wait as after eight. */
static void test_lost_together(void **state)
{
	struct world *w = *state;

	w->relay[0].wants = 8;
	world_open_agent(w, "", NULL);
	world_run_until(w, eight_links);
	test_relay_crash(&w->relay[0]);
	world_run_until(w, no_links);
	assert_in_range(longest_wait(w), 0, 500);
	test_relay_open(&w->relay[0], w);
	world_run_until(w, eight_links);
}

/* The relay sends it away: a new link comes at once, the old one lives as long as its stream. */
static void test_goaway(void **state)
{
	struct world *w = *state;
	struct frame_end away = { .code = ERR_UNAVAILABLE, .retry_ms = 1, .reason = "restarting" };
	struct target echo;
	struct relay_link *l;

	target_open(&echo, TARGET_ECHO);
	w->relay[0].wants = 1;
	world_open_agent(w, "", NULL);
	world_run_until(w, one_link);
	l = test_relay_link(&w->relay[0]);
	one = (struct client){ .want = 1000 };
	client_open(&one, l, FRAME_TCP, "127.0.0.1", echo.port);
	world_run_until(w, one_echoed);
	frame_end_put(&l->link.mux.out, FRAME_GOAWAY, 0, &away);
	tunnel_link_flush(&l->link);
	world_run_until(w, both_links);
	one.finish = true;
	one.want += 500;
	client_write(&one);
	world_run_until(w, one_link);
	assert_true(one.ended);
	assert_int_equal(one.got, 1500);
	stream_close(&one.stream, 0, "");
	target_close(&echo);
}

/* ---- streams ------------------------------------------------------------------------------------------------------ */

static void start(struct world *w, const char *const *more)
{
	world_open_agent(w, "", more);
	world_run_until(w, both_links);
}

/* Bytes before the target is connected, half-close both ways, everything counted and gone. */
static void exchange(struct world *w, const char *host, size_t bytes)
{
	struct target echo;
	char counted[100];

	target_open(&echo, TARGET_ECHO);
	one = (struct client){ .want = bytes, .finish = true };
	client_open(&one, test_relay_link(&w->relay[0]), FRAME_TCP, host, echo.port);
	world_run_until(w, one_ended);
	assert_true(one.opened);
	stream_close(&one.stream, 0, "");
	world_run_until(w, no_sessions);
	target_close(&echo);
	assert_int_equal(echo.ended_by, 0);
	str_fmt(counted, sizeof counted, "\"bytes_in\":%zu,\"bytes_out\":%zu,", bytes, bytes);
	assert_true(says(w, counted));
}

static void test_small_exchange(void **state)
{
	start(*state, NULL);
	exchange(*state, "127.0.0.1", 700);
}

static void test_empty_exchange(void **state)
{
	start(*state, NULL);
	exchange(*state, "127.0.0.1", 0);
}

static void test_large_exchange(void **state)
{
	start(*state, NULL);
	exchange(*state, "localhost", 8 << 20);
}

static void test_target_resets(void **state)
{
	struct world *w = *state;
	struct target t;

	target_open(&t, TARGET_RESET);
	start(w, NULL);
	one = (struct client){ .want = 10 };
	client_open(&one, test_relay_link(&w->relay[0]), FRAME_TCP, "127.0.0.1", t.port);
	world_run_until(w, one_over);
	assert_int_equal(one.code, ERR_UNAVAILABLE);
	world_run_until(w, no_sessions);
	target_close(&t);
}

static void test_relay_resets(void **state)
{
	struct world *w = *state;
	struct target echo;

	target_open(&echo, TARGET_ECHO);
	start(w, NULL);
	one = (struct client){ .want = 10 };
	client_open(&one, test_relay_link(&w->relay[0]), FRAME_TCP, "127.0.0.1", echo.port);
	world_run_until(w, one_echoed);
	stream_close(&one.stream, ERR_UNAVAILABLE, "the client is gone");
	world_run_until(w, no_sessions);
	target_close(&echo);
	assert_int_equal(echo.ended_by, ECONNRESET);
}

static void ends_with(struct world *w, const char *host, uint16_t port, int code)
{
	one = (struct client){ .want = 100 };
	client_open(&one, test_relay_link(&w->relay[0]), FRAME_TCP, host, port);
	world_run_until(w, one_over);
	assert_int_equal(one.code, code);
	world_run_until(w, no_sessions);
}

static void test_says_why_not(void **state)
{
	static const char *const more[] = { "allow=127.0.0.0/8:1024-65535", NULL };
	struct world *w = *state;
	uint16_t closed_port = world_free_port();

	start(w, more);
	ends_with(w, "127.0.0.1", 80, ERR_DENIED_TARGET);
	ends_with(w, "192.0.2.1", 8080, ERR_DENIED_TARGET);
	ends_with(w, "localhost", 80, ERR_DENIED_TARGET);
	ends_with(w, "127.0.0.1", closed_port, ERR_TARGET_REFUSED);
	assert_true(says(w, "\"refused_not_allowed\":3"));
	assert_true(says(w, "\"target_not_reached\":1"));
}

static void test_limit(void **state)
{
	static const char *const more[] = { "limits.streams=1", NULL };
	struct world *w = *state;
	struct target echo;
	static struct client first;

	target_open(&echo, TARGET_ECHO);
	start(w, more);
	first = (struct client){ .want = 0 };
	client_open(&first, test_relay_link(&w->relay[0]), FRAME_TCP, "127.0.0.1", echo.port);
	one = (struct client){ .want = 1 };
	client_open(&one, test_relay_link(&w->relay[0]), FRAME_TCP, "127.0.0.1", echo.port);
	world_run_until(w, one_over);
	assert_int_equal(one.code, ERR_OVERLOADED);
	stream_close(&first.stream, 0, "");
	world_run_until(w, no_sessions);
	target_close(&echo);
}

/* ---- through a proxy ---------------------------------------------------------------------------------------------- */

static struct {
	int fd;
	uint16_t port;
	pthread_t thread;
	const char *answer; /* to CONNECT */
	char asked[512];    /* the head of the last request */
} proxy;

/* Bytes both ways until either end is there; one connection at a time is enough. */
static void carry(int a, int b)
{
	fd_set set;
	char bytes[16384];

	for (;;) {
		ssize_t n;
		int from;

		FD_ZERO(&set);
		FD_SET(a, &set);
		FD_SET(b, &set);
		if (select(MAX(a, b) + 1, &set, NULL, NULL, NULL) < 0)
			return;
		from = FD_ISSET(a, &set) ? a : b;
		n = recv(from, bytes, sizeof bytes, 0);
		if (n <= 0 || send(from == a ? b : a, bytes, (size_t)n, MSG_NOSIGNAL) != n)
			return;
	}
}

static void *work_proxy(void *arg)
{
	int fd;

	(void)arg;
	while ((fd = accept(proxy.fd, NULL, NULL)) >= 0) {
		struct addr to;
		char where[64];
		int out;
		ssize_t n = recv(fd, proxy.asked, sizeof proxy.asked - 1, 0);

		proxy.asked[MAX(n, 0)] = '\0';
		(void)!send(fd, proxy.answer, strlen(proxy.answer), MSG_NOSIGNAL);
		if (strstr(proxy.answer, " 200 ") != NULL && sscanf(proxy.asked, "CONNECT %63s", where) == 1 &&
			addr_parse(&to, where) == 0) {
			out = socket(AF_INET, SOCK_STREAM, 0);
			if (connect(out, &to.sa, to.len) == 0)
				carry(fd, out);
			close(out);
		}
		close(fd);
	}
	return NULL;
}

static void proxy_open(const char *answer)
{
	proxy.answer = answer;
	proxy.fd = world_listen(SOCK_STREAM, 0, &proxy.port);
	pthread_create(&proxy.thread, NULL, work_proxy, NULL);
}

static void proxy_close(struct world *w)
{
	agent_free(w->agent);
	w->agent = NULL;
	shutdown(proxy.fd, SHUT_RDWR);
	pthread_join(proxy.thread, NULL);
	close(proxy.fd);
}

static void through_proxy(struct world *w)
{
	char setting[64];
	const char *const more[] = { setting, NULL };

	w->relay[0].wants = 1;
	str_fmt(setting, sizeof setting, "proxy=http://me:secret@127.0.0.1:%u", proxy.port);
	world_open_agent(w, "", more);
}

static void test_proxy(void **state)
{
	struct world *w = *state;
	char want[64];

	proxy_open("HTTP/1.1 200 OK\r\nVia: test\r\n\r\n");
	through_proxy(w);
	world_run_until(w, one_link);
	exchange(w, "127.0.0.1", 100000);
	proxy_close(w);
	str_fmt(want, sizeof want, "CONNECT 127.0.0.1:%u HTTP/1.1\r\n", w->relay[0].port);
	assert_non_null(strstr(proxy.asked, want));
	assert_non_null(strstr(proxy.asked, "Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"));
}

static bool proxy_refused(struct world *w)
{
	return says(w, "the proxy refuses: HTTP/1.1 403 Forbidden");
}

static void test_proxy_refuses(void **state)
{
	struct world *w = *state;

	proxy_open("HTTP/1.1 403 Forbidden\r\n\r\n");
	through_proxy(w);
	world_run_until(w, proxy_refused);
	proxy_close(w);
	assert_int_equal(w->relay[0].n_ever, 0);
}

/* ---- UDP ---------------------------------------------------------------------------------------------------------- */

static struct {
	struct client c;
	unsigned got;
	size_t last;
} udp;

static void on_datagram(struct stream *s, uint32_t events)
{
	struct iovec *d;
	unsigned n;

	if (events & EPOLLERR) {
		udp.c.over = true;
		udp.c.code = s->code;
	} else if (events & EPOLLIN) {
		n = stream_datagrams(s, &d);
		udp.last = d[n - 1].iov_len;
		udp.got += n;
	}
}

static bool three_datagrams(struct world *w)
{
	(void)w;
	return udp.got == 3;
}

static bool udp_over(struct world *w)
{
	(void)w;
	return udp.c.over;
}

/* The first come before the name is resolved; one is empty. */
static void test_udp(void **state)
{
	static const char *const more[] = { "udp_idle_timeout=5s", NULL };
	struct world *w = *state;
	struct frame_open o = { .kind = FRAME_UDP, .mapping = "map_1", .host = "localhost" };
	struct target echo;

	target_open(&echo, TARGET_UDP);
	start(w, more);
	o.port = echo.port;
	memset(&udp, 0, sizeof udp);
	assert_int_equal(
		stream_open(&udp.c.stream, &test_relay_link(&w->relay[0])->link.mux, &o, on_datagram, NULL), 0);
	assert_true(stream_datagram(&udp.c.stream, (const uint8_t *)"abc", 3));
	assert_true(stream_datagram(&udp.c.stream, (const uint8_t *)"", 0));
	assert_true(stream_datagram(&udp.c.stream, (const uint8_t *)"defgh", 5));
	world_run_until(w, three_datagrams);
	assert_int_equal(udp.last, 5);
	assert_true(says(w, "\"datagrams_in\":3,\"datagrams_out\":3,\"datagrams_dropped\":0"));
	world_run_until(w, udp_over); /* it is silent */
	assert_int_equal(udp.c.code, ERR_TIMEOUT);
	world_run_until(w, no_sessions);
	target_close(&echo);
}

/* ---- leaving and reloading ---------------------------------------------------------------------------------------- */

static void test_drain(void **state)
{
	struct world *w = *state;
	struct target echo;
	struct relay_link *l;
	static struct client late;

	target_open(&echo, TARGET_ECHO);
	start(w, NULL);
	l = test_relay_link(&w->relay[0]);
	one = (struct client){ .want = 100 };
	client_open(&one, l, FRAME_TCP, "127.0.0.1", echo.port);
	world_run_until(w, one_echoed);
	agent_drain(w->agent);
	late = (struct client){ .want = 1 };
	client_open(&late, l, FRAME_TCP, "127.0.0.1", echo.port); /* it crosses the agent's word */
	world_run_until(w, one_link);
	assert_false(w->over);
	assert_true(l->goaway);
	one.want = 300;
	one.finish = true;
	client_write(&one);
	world_run_until(w, is_over);
	assert_int_equal(w->code, EXIT_DONE);
	assert_int_equal(one.got, 300);
	assert_true(one.ended);
	assert_true(late.over);
	assert_int_equal(late.code, ERR_UNAVAILABLE);
	stream_close(&one.stream, 0, "");
	target_close(&echo);
}

static void test_stop(void **state)
{
	struct world *w = *state;
	struct target echo;

	target_open(&echo, TARGET_ECHO);
	start(w, NULL);
	one = (struct client){ .want = 100 };
	client_open(&one, test_relay_link(&w->relay[0]), FRAME_TCP, "127.0.0.1", echo.port);
	world_run_until(w, one_echoed);
	agent_stop(w->agent);
	world_run_until(w, is_over);
	world_run_until(w, no_links);
	assert_true(one.over);
	target_close(&echo);
}

static void reload(struct world *w, const char *relays, const char *const *more)
{
	struct settings s;
	struct err e;

	assert_int_equal(world_settings(w, &s, relays, more), 0);
	if (agent_reload(w->agent, &s, &e) != 0)
		fail_msg("%s", e.msg);
}

/* A relay is added, and taken away; the links to the other one are the same all the time. */
static void test_reload_relays(void **state)
{
	struct world *w = *state;
	char both[100];

	start(w, NULL);
	str_fmt(both, sizeof both, "127.0.0.1:%u,127.0.0.1:%u", w->relay[0].port, w->relay[1].port);
	reload(w, both, NULL);
	world_run_until(w, both_relays);
	reload(w, "", NULL);
	world_run_until(w, first_relay_only);
	assert_int_equal(w->relay[0].n_ever, 2);
}

/* While it is still connecting: it must not get through with what the list said before. */
static void test_reload_allow_meanwhile(void **state)
{
	static const char *const none[] = { "allow=10.0.0.0/8", NULL };
	struct world *w = *state;
	struct target echo;

	target_open(&echo, TARGET_ECHO);
	start(w, NULL);
	one = (struct client){ .want = 100 };
	client_open(&one, test_relay_link(&w->relay[0]), FRAME_TCP, "localhost", echo.port);
	world_run_until(w, one_session);
	reload(w, "", none);
	world_run_until(w, one_over);
	assert_int_equal(one.code, ERR_DENIED_TARGET);
	target_close(&echo);
}

static void test_reload_allow(void **state)
{
	static const char *const none[] = { "allow=10.0.0.0/8", NULL };
	struct world *w = *state;
	struct target echo;

	target_open(&echo, TARGET_ECHO);
	start(w, NULL);
	one = (struct client){ .want = 100 };
	client_open(&one, test_relay_link(&w->relay[0]), FRAME_TCP, "127.0.0.1", echo.port);
	world_run_until(w, one_echoed);
	reload(w, "", NULL); /* the same: nothing is touched */
	one.want = 200;
	client_write(&one);
	world_run_until(w, one_echoed);
	reload(w, "", none);
	world_run_until(w, one_over);
	assert_int_equal(one.code, ERR_DENIED_TARGET);
	assert_int_equal(w->relay[0].n_ever, 2);
	target_close(&echo);
}

#define world_test(f) cmocka_unit_test_setup_teardown(f, world_set_up, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(test_links),
		world_test(test_epoch_rises),
		world_test(test_only_one_runs),
		world_test(test_wrong_ca),
		world_test(test_another_ca_later),
		world_test(test_refused_for_good),
		world_test(test_taken_over),
		world_test(test_refused_for_now),
		world_test(test_one_of_two_refuses),
		world_test(test_comes_back),
		world_test(test_lost_together),
		world_test(test_goaway),
		world_test(test_small_exchange),
		world_test(test_empty_exchange),
		world_test(test_large_exchange),
		world_test(test_target_resets),
		world_test(test_relay_resets),
		world_test(test_says_why_not),
		world_test(test_limit),
		world_test(test_proxy),
		world_test(test_proxy_refuses),
		world_test(test_udp),
		world_test(test_drain),
		world_test(test_stop),
		world_test(test_reload_relays),
		world_test(test_reload_allow),
		world_test(test_reload_allow_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
