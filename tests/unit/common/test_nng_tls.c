#include "common/nng/nng_tls.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/nng/nng_handshakes.h"
#include "tests/unit/common/pki.h"

#include <arpa/inet.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <nng/supplemental/tls/tls.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * Each case is a process of its own that ends with _exit: nng must not be closed while a TLS socket still connects,
 * and a refused client is always still connecting. No nng is started in the test's own process.
 */
static struct pki pki;

struct link_case {
	const char *what;
	char **client_cert; /* NULL: shows none */
	char **client_ca;   /* NULL: pins our CA's fingerprint */
	bool bad_pin;
	const char *name;
	enum tls_peer peer;
	const char *accept; /* CN that the listener lets in; NULL: all */
	bool up;
	const char *cn; /* the listener reads; NULL: none */
};

static const struct link_case link_cases[] = {
	{ "mutual", &pki.client, &pki.ca, false, "localhost", TLS_PEER_REQUIRED, NULL, true, "node_1" },
	{ "no name wanted", &pki.client, &pki.ca, false, NULL, TLS_PEER_REQUIRED, NULL, true, "node_1" },
	{ "other name", &pki.client, &pki.ca, false, "example.org", TLS_PEER_REQUIRED, NULL, false, NULL },
	{ "server of another CA", &pki.client, &pki.rogue_ca, false, NULL, TLS_PEER_REQUIRED, NULL, false, NULL },
	{ "client of another CA", &pki.client_rogue, &pki.ca, false, NULL, TLS_PEER_OPTIONAL, NULL, false, NULL },
	{ "no certificate, required", NULL, &pki.ca, false, NULL, TLS_PEER_REQUIRED, NULL, false, NULL },
	{ "no certificate, optional", NULL, &pki.ca, false, NULL, TLS_PEER_OPTIONAL, NULL, true, NULL },
	{ "pin", NULL, NULL, false, NULL, TLS_PEER_OPTIONAL, NULL, true, NULL },
	{ "wrong pin", NULL, NULL, true, NULL, TLS_PEER_OPTIONAL, NULL, false, NULL },
	{ "let in by name", &pki.client, &pki.ca, false, NULL, TLS_PEER_REQUIRED, "node_1", true, "node_1" },
	{ "revoked", &pki.client, &pki.ca, false, NULL, TLS_PEER_REQUIRED, "node_2", false, NULL },
};

