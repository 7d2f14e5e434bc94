#include "common/crypto/tls.h"

#include "common/base/err.h"
#include "tests/unit/common/pki.h"
#include "tests/unit/common/tls_pair.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct pki pki;

/* ---- two sessions over two byte queues --------------------------------------------------------------------------- */

static void side_open(struct tls_side *s, const struct tls_conf *conf)
{
	const struct tls_io io = tls_pair_io(s);
	struct tls_ctx *ctx;

	assert_int_equal(tls_ctx_new(&ctx, conf, NULL), 0);
	assert_int_equal(tls_session_new(&s->session, ctx, &io, NULL), 0);
	tls_ctx_unref(ctx); /* the session keeps it */
}

static struct tls_pair *pair_new(const struct tls_conf *client, const struct tls_conf *server)
{
	struct tls_pair *p = tls_pair_new();

	side_open(&p->client, client);
	side_open(&p->server, server);
	return p;
}

/*
 * Both handshakes, then a byte each way: in TLS 1.3 a client learns only there that its certificate was refused.
 * Answers the first code that was not TLS_AGAIN, per side.
 */
static void pair_run(struct tls_pair *p, int *client, int *server)
{
	char c;
	int rc[2] = { TLS_AGAIN, TLS_AGAIN };

	for (int i = 0; i < 10 && (rc[0] == TLS_AGAIN || rc[1] == TLS_AGAIN); i++) {
		if (rc[0] == TLS_AGAIN)
			rc[0] = tls_session_handshake(p->client.session);
		if (rc[1] == TLS_AGAIN)
			rc[1] = tls_session_handshake(p->server.session);
	}
	if (rc[1] == 0)
		assert_int_equal(tls_session_write(p->server.session, "s", 1), 1);
	if (rc[0] == 0) {
		ssize_t n = tls_session_read(p->client.session, &c, 1);
		rc[0] = n == 1 ? 0 : (int)n;
	}
	*client = rc[0];
	*server = rc[1];
}

/* ---- who accepts whom -------------------------------------------------------------------------------------------- */

enum { PIN_NONE, PIN_GOOD, PIN_ROGUE, PIN_UPPER, PIN_NEXT };

struct trust_case {
	const char *what;
	char **server_cert;
	char **client_cert; /* NULL: shows none */
	char **client_ca;
	int pin;
	enum tls_peer peer; /* what the server asks */
	const char *name;   /* what the client expects */
	int client, server; /* 0 or a TLS_ code */
	const char *cn;     /* the server reads */
};

