/*
 * link_server: who may come in. Each case is a process of its own that leaves by _exit: nng is not started here, and no
 * TLS socket of it is closed.
 */
#include "controld/fleet/line/link_server.h"

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

static void on_request(void *owner, struct link_request *rq)
{
	(void)owner;
	link_request_drop(rq);
}

static void on_lost(void *owner, struct link_request *rq)
{
	(void)owner;
	link_request_drop(rq);
}

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
static bool come(struct stranger *s, const char *from, uint16_t port)
{
	static const uint8_t greeting[8] = { 0, 'S', 'P', 0, 0, 0x30, 0, 0 };
	const struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	struct sockaddr_in self = { .sin_family = AF_INET };
	const struct timeval most = { 20, 0 };
	const struct tls_conf conf = { .ca_pem = pki.ca };
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
	static const struct link_server_ops ops = { on_admit, on_request, on_lost };
	struct link_server_conf conf = {
		.listen = "127.0.0.1:0",
		.cert_pem = pki.server,
		.key_pem = pki.server_key_pem,
		.ca_pem = pki.ca,
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
		EXPECT(come(&a[i], "127.0.0.1", port) || i == 2);
	EXPECT(wait_for(server, conf.mailbox, 2, 1).strangers_refused == 1);
	EXPECT(is_closed(&a[2]));
	for (int i = 0; i < 3; i++) /* another address has a share of its own */
		EXPECT(come(&b[i], "127.0.0.2", port) || i == 2);
	EXPECT(wait_for(server, conf.mailbox, 4, 2).strangers_refused == 2);
	leave(&a[0]); /* and gives it back */
	wait_for(server, conf.mailbox, 3, 2);
	EXPECT(come(&a[0], "127.0.0.1", port));
	EXPECT(wait_for(server, conf.mailbox, 4, 2).strangers_refused == 2);
	_exit(0);
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
	const struct CMUnitTest tests[] = { cmocka_unit_test(strangers_of_one_address_have_a_share) };

	return cmocka_run_group_tests(tests, build, tear_down);
}