/* Each says at which line a child left. */
#define EXPECT(cond)                                                  \
	do {                                                          \
		if (!(cond)) {                                        \
			dprintf(2, "line %d: %s\n", __LINE__, #cond); \
			_exit(1);                                     \
		}                                                     \
	} while (0)

static bool on_accept(const struct cert_info *peer, void *arg)
{
	return strcmp(peer->cn, arg) == 0;
}

/* What the pipe callback read: it runs before the first message. */
static char seen_cn[CERT_NAME_MAX];

static void on_pipe(nng_pipe pipe, nng_pipe_ev ev, void *arg)
{
	struct cert_info peer;

	(void)arg;
	if (ev == NNG_PIPE_EV_ADD_PRE && nng_tls_peer(pipe, &peer) == 0)
		memcpy(seen_cn, peer.cn, sizeof seen_cn);
}

static int serve(nng_socket *rep, const struct link_case *t)
{
	const struct tls_conf conf = { .server = true,
		.cert_pem = pki.server,
		.key_pem = pki.server_key_pem,
		.ca_pem = pki.ca,
		.peer = t->peer,
		.accept_peer = t->accept != NULL ? on_accept : NULL,
		.arg = (void *)(uintptr_t)t->accept };
	nng_listener listener;
	nng_sockaddr at;

	EXPECT(nng_rep0_open(rep) == 0);
	EXPECT(nng_pipe_notify(*rep, NNG_PIPE_EV_ADD_PRE, on_pipe, NULL) == 0);
	EXPECT(nng_listener_create(&listener, *rep, "tls+tcp://127.0.0.1:0") == 0);
	EXPECT(nng_tls_set_listener(listener, &conf, NULL) == 0);
	EXPECT(nng_listener_start(listener, 0) == 0);
	EXPECT(nng_listener_get_addr(listener, NNG_OPT_LOCADDR, &at) == 0);
	return ntohs(at.s_in.sa_port);
}

static int dial(nng_socket *req, const struct link_case *t, int port)
{
	const struct tls_conf conf = { .cert_pem = t->client_cert != NULL ? *t->client_cert : NULL,
		.key_pem = t->client_cert != NULL ? pki.client_key_pem : NULL,
		.ca_pem = t->client_ca != NULL ? *t->client_ca : NULL,
		.ca_fingerprint = t->client_ca != NULL ? NULL
		                  : t->bad_pin         ? pki.rogue_fingerprint
		                                       : pki.fingerprint,
		.server_name = t->name };
	nng_dialer dialer;
	char url[64];

	snprintf(url, sizeof url, "tls+tcp://127.0.0.1:%d", port);
	EXPECT(nng_req0_open(req) == 0);
	EXPECT(nng_dialer_create(&dialer, *req, url) == 0);
	EXPECT(nng_tls_set_dialer(dialer, &conf, NULL) == 0);
	return nng_dialer_start(dialer, 0); /* synchronous: the handshake and the protocol's header are done */
}

/* A question and an answer of 100 kB, and who asked. */
static void exchange(nng_socket req, nng_socket rep, const char *cn)
{
	struct cert_info peer;
	nng_msg *msg;

	EXPECT(nng_socket_set_ms(rep, NNG_OPT_RECVTIMEO, 30000) == 0);
	EXPECT(nng_socket_set_ms(req, NNG_OPT_RECVTIMEO, 30000) == 0);
	EXPECT(nng_msg_alloc(&msg, 100000) == 0);
	EXPECT(nng_sendmsg(req, msg, 0) == 0);
	EXPECT(nng_recvmsg(rep, &msg, 0) == 0);
	EXPECT(nng_msg_len(msg) == 100000);
	if (cn == NULL) {
		EXPECT(nng_tls_peer(nng_msg_get_pipe(msg), &peer) == -1);
		EXPECT(seen_cn[0] == '\0');
	} else {
		EXPECT(nng_tls_peer(nng_msg_get_pipe(msg), &peer) == 0);
		EXPECT(strcmp(peer.cn, cn) == 0);
		EXPECT(strcmp(seen_cn, cn) == 0);
	}
	EXPECT(nng_sendmsg(rep, msg, 0) == 0);
	EXPECT(nng_recvmsg(req, &msg, 0) == 0);
	EXPECT(nng_tls_peer(nng_msg_get_pipe(msg), &peer) == 0);
	EXPECT(strcmp(peer.cn, "controld") == 0);
	nng_msg_free(msg);
}

static void link_run(const struct link_case *t)
{
	nng_socket req, rep;
	int port, rv;

	EXPECT(nng_tls_register(NULL) == 0);
	EXPECT(strcmp(nng_tls_engine_name(), "portway") == 0);
	port = serve(&rep, t);
	rv = dial(&req, t, port);
	if (t->up) {
		EXPECT(rv == 0);
		exchange(req, rep, t->cn);
	} else {
		EXPECT(rv == NNG_EPEERAUTH || rv == NNG_ECRYPTO || rv == NNG_ECONNRESET || rv == NNG_ECONNSHUT ||
			rv == NNG_TLS_UNTRUSTED);
	}
	_exit(0);
}

static void links(void **state)
{
	size_t failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(link_cases); i++) {
		pid_t pid = fork();
		int status;

		if (pid == 0)
			link_run(&link_cases[i]);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (status != 0) {
			print_error("%s: status %d\n", link_cases[i].what, status);
			failed++;
		}
	}
	assert_int_equal(failed, 0);
}

/* A listener that is given other certificates: who is there stays, who comes sees the new ones and is checked by the new CA. */
static void run_changed(void)
{
	const struct link_case ours = { .client_cert = &pki.client, .client_ca = &pki.ca };
	const struct link_case rogues = { .client_cert = &pki.client_rogue, .client_ca = &pki.rogue_ca };
	struct tls_conf conf = { .server = true,
		.cert_pem = pki.server,
		.key_pem = pki.server_key_pem,
		.ca_pem = pki.ca,
		.peer = TLS_PEER_REQUIRED };
	nng_socket rep, before, after, late;
	struct nng_tls_slot *slot;
	nng_listener listener;
	nng_sockaddr at;
	int port;

	EXPECT(nng_tls_register(NULL) == 0 && nng_tls_slot_new(&slot, &conf, NULL) == 0);
	EXPECT(nng_rep0_open(&rep) == 0 && nng_pipe_notify(rep, NNG_PIPE_EV_ADD_PRE, on_pipe, NULL) == 0);
	EXPECT(nng_listener_create(&listener, rep, "tls+tcp://127.0.0.1:0") == 0);
	EXPECT(nng_tls_set_listener_slot(listener, slot, NULL) == 0 && nng_listener_start(listener, 0) == 0);
	EXPECT(nng_listener_get_addr(listener, NNG_OPT_LOCADDR, &at) == 0);
	port = ntohs(at.s_in.sa_port);
	EXPECT(dial(&before, &ours, port) == 0);
	exchange(before, rep, "node_1");
	EXPECT(dial(&after, &rogues, port) != 0);

	conf.cert_pem = pki.server_rogue;
	conf.ca_pem = pki.rogue_ca;
	EXPECT(nng_tls_slot_change(slot, &conf, NULL) == 0);
	exchange(before, rep, "node_1");
	EXPECT(dial(&after, &rogues, port) == 0);
	exchange(after, rep, "node_1");
	EXPECT(dial(&late, &ours, port) != 0);
	conf.cert_pem = "nothing";
	EXPECT(nng_tls_slot_change(slot, &conf, NULL) == -1);
	EXPECT(dial(&late, &rogues, port) == 0);
	nng_tls_slot_unref(slot);
	exchange(before, rep, "node_1");
	_exit(0);
}