static const struct trust_case trust_cases[] = {
	{ "mutual", &pki.server, &pki.client, &pki.ca, 0, TLS_PEER_REQUIRED, "localhost", 0, 0, "node_1" },
	{ "mutual by address", &pki.server, &pki.client, &pki.ca, 0, TLS_PEER_REQUIRED, "127.0.0.1", 0, 0, "node_1" },
	{ "no name wanted", &pki.server, &pki.client, &pki.ca, 0, TLS_PEER_REQUIRED, NULL, 0, 0, "node_1" },
	{ "chain without the CA", &pki.server_bare, &pki.client, &pki.ca, 0, TLS_PEER_REQUIRED, NULL, 0, 0, "node_1" },
	{ "other name", &pki.server, &pki.client, &pki.ca, 0, TLS_PEER_REQUIRED, "example.org", TLS_BAD_PEER,
		TLS_FAILED, NULL },
	{ "other address", &pki.server, &pki.client, &pki.ca, 0, TLS_PEER_REQUIRED, "127.0.0.2", TLS_BAD_PEER,
		TLS_FAILED, NULL },
	{ "server of a rogue CA", &pki.server_rogue, &pki.client, &pki.ca, 0, TLS_PEER_REQUIRED, NULL, TLS_BAD_PEER,
		TLS_FAILED, NULL },
	{ "client of a rogue CA", &pki.server, &pki.client_rogue, &pki.ca, 0, TLS_PEER_REQUIRED, NULL, TLS_FAILED,
		TLS_BAD_PEER, NULL },
	{ "rogue client, optional", &pki.server, &pki.client_rogue, &pki.ca, 0, TLS_PEER_OPTIONAL, NULL, TLS_FAILED,
		TLS_BAD_PEER, NULL },
	{ "expired client", &pki.server, &pki.client_expired, &pki.ca, 0, TLS_PEER_REQUIRED, NULL, TLS_FAILED,
		TLS_BAD_PEER, NULL },
	{ "no client certificate, optional", &pki.server, NULL, &pki.ca, 0, TLS_PEER_OPTIONAL, NULL, 0, 0, NULL },
	{ "no client certificate, required", &pki.server, NULL, &pki.ca, 0, TLS_PEER_REQUIRED, NULL, TLS_FAILED,
		TLS_BAD_PEER, NULL },
	{ "a server's certificate as client", &pki.server, &pki.server, &pki.ca, 0, TLS_PEER_REQUIRED, NULL, TLS_FAILED,
		TLS_BAD_PEER, NULL },
	{ "a client's certificate as server", &pki.client, &pki.client, &pki.ca, 0, TLS_PEER_REQUIRED, NULL,
		TLS_BAD_PEER, TLS_FAILED, NULL },
	{ "pin", &pki.server, NULL, NULL, PIN_GOOD, TLS_PEER_OPTIONAL, NULL, 0, 0, NULL },
	{ "pin in capitals", &pki.server, NULL, NULL, PIN_UPPER, TLS_PEER_OPTIONAL, NULL, 0, 0, NULL },
	{ "pin and name", &pki.server, NULL, NULL, PIN_GOOD, TLS_PEER_OPTIONAL, "localhost", 0, 0, NULL },
	{ "pin and other name", &pki.server, NULL, NULL, PIN_GOOD, TLS_PEER_OPTIONAL, "example.org", TLS_BAD_PEER,
		TLS_FAILED, NULL },
	{ "pin, server sends no CA", &pki.server_bare, NULL, NULL, PIN_GOOD, TLS_PEER_OPTIONAL, NULL, TLS_BAD_PEER,
		TLS_FAILED, NULL },
	{ "pin of another CA", &pki.server, NULL, NULL, PIN_ROGUE, TLS_PEER_OPTIONAL, NULL, TLS_BAD_PEER, TLS_FAILED,
		NULL },
	{ "pin, rogue leaf with our CA behind it", &pki.server_swap, NULL, NULL, PIN_GOOD, TLS_PEER_OPTIONAL, NULL,
		TLS_BAD_PEER, TLS_FAILED, NULL },
	{ "next CA, to who trusts the one before", &pki.server_next, &pki.client, &pki.ca, 0, TLS_PEER_REQUIRED, NULL,
		0, 0, "node_1" },
	{ "next CA, to who trusts both", &pki.server_next, &pki.client, &pki.both_cas, 0, TLS_PEER_REQUIRED, NULL, 0, 0,
		"node_1" },
	{ "next CA, to who trusts that alone", &pki.server_late, &pki.client, &pki.next_ca, 0, TLS_PEER_REQUIRED, NULL,
		0, 0, "node_1" },
	{ "the one before, to who trusts both", &pki.server, &pki.client, &pki.both_cas, 0, TLS_PEER_REQUIRED, NULL, 0,
		0, "node_1" },
	{ "the one before, to who trusts the next alone", &pki.server, &pki.client, &pki.next_ca, 0, TLS_PEER_REQUIRED,
		NULL, TLS_BAD_PEER, TLS_FAILED, NULL },
	{ "next CA without what the one before says of it", &pki.server_lone, &pki.client, &pki.ca, 0,
		TLS_PEER_REQUIRED, NULL, TLS_BAD_PEER, TLS_FAILED, NULL },
	{ "client of the next CA, to who trusts the one before", &pki.server, &pki.client_next, &pki.ca, 0,
		TLS_PEER_REQUIRED, NULL, 0, 0, "node_1" },
	{ "pin of the one before, next CA", &pki.server_next, NULL, NULL, PIN_GOOD, TLS_PEER_OPTIONAL, NULL, 0, 0,
		NULL },
	{ "pin of the one before, retired", &pki.server_late, NULL, NULL, PIN_GOOD, TLS_PEER_OPTIONAL, NULL, 0, 0,
		NULL },
	{ "pin of the next CA", &pki.server_next, NULL, NULL, PIN_NEXT, TLS_PEER_OPTIONAL, NULL, 0, 0, NULL },
	{ "pin of the next CA, the one before retired", &pki.server_late, NULL, NULL, PIN_NEXT, TLS_PEER_OPTIONAL, NULL,
		0, 0, NULL },
	{ "pin of the next CA, leaf of the one before", &pki.server, NULL, NULL, PIN_NEXT, TLS_PEER_OPTIONAL, NULL,
		TLS_BAD_PEER, TLS_FAILED, NULL },
};

