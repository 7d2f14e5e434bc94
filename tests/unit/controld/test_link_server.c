/*
 * link_server: who may come in. Each case is a process of its own that leaves by _exit: nng is not started here, and no
 * TLS socket of it is closed.
 */
#include "controld/fleet/line/link_server.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "controld/fleet/line/mailbox.h"
#include "tests/unit/common/pki.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct pki pki;

#define EXPECT(cond)                                                  \
	do {                                                          \
		if (!(cond)) {                                        \
			dprintf(2, "line %d: %s\n", __LINE__, #cond); \
			_exit(1);                                     \
		}                                                     \
	} while (0)

static bool on_admit(void *owner, const struct cert_info *cert)
{
	(void)owner;
	(void)cert;
	return true;
}

/* Requests that came and are not answered yet, and how many lost their connection. */
static struct {
	struct link_request *all[200];
	size_t n, lost;
} held;

static void on_request(void *owner, struct link_request *rq)
{
	(void)owner;
	EXPECT(held.n < ARRAY_LEN(held.all));
	held.all[held.n++] = rq;
}

static void on_lost(void *owner, struct link_request *rq)
{
	size_t i = 0;

	(void)owner;
	while (i < held.n && held.all[i] != rq)
		i++;
	EXPECT(i < held.n); /* each is lost once, and only while it is open */
	held.all[i] = held.all[--held.n];
	held.lost++;
	link_request_drop(rq);
}

static const struct link_server_ops ops = { on_admit, on_request, on_lost };

/* ---- a stranger ---------------------------------------------------------------------------------------------------- */
struct stranger {
	int fd;
	struct tls_session *session;
};

static ssize_t fd_send(void *arg, const void *p, size_t n)
{
	const ssize_t put = send(*(const int *)arg, p, n, MSG_NOSIGNAL);

	return put >= 0 ? put : TLS_FAILED;
}

static ssize_t fd_recv(void *arg, void *p, size_t n)
{
	const ssize_t got = recv(*(const int *)arg, p, n, 0);

	return got > 0 ? got : got == 0 ? TLS_CLOSED : TLS_FAILED;
}

/* Finishes TLS, greets and says nothing more; true when the server greeted back, false when it closed. */
static bool come(struct stranger *s, const char *from, uint16_t port, bool is_node)
{
	static const uint8_t greeting[8] = { 0, 'S', 'P', 0, 0, 0x30, 0, 0 };
	const struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	struct sockaddr_in self = { .sin_family = AF_INET };
	const struct timeval most = { 20, 0 };
	const struct tls_conf conf = { .ca_pem = pki.ca,
		.cert_pem = is_node ? pki.client : NULL,
		.key_pem = is_node ? pki.client_key_pem : NULL };
	struct tls_ctx *ctx;
	uint8_t got[8];

	inet_pton(AF_INET, from, &self.sin_addr);
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	EXPECT(s->fd >= 0 && bind(s->fd, (const struct sockaddr *)&self, sizeof self) == 0);
	EXPECT(connect(s->fd, (const struct sockaddr *)&to, sizeof to) == 0);
	EXPECT(setsockopt(s->fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most) == 0);
	EXPECT(tls_ctx_new(&ctx, &conf, NULL) == 0);
	EXPECT(tls_session_new(&s->session, ctx, &(struct tls_io){ fd_send, fd_recv, &s->fd }, NULL) == 0);
	EXPECT(tls_session_handshake(s->session) == 0);
	EXPECT(tls_session_write(s->session, greeting, sizeof greeting) == sizeof greeting);
	return tls_session_read(s->session, got, sizeof got) == sizeof got;
}

static void leave(struct stranger *s)
{
	close(s->fd);
	tls_session_free(s->session);
}

/* A pipe is judged after the greetings, so who is refused is greeted first and closed then. */
static bool is_closed(struct stranger *s)
{
	uint8_t byte;

	return tls_session_read(s->session, &byte, 1) == TLS_CLOSED;
}

static struct link_server_stats wait_for(
	struct link_server *server, struct mailbox *mailbox, size_t strangers, uint64_t refused)
{
	const uint64_t give_up_ms = clock_mono_ms() + 20000;
	struct link_server_stats st;

	for (;;) {
		mailbox_wait(mailbox, clock_mono_ms() + 5);
		link_server_stats(server, &st);
		if (st.strangers == strangers && st.refused == refused)
			return st;
		EXPECT(clock_mono_ms() < give_up_ms);
	}
}

/* ---- shares -------------------------------------------------------------------------------------------------------- */
static void run_shares(void)
{
	struct link_server_conf conf = {
		.listen = "127.0.0.1:0",
		.certs = { pki.server, pki.server_key_pem, pki.ca },
		.contexts_max = 64,
		.peers_max = 64,
		.handshakes_max = 64,
		.strangers_max = 5,
		.strangers_per_source = 1,
		.strangers_here = 2,
		.stranger_ms = 60000,
		.ops = &ops,
	};
	struct stranger a[3], b[3];
	struct link_server *server;
	uint16_t port;
	struct err e;

	EXPECT(mailbox_new(&conf.mailbox, &e) == 0);
	EXPECT(link_server_open(&server, &conf, &e) == 0);
	port = link_server_port(server);
	for (int i = 0; i < 3; i++)
		EXPECT(come(&a[i], "127.0.0.1", port, false) || i == 2);
	EXPECT(wait_for(server, conf.mailbox, 2, 1).strangers_refused == 1);
	EXPECT(is_closed(&a[2]));
	for (int i = 0; i < 3; i++) /* another address has a share of its own */
		EXPECT(come(&b[i], "127.0.0.2", port, false) || i == 2);
	EXPECT(wait_for(server, conf.mailbox, 4, 2).strangers_refused == 2);
	leave(&a[0]); /* and gives it back */
	wait_for(server, conf.mailbox, 3, 2);
	EXPECT(come(&a[0], "127.0.0.1", port, false));
	EXPECT(wait_for(server, conf.mailbox, 4, 2).strangers_refused == 2);
	_exit(0);
}

/* ---- many requests at once ---------------------------------------------------------------------------------------- */
#define CROWD 150 /* more than the contexts of the start */

/* A request whose body is its number; the answer must be of that number. */
static void ask(struct stranger *s, uint8_t number)
{
	const uint8_t m[] = { 0, 0, 0, 0, 0, 0, 0, 5, 0x80, 0, 0, number, number };

	EXPECT(tls_session_write(s->session, m, sizeof m) == sizeof m);
}

static void expect_answer(struct stranger *s, uint8_t number)
{
	const uint8_t want[] = { 0, 0, 0, 0, 0, 0, 0, 5, 0x80, 0, 0, number, number };
	uint8_t m[sizeof want];
	size_t got = 0;

	while (got < sizeof m) {
		const ssize_t more = tls_session_read(s->session, m + got, sizeof m - got);

		EXPECT(more > 0);
		got += (size_t)more;
	}
	EXPECT(memcmp(m, want, sizeof want) == 0);
}

static void wait_held(struct mailbox *mailbox, size_t n, size_t lost)
{
	const uint64_t give_up_ms = clock_mono_ms() + 60000;

	while (held.n != n || held.lost != lost) {
		EXPECT(clock_mono_ms() < give_up_ms);
		mailbox_wait(mailbox, clock_mono_ms() + 5);
	}
}

static void answer_all(void)
{
	while (held.n > 0) {
		struct link_request *rq = held.all[--held.n];
		size_t n;
		const void *p = link_request_bytes(rq, &n);
		struct buf b;

		EXPECT(n == 1);
		buf_init(&b, 64);
		buf_put(&b, p, n);
		link_request_reply(rq, &b);
		buf_free(&b);
	}
}

/*
 * Every request of a crowd arrives, also those that came before there was a context for them; every one is answered on its
 * own connection, or said to be lost when that is gone; those that stay lose nothing by it.
 */
static void run_crowd(void)
{
	static struct stranger all[CROWD];
	struct link_server_conf conf = {
		.listen = "127.0.0.1:0",
		.certs = { pki.server, pki.server_key_pem, pki.ca },
		.contexts_max = 2 * CROWD,
		.peers_max = 2 * CROWD,
		.handshakes_max = 2 * CROWD,
		.ops = &ops,
	};
	struct link_server_stats st;
	struct link_server *server;
	struct err e;

	EXPECT(mailbox_new(&conf.mailbox, &e) == 0);
	EXPECT(link_server_open(&server, &conf, &e) == 0);
	for (int i = 0; i < CROWD; i++)
		EXPECT(come(&all[i], "127.0.0.1", link_server_port(server), true));
	for (int i = 0; i < CROWD; i++) /* the mailbox sleeps: what has no context waits unread */
		ask(&all[i], (uint8_t)i);
	wait_held(conf.mailbox, CROWD, 0);
	for (int i = 0; i < CROWD; i += 2)
		leave(&all[i]);
	wait_held(conf.mailbox, CROWD / 2, CROWD / 2);
	answer_all();
	for (int i = 1; i < CROWD; i += 2)
		expect_answer(&all[i], (uint8_t)i);
	for (int round = 0; round < 3; round++) { /* and the contexts serve again */
		for (int i = 1; i < CROWD; i += 2)
			ask(&all[i], (uint8_t)(i + round));
		wait_held(conf.mailbox, CROWD / 2, CROWD / 2);
		answer_all();
		for (int i = 1; i < CROWD; i += 2)
			expect_answer(&all[i], (uint8_t)(i + round));
	}
	link_server_stats(server, &st);
	EXPECT(st.expelled == 0 && st.refused == 0);
	_exit(0);
}

static void a_crowd_loses_no_request(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0)
		run_crowd();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* ---- the end ------------------------------------------------------------------------------------------------------ */

/* Peers in every stage, one of them amid its handshake: the close ends in time, whatever nng makes of it. */
static void run_close(void)
{
	struct stranger node, stranger;
	struct link_server_conf conf = {
		.listen = "127.0.0.1:0",
		.certs = { pki.server, pki.server_key_pem, pki.ca },
		.contexts_max = 64,
		.peers_max = 64,
		.handshakes_max = 64,
		.strangers_max = 8,
		.strangers_here = 8,
		.ops = &ops,
	};
	struct link_server *server;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const uint64_t began_ms = clock_mono_ms();
	struct err e;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	EXPECT(mailbox_new(&conf.mailbox, &e) == 0);
	EXPECT(link_server_open(&server, &conf, &e) == 0);
	to.sin_port = htons(link_server_port(server));
	EXPECT(come(&node, "127.0.0.1", link_server_port(server), true));
	EXPECT(come(&stranger, "127.0.0.1", link_server_port(server), false));
	EXPECT(connect(fd, (const struct sockaddr *)&to, sizeof to) == 0);
	EXPECT(write(fd, "\x16\x03\x01", 3) == 3);
	(void)link_server_close(server);
	EXPECT(clock_mono_ms() - began_ms < 60000);
	_exit(0);
}

static void closing_ends(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		pid_t pid = fork();
		int status;

		if (pid == 0)
			run_close();
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
}

static void strangers_of_one_address_have_a_share(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0)
		run_shares();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int build(void **state)
{
	(void)state;
	pki_init(&pki);
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
		cmocka_unit_test(strangers_of_one_address_have_a_share),
		cmocka_unit_test(a_crowd_loses_no_request),
		cmocka_unit_test(closing_ends),
	};

	return cmocka_run_group_tests(tests, build, tear_down);
}