static void a_listener_is_given_others(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0)
		run_changed();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static bool on_asked(const struct cert_info *peer, void *arg)
{
	atomic_uint *asked = arg;

	(void)peer;
	atomic_fetch_add(asked, 1);
	return true;
}

/* Whoever is asked whom to let in may go when the slot is shut, though handshakes still come. */
static void run_shut(void)
{
	static atomic_uint asked;
	const struct link_case ours = { .client_cert = &pki.client, .client_ca = &pki.ca };
	const struct tls_conf conf = { .server = true,
		.cert_pem = pki.server,
		.key_pem = pki.server_key_pem,
		.ca_pem = pki.ca,
		.peer = TLS_PEER_REQUIRED,
		.accept_peer = on_asked,
		.arg = &asked };
	nng_socket rep, before, late;
	struct nng_tls_slot *slot;
	nng_listener listener;
	nng_sockaddr at;

	EXPECT(nng_tls_register(NULL) == 0 && nng_tls_slot_new(&slot, &conf, NULL) == 0);
	EXPECT(nng_rep0_open(&rep) == 0 && nng_pipe_notify(rep, NNG_PIPE_EV_ADD_PRE, on_pipe, NULL) == 0);
	EXPECT(nng_listener_create(&listener, rep, "tls+tcp://127.0.0.1:0") == 0);
	EXPECT(nng_tls_set_listener_slot(listener, slot, NULL) == 0 && nng_listener_start(listener, 0) == 0);
	EXPECT(nng_listener_get_addr(listener, NNG_OPT_LOCADDR, &at) == 0);
	EXPECT(dial(&before, &ours, ntohs(at.s_in.sa_port)) == 0);
	EXPECT(atomic_load(&asked) == 1);
	nng_tls_slot_shut(slot);
	nng_tls_slot_unref(slot);
	EXPECT(dial(&late, &ours, ntohs(at.s_in.sa_port)) != 0);
	EXPECT(atomic_load(&asked) == 1);
	exchange(before, rep, "node_1");
	_exit(0);
}

static void one_that_is_shut_asks_nobody(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0)
		run_shut();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* A dialer that nobody configured must fail, not go out unchecked. */
static void run_unconfigured(void)
{
	const struct link_case open_door = { .peer = TLS_PEER_OPTIONAL };
	nng_socket req, rep;
	char url[64];

	EXPECT(nng_tls_register(NULL) == 0);
	snprintf(url, sizeof url, "tls+tcp://127.0.0.1:%d", serve(&rep, &open_door));
	EXPECT(nng_req0_open(&req) == 0);
	EXPECT(nng_dial(req, url, NULL, 0) == NNG_ECRYPTO);
	_exit(0);
}

static void an_unconfigured_dialer_fails(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0)
		run_unconfigured();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int tcp_connect(int port)
{
	const struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	const struct timeval most = { 30, 0 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	EXPECT(fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof to) == 0);
	EXPECT(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most) == 0);
	return fd;
}

/* Sheds until that many went. */
static void shed(size_t n, uint64_t older_ms, size_t most)
{
	const uint64_t give_up_ms = clock_mono_ms() + 30000;
	size_t went = 0;

	while (went < n) {
		EXPECT(clock_mono_ms() < give_up_ms);
		went += nng_handshakes_shed(clock_mono_ms() - older_ms, most);
		usleep(1000);
	}
	EXPECT(went == n);
}