static struct tls_conf client_conf(const struct trust_case *t, char pin[CERT_FINGERPRINT_SIZE])
{
	bool as_server = t->client_cert == &pki.server; /* that certificate goes with the server's key */

	memcpy(pin,
		t->pin == PIN_ROGUE  ? pki.rogue_fingerprint
		: t->pin == PIN_NEXT ? pki.next_fingerprint
				     : pki.fingerprint,
		CERT_FINGERPRINT_SIZE);
	if (t->pin == PIN_UPPER)
		for (char *c = pin; *c != '\0'; c++)
			*c = *c >= 'a' && *c <= 'f' ? (char)(*c - 'a' + 'A') : *c;
	return (struct tls_conf){
		.cert_pem = t->client_cert != NULL ? *t->client_cert : NULL,
		.key_pem = t->client_cert == NULL ? NULL
		           : as_server            ? pki.server_key_pem
		                                  : pki.client_key_pem,
		.ca_pem = t->client_ca != NULL ? *t->client_ca : NULL,
		.ca_fingerprint = t->pin != PIN_NONE ? pin : NULL,
		.server_name = t->name,
	};
}

static bool trust_case_ok(const struct trust_case *t)
{
	char pin[CERT_FINGERPRINT_SIZE];
	struct tls_conf client = client_conf(t, pin);
	struct tls_conf server = {
		.server = true,
		.cert_pem = *t->server_cert,
		.key_pem = t->server_cert == &pki.client ? pki.client_key_pem : pki.server_key_pem,
		.ca_pem = pki.ca,
		.peer = t->peer,
	};
	struct tls_pair *p = pair_new(&client, &server);
	struct cert_info peer = { .cn = "" };
	int got_client, got_server, shown;
	bool ok;

	pair_run(p, &got_client, &got_server);
	shown = tls_session_peer(p->server.session, &peer);
	ok = got_client == t->client && got_server == t->server &&
	     (t->cn != NULL ? shown == 0 && strcmp(peer.cn, t->cn) == 0 : shown == -1);
	if (!ok)
		print_error("%s: client %d (%s), server %d (%s), peer %d '%s'\n", t->what, got_client,
			tls_session_reason(p->client.session), got_server, tls_session_reason(p->server.session), shown,
			peer.cn);
	tls_pair_free(p);
	return ok;
}

static void who_accepts_whom(void **state)
{
	size_t failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(trust_cases); i++)
		failed += !trust_case_ok(&trust_cases[i]);
	assert_int_equal(failed, 0);
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

static const struct tls_conf *good_client(void)
{
	static struct tls_conf conf;

	conf = (struct tls_conf){ .cert_pem = pki.client, .key_pem = pki.client_key_pem, .ca_pem = pki.ca };
	return &conf;
}

static struct tls_conf good_server(void)
{
	return (struct tls_conf){ .server = true,
		.cert_pem = pki.server,
		.key_pem = pki.server_key_pem,
		.ca_pem = pki.ca,
		.peer = TLS_PEER_REQUIRED };
}

static bool on_accept(const struct cert_info *peer, void *arg)
{
	return strcmp(peer->cn, arg) == 0;
}

static void a_revoked_peer_is_refused(void **state)
{
	struct tls_conf conf = good_server();
	struct tls_pair *p;
	int client, server;

	(void)state;
	conf.accept_peer = on_accept;
	conf.arg = (void *)(uintptr_t) "node_1";
	p = pair_new(good_client(), &conf);
	pair_run(p, &client, &server);
	assert_int_equal(client, 0);
	assert_int_equal(server, 0);
	tls_pair_free(p);

	conf.arg = (void *)(uintptr_t) "node_2";
	p = pair_new(good_client(), &conf);
	pair_run(p, &client, &server);
	assert_int_equal(server, TLS_BAD_PEER);
	assert_int_equal(client, TLS_FAILED);
	tls_pair_free(p);
}