/* Silent strangers are closed when they are too old or too many; whoever has shaken hands stays. */
static void run_silent(void)
{
	const struct link_case open_door = { .peer = TLS_PEER_OPTIONAL, .client_ca = &pki.ca };
	nng_socket req, rep;
	int port, fd[3];
	char byte;

	EXPECT(nng_tls_register(NULL) == 0);
	port = serve(&rep, &open_door);
	EXPECT(dial(&req, &open_door, port) == 0);
	for (size_t i = 0; i < ARRAY_LEN(fd); i++)
		fd[i] = tcp_connect(port);
	EXPECT(nng_handshakes_shed(clock_mono_ms() - 60000, ARRAY_LEN(fd)) == 0);
	shed(1, 60000, 2);
	EXPECT(recv(fd[0], &byte, 1, 0) == 0); /* the oldest */
	EXPECT(recv(fd[2], &byte, 1, MSG_DONTWAIT) == -1);
	shed(2, 0, 100);
	EXPECT(recv(fd[1], &byte, 1, 0) == 0);
	EXPECT(recv(fd[2], &byte, 1, 0) == 0);
	exchange(req, rep, NULL);
	_exit(0);
}

static void silent_strangers_are_shed(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0)
		run_silent();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

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

static void write_all(struct tls_session *s, const uint8_t *p, size_t n)
{
	while (n > 0) {
		const ssize_t put = tls_session_write(s, p, n);

		EXPECT(put > 0);
		p += put;
		n -= (size_t)put;
	}
}

/* Sends a request of n bytes by hand, lets it be answered, and reads the answer; its first record must hold `first`. */
static void ask_by_hand(struct tls_session *s, nng_socket rep, uint8_t *room, size_t n, size_t first)
{
	static const uint8_t id[4] = { 0x80, 0, 0, 7 };
	size_t got = 0;
	nng_msg *msg;

	for (int i = 0; i < 8; i++)
		room[i] = (uint8_t)((uint64_t)(n + sizeof id) >> (56 - 8 * i));
	memcpy(room + 8, id, sizeof id);
	for (size_t i = 0; i < n; i++)
		room[12 + i] = (uint8_t)(i * 31);
	write_all(s, room, 12 + n);
	EXPECT(nng_recvmsg(rep, &msg, 0) == 0);
	EXPECT(nng_msg_len(msg) == n);
	EXPECT(nng_sendmsg(rep, msg, 0) == 0);
	memset(room, 0, 12 + n);
	while (got < 12 + n) {
		const ssize_t more = tls_session_read(s, room + got, 12 + n - got);

		EXPECT(more > 0);
		EXPECT(got > 0 || (size_t)more == first);
		got += (size_t)more;
	}
	EXPECT(memcmp(room + 8, id, sizeof id) == 0);
	for (size_t i = 0; i < n; i++)
		EXPECT(room[12 + i] == (uint8_t)(i * 31));
}

/* What nng writes in three parts leaves in one record, as far as one holds it. */
static void run_parts(void)
{
	static const uint8_t greeting[8] = { 0, 'S', 'P', 0, 0, 0x30, 0, 0 };
	static const size_t sizes[] = { 1, 100, 16371, 16372, 16373, 40000, 500000, 2, 0, 3 };
	const struct link_case open_door = { .peer = TLS_PEER_OPTIONAL };
	const struct tls_conf conf = { .ca_pem = pki.ca };
	uint8_t *room = malloc(12 + 500000);
	struct tls_session *s;
	struct tls_ctx *ctx;
	nng_socket rep;
	int fd;

	EXPECT(room != NULL && nng_tls_register(NULL) == 0);
	fd = tcp_connect(serve(&rep, &open_door));
	EXPECT(nng_socket_set_ms(rep, NNG_OPT_RECVTIMEO, 30000) == 0);
	EXPECT(tls_ctx_new(&ctx, &conf, NULL) == 0);
	EXPECT(tls_session_new(&s, ctx, &(struct tls_io){ fd_send, fd_recv, &fd }, NULL) == 0);
	EXPECT(tls_session_handshake(s) == 0);
	write_all(s, greeting, sizeof greeting);
	for (size_t got = 0; got < sizeof greeting;) {
		const ssize_t more = tls_session_read(s, room, sizeof greeting - got);

		EXPECT(more > 0);
		got += (size_t)more;
	}
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		ask_by_hand(s, rep, room, sizes[i], MIN(12 + sizes[i], 16384));
	_exit(0);
}

static void a_message_is_not_sent_in_parts(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0)
		run_parts();
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
		cmocka_unit_test(links),
		cmocka_unit_test(a_listener_is_given_others),
		cmocka_unit_test(one_that_is_shut_asks_nobody),
		cmocka_unit_test(an_unconfigured_dialer_fails),
		cmocka_unit_test(silent_strangers_are_shed),
		cmocka_unit_test(a_message_is_not_sent_in_parts),
	};

	return cmocka_run_group_tests(tests, build, tear_down);
}