static void much_data_through_small_lanes(void **state)
{
	enum { TOTAL = 1 << 20 };
	struct tls_conf conf = good_server();
	struct tls_pair *p = pair_new(good_client(), &conf);
	static uint8_t chunk[30000], got[50000];
	size_t sent = 0, received = 0;
	int client, server;

	(void)state;
	memset(chunk, 'd', sizeof chunk);
	pair_run(p, &client, &server);
	while (received < TOTAL) {
		ssize_t n = tls_session_write(p->client.session, chunk, MIN(sizeof chunk, TOTAL - sent));

		if (n > 0)
			sent += (size_t)n;
		else if (sent < TOTAL)
			assert_int_equal(n, TLS_AGAIN);
		n = tls_session_read(p->server.session, got, sizeof got);
		if (n > 0)
			received += (size_t)n;
		else
			assert_int_equal(n, TLS_AGAIN);
	}
	assert_int_equal(received, TOTAL);
	tls_pair_free(p);
}

static void an_orderly_end_differs_from_a_cut(void **state)
{
	struct tls_conf conf = good_server();
	struct tls_pair *p = pair_new(good_client(), &conf);
	int client, server;
	char c;

	(void)state;
	pair_run(p, &client, &server);
	tls_session_shutdown(p->client.session);
	assert_int_equal(tls_session_read(p->server.session, &c, 1), TLS_CLOSED);
	tls_pair_free(p);

	p = pair_new(good_client(), &conf);
	pair_run(p, &client, &server);
	p->up.closed = true;
	assert_int_equal(tls_session_read(p->server.session, &c, 1), TLS_FAILED);
	tls_session_shutdown(p->server.session); /* nothing happens */
	tls_pair_free(p);
}

static void a_close_before_the_handshake_is_harmless(void **state)
{
	struct tls_conf conf = good_server();
	struct tls_pair *p = pair_new(good_client(), &conf);

	(void)state;
	tls_session_shutdown(p->client.session);
	p->up.closed = true;
	assert_int_equal(tls_session_handshake(p->server.session), TLS_FAILED);
	tls_pair_free(p);
}

static void confs_that_cannot_be(void **state)
{
	const struct {
		const char *what;
		struct tls_conf conf;
	} cases[] = {
		{ "server without a certificate", { .server = true } },
		{ "certificate without a key", { .cert_pem = pki.client } },
		{ "key of another certificate", { .cert_pem = pki.client, .key_pem = pki.server_key_pem } },
		{ "peer wanted, no CA", { .peer = TLS_PEER_REQUIRED } },
		{ "short pin", { .ca_fingerprint = "abcd" } },
		{ "pin on a server", { .server = true,
					     .cert_pem = pki.server,
					     .key_pem = pki.server_key_pem,
					     .ca_fingerprint = pki.fingerprint } },
		{ "no PEM", { .ca_pem = "hello" } },
		{ "version 11", { .min_version = 11 } },
	};
	size_t failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err e = { .code = ERR_NONE };
		struct tls_ctx *ctx;

		if (tls_ctx_new(&ctx, &cases[i].conf, &e) == 0 || e.code == ERR_NONE) {
			print_error("%s was taken\n", cases[i].what);
			failed++;
		}
	}
	assert_int_equal(failed, 0);
	tls_ctx_unref(NULL);
	tls_session_free(NULL);
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
		cmocka_unit_test(who_accepts_whom),
		cmocka_unit_test(a_revoked_peer_is_refused),
		cmocka_unit_test(much_data_through_small_lanes),
		cmocka_unit_test(an_orderly_end_differs_from_a_cut),
		cmocka_unit_test(a_close_before_the_handshake_is_harmless),
		cmocka_unit_test(confs_that_cannot_be),
	};

	return cmocka_run_group_tests(tests, build, tear_down);
}
