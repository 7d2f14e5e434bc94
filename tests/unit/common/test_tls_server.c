/* Servers with many names: which certificate is shown, tickets across servers and key changes, staples, clients' certificates, ALPN. */
#include "common/crypto/tls_server.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "tests/unit/common/site_pki.h"
#include "tests/unit/common/tls_pair.h"

#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct {
	struct site_cert ca, rogue, rsa, ecdsa, wild, newer, other, client, stranger;
} pki;
static struct tls_ctx *server_ctx;

#define H2_AND_HTTP1 "\x02h2\x08http/1.1"

/* ---- a client that shows all of itself: OpenSSL's own ------------------------------------------------------------- */

struct visitor {
	SSL_CTX *ctx;
	SSL *ssl;
	SSL_SESSION *ticket; /* the newest */
	struct tls_pair *p;
};

static int on_session(SSL *ssl, SSL_SESSION *session)
{
	struct visitor *v = SSL_get_app_data(ssl);

	SSL_SESSION_free(v->ticket);
	v->ticket = session;
	return 1;
}

static void visitor_init(struct visitor *v, int version, const char *suites)
{
	memset(v, 0, sizeof *v);
	v->ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_min_proto_version(v->ctx, version);
	SSL_CTX_set_max_proto_version(v->ctx, version);
	X509_STORE_add_cert(SSL_CTX_get_cert_store(v->ctx), pki.ca.x);
	SSL_CTX_set_session_cache_mode(v->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
	SSL_CTX_sess_set_new_cb(v->ctx, on_session);
	if (suites != NULL)
		assert_int_equal(SSL_CTX_set_cipher_list(v->ctx, suites), 1);
}

static void visitor_leave(struct visitor *v)
{
	if (v->p == NULL)
		return;
	SSL_set_shutdown(v->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* else its session counts as a bad one */
	SSL_free(v->ssl);
	tls_pair_free(v->p);
	v->p = NULL;
}

static void visitor_fini(struct visitor *v)
{
	visitor_leave(v);
	SSL_SESSION_free(v->ticket);
	SSL_CTX_free(v->ctx);
}

/* What OpenSSL wrote goes to the server's queue, and back. */
static void carry(struct visitor *v)
{
	BIO *in = SSL_get_rbio(v->ssl), *out = SSL_get_wbio(v->ssl);
	uint8_t bytes[16384];
	int n;

	while ((n = BIO_read(out, bytes, sizeof bytes)) > 0)
		assert_int_equal(tls_pair_on_send(&v->p->client, bytes, (size_t)n), n);
	while ((n = (int)tls_pair_on_recv(&v->p->client, bytes, sizeof bytes)) > 0)
		assert_int_equal(BIO_write(in, bytes, n), n);
}

/* Both hands, and a byte from the server, behind which its tickets have come. Answers the server's code, or 1 if the client gave up. */
static int shake(struct visitor *v)
{
	int server = TLS_AGAIN, client = 0;
	char c;

	for (int i = 0; i < 20 && (server == TLS_AGAIN || client != 1); i++) {
		client = SSL_do_handshake(v->ssl);
		carry(v);
		if (server == TLS_AGAIN)
			server = tls_session_handshake(v->p->server.session);
		carry(v);
		if (server != TLS_AGAIN && server != 0)
			return server;
	}
	if (server != 0 || client != 1)
		return 1;
	assert_int_equal(tls_session_write(v->p->server.session, "s", 1), 1);
	carry(v);
	return SSL_read(v->ssl, &c, 1) == 1 ? 0 : 1;
}

static int visit(struct visitor *v, const struct tls_accept *a, const char *name)
{
	struct tls_io io;

	visitor_leave(v);
	v->p = tls_pair_new();
	io = tls_pair_io(&v->p->server);
	assert_int_equal(tls_server_accept(&v->p->server.session, server_ctx, a, &io, NULL), 0);
	v->ssl = SSL_new(v->ctx);
	SSL_set_app_data(v->ssl, v);
	SSL_set_bio(v->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_connect_state(v->ssl);
	if (name != NULL)
		SSL_set_tlsext_host_name(v->ssl, name);
	if (v->ticket != NULL)
		SSL_set_session(v->ssl, v->ticket);
	return shake(v);
}

static bool shown_is(const struct visitor *v, const struct site_cert *c)
{
	X509 *leaf = SSL_get0_peer_certificate(v->ssl);

	return leaf != NULL && X509_cmp(leaf, c->x) == 0;
}

/* ---- the store ---------------------------------------------------------------------------------------------------- */

static struct tls_cert *cert_of(const struct site_cert *c)
{
	struct tls_cert *out;

	assert_int_equal(tls_cert_new(&out, c->chain, c->key, NULL), 0);
	return out;
}

static void put(struct tls_store *s, const char *realm, const char *name, const struct site_cert *c)
{
	struct tls_cert *cert = cert_of(c);

	assert_int_equal(tls_store_add(s, realm, name, cert), 0);
	tls_cert_unref(cert);
}

static struct tls_ticket_key ticket_key(uint8_t n, int64_t from_s, int64_t until_s)
{
	int64_t now = clock_wall_ms();

	return (struct tls_ticket_key){ { n }, { n, 1 }, { n, 2 }, now + from_s * 1000, now + until_s * 1000 };
}

static struct tls_store *store_new(const struct tls_ticket_key *keys, size_t n)
{
	struct tls_store *s;

	assert_int_equal(tls_store_new(&s, NULL), 0);
	put(s, "ten_a", "both.example", &pki.rsa);
	put(s, "ten_a", "both.example", &pki.ecdsa);
	put(s, "ten_a", "*.wild.example", &pki.wild);
	put(s, "ten_b", "both.example", &pki.other);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(tls_store_add_ticket_key(s, &keys[i]), 0);
	return s;
}

static struct tls_accept accepting(struct tls_store *s)
{
	return (struct tls_accept){ .store = s,
		.realm = "ten_a",
		.scope = "both.example",
		.alpn = H2_AND_HTTP1,
		.alpn_n = sizeof H2_AND_HTTP1 - 1 };
}

/* ---- which certificate -------------------------------------------------------------------------------------------- */

static void a_name_has_its_certificate(void **state)
{
	static const struct {
		const char *what, *realm, *name, *suites;
		const struct site_cert *want; /* NULL: refused */
	} cases[] = {
		{ "ECDSA to who knows it", "ten_a", "both.example", NULL, &pki.ecdsa },
		{ "RSA to who knows no other", "ten_a", "both.example", "ECDHE-RSA-AES128-GCM-SHA256", &pki.rsa },
		{ "capitals", "ten_a", "Both.Example", NULL, &pki.ecdsa },
		{ "one label below a wildcard", "ten_a", "x.wild.example", NULL, &pki.wild },
		{ "two labels below it", "ten_a", "x.y.wild.example", NULL, NULL },
		{ "the wildcard's own name", "ten_a", "wild.example", NULL, NULL },
		{ "the same name of somebody else", "ten_b", "both.example", NULL, &pki.other },
		{ "a name that nobody has", "ten_a", "none.example", NULL, NULL },
		{ "no name", "ten_a", NULL, NULL, NULL },
		{ "another realm", "ten_c", "both.example", NULL, NULL },
	};
	struct tls_store *s = store_new(NULL, 0);
	size_t failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct tls_accept a = accepting(s);
		struct visitor v;
		int rc;

		a.realm = cases[i].realm;
		visitor_init(&v, cases[i].suites != NULL ? TLS1_2_VERSION : TLS1_3_VERSION, cases[i].suites);
		rc = visit(&v, &a, cases[i].name);
		if (cases[i].want != NULL ? rc != 0 || !shown_is(&v, cases[i].want) : rc != TLS_FAILED) {
			print_error("%s: %d\n", cases[i].what, rc);
			failed++;
		}
		visitor_fini(&v);
	}
	assert_int_equal(failed, 0);
	tls_store_unref(s);
}

static void of_two_alike_the_one_that_ends_last(void **state)
{
	struct tls_store *s;
	struct visitor v;

	(void)state;
	for (int order = 0; order < 2; order++) {
		struct tls_accept a;

		assert_int_equal(tls_store_new(&s, NULL), 0);
		put(s, "ten_a", "both.example", order == 0 ? &pki.ecdsa : &pki.newer);
		put(s, "ten_a", "both.example", order == 0 ? &pki.newer : &pki.ecdsa);
		a = accepting(s);
		visitor_init(&v, TLS1_3_VERSION, NULL);
		assert_int_equal(visit(&v, &a, "both.example"), 0);
		assert_true(shown_is(&v, &pki.newer));
		visitor_fini(&v);
		tls_store_unref(s);
	}
}

static void a_handshake_outlives_the_store_it_began_with(void **state)
{
	struct tls_store *s = store_new(NULL, 0);
	struct tls_accept a = accepting(s);
	struct tls_pair *p = tls_pair_new();
	const struct tls_io io = tls_pair_io(&p->server);

	(void)state;
	assert_int_equal(tls_server_accept(&p->server.session, server_ctx, &a, &io, NULL), 0);
	tls_store_unref(s);
	assert_int_equal(tls_session_handshake(p->server.session), TLS_AGAIN);
	tls_pair_free(p); /* in the middle of it */
}

static void keys_that_do_not_fit(void **state)
{
	struct tls_cert *c;
	struct err e;

	(void)state;
	assert_int_equal(tls_cert_new(&c, pki.rsa.chain, pki.ecdsa.key, &e), -1);
	assert_int_equal(tls_cert_new(&c, "no PEM", pki.ecdsa.key, &e), -1);
	assert_int_equal(tls_cert_new(&c, pki.ecdsa.chain, "no PEM", &e), -1);
	assert_int_equal(e.code, ERR_CRYPTO);
	tls_cert_unref(NULL);
	tls_store_unref(NULL);
}

/* ---- tickets ------------------------------------------------------------------------------------------------------ */

/* A visit to each of two servers; whether the second took the ticket of the first. */
static bool resumes(int version, const struct tls_accept *first, const struct tls_accept *second)
{
	struct visitor v;
	bool did;

	visitor_init(&v, version, NULL);
	assert_int_equal(visit(&v, first, "both.example"), 0);
	assert_false(SSL_session_reused(v.ssl));
	assert_int_equal(visit(&v, second, "both.example"), 0);
	did = SSL_session_reused(v.ssl) == 1;
	visitor_fini(&v);
	return did;
}

static void tickets_pass_from_server_to_server(void **state)
{
	const struct tls_ticket_key old = ticket_key(1, -100, 100), now = ticket_key(2, -10, 100),
				    next = ticket_key(3, 50, 200), ended = ticket_key(1, -100, -1),
				    alien = ticket_key(9, -100, 100);
	const struct {
		const char *what;
		struct tls_ticket_key first[3], second[3];
		size_t n1, n2;
		bool want;
	} cases[] = {
		{ "the same key", { old }, { old }, 1, 1, true },
		{ "a newer key beside it", { old }, { now, old }, 1, 2, true },
		{ "a server that does not seal with it yet", { now, old }, { old, now }, 2, 2, true },
		{ "one that has not begun", { old, next }, { next, old }, 2, 2, true },
		{ "a key that the other does not have", { alien }, { old }, 1, 1, false },
		{ "a key that has ended", { old }, { ended, now }, 1, 2, false },
		{ "no key at all", { old }, { old }, 0, 0, false },
	};
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	size_t failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct tls_store *a = store_new(cases[i].first, cases[i].n1),
				 *b = store_new(cases[i].second, cases[i].n2);
		const struct tls_accept first = accepting(a), second = accepting(b);

		for (size_t k = 0; k < ARRAY_LEN(versions); k++) {
			if (resumes(versions[k], &first, &second) == cases[i].want)
				continue;
			print_error("%s, version %x\n", cases[i].what, versions[k]);
			failed++;
		}
		tls_store_unref(a);
		tls_store_unref(b);
	}
	assert_int_equal(failed, 0);
}

static void tickets_stay_in_their_scope(void **state)
{
	const struct tls_ticket_key key = ticket_key(1, -100, 100);
	struct tls_store *s = store_new(&key, 1);
	const struct tls_accept a = accepting(s);
	struct tls_accept scope = a, realm = a, asked = a;
	struct tls_trust *clients;

	(void)state;
	assert_int_equal(tls_server_trust(&clients, pki.ca.chain, NULL), 0);
	scope.scope = "other.example";
	realm.realm = "ten_b";
	asked.clients = clients;
	assert_true(resumes(TLS1_3_VERSION, &a, &a));
	assert_false(resumes(TLS1_3_VERSION, &a, &scope));
	assert_false(resumes(TLS1_2_VERSION, &a, &scope));
	assert_false(resumes(TLS1_3_VERSION, &a, &realm));
	assert_false(resumes(TLS1_3_VERSION, &asked, &asked));
	assert_false(resumes(TLS1_2_VERSION, &asked, &asked));
	assert_false(resumes(TLS1_3_VERSION, &a, &asked));
	tls_server_trust_unref(clients);
	tls_store_unref(s);
}

/* ---- staples ------------------------------------------------------------------------------------------------------ */

/* What was stapled; n: its length, -1: nothing. */
static long stapled(struct tls_store *s, const unsigned char **p)
{
	static struct visitor v;
	struct tls_accept a = accepting(s);

	visitor_fini(&v);
	visitor_init(&v, TLS1_3_VERSION, NULL);
	SSL_CTX_set_tlsext_status_type(v.ctx, TLSEXT_STATUSTYPE_ocsp);
	assert_int_equal(visit(&v, &a, "both.example"), 0);
	return SSL_get_tlsext_status_ocsp_resp(v.ssl, p);
}

static void staples_are_shown_until_they_end(void **state)
{
	static const char answer[] = "an answer";
	const unsigned char *p;
	struct tls_store *s;
	struct tls_cert *c;

	(void)state;
	for (int64_t ends = -1; ends <= 60; ends += 61) {
		long n;

		assert_int_equal(tls_store_new(&s, NULL), 0);
		put(s, "ten_a", "both.example", &pki.rsa); /* which is not the one that is shown */
		c = cert_of(&pki.ecdsa);
		assert_int_equal(tls_cert_staple(c, answer, sizeof answer, clock_wall_ms() + ends * 1000), 0);
		assert_int_equal(tls_store_add(s, "ten_a", "both.example", c), 0);
		tls_cert_unref(c);
		n = stapled(s, &p);
		assert_int_equal(n, ends > 0 ? (long)sizeof answer : -1);
		if (n > 0)
			assert_memory_equal(p, answer, sizeof answer);
		tls_store_unref(s);
	}
	s = store_new(NULL, 0);
	assert_int_equal(stapled(s, &p), -1);
	tls_store_unref(s);
}

/* ---- clients ------------------------------------------------------------------------------------------------------ */

static void clients_show_who_they_are(void **state)
{
	static const struct {
		const char *what;
		const struct site_cert *shows; /* NULL: nothing */
		bool required;
		int want;
		bool is_of;
	} cases[] = {
		{ "one of the CA", &pki.client, true, 0, true },
		{ "one of the CA, of its free will", &pki.client, false, 0, true },
		{ "none", NULL, true, TLS_BAD_PEER, false },
		{ "none, of its free will", NULL, false, 0, false },
		{ "a stranger's", &pki.stranger, true, TLS_BAD_PEER, false },
		{ "a stranger's, of its free will", &pki.stranger, false, TLS_BAD_PEER, false },
	};
	struct tls_store *s = store_new(NULL, 0);
	struct tls_trust *clients, *others;
	size_t failed = 0;

	(void)state;
	assert_int_equal(tls_server_trust(&clients, pki.ca.chain, NULL), 0);
	assert_int_equal(tls_server_trust(&others, pki.rogue.chain, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct tls_accept a = accepting(s);
		struct visitor v;
		int rc;

		a.clients = clients;
		a.client_required = cases[i].required;
		visitor_init(&v, TLS1_3_VERSION, NULL);
		if (cases[i].shows != NULL) {
			SSL_CTX_use_certificate(v.ctx, cases[i].shows->x);
			SSL_CTX_use_PrivateKey(v.ctx, cases[i].shows->k);
		}
		rc = visit(&v, &a, "both.example");
		if (rc != cases[i].want ||
			(rc == 0 && tls_server_client_is_of(v.p->server.session, clients) != cases[i].is_of) ||
			(rc == 0 && tls_server_client_is_of(v.p->server.session, others))) {
			print_error("%s: %d\n", cases[i].what, rc);
			failed++;
		}
		visitor_fini(&v);
	}
	assert_int_equal(failed, 0);
	tls_server_trust_unref(clients);
	tls_server_trust_unref(others);
	assert_int_equal(tls_server_trust(&clients, "no PEM", NULL), -1);
	tls_store_unref(s);
}

/* ---- ALPN --------------------------------------------------------------------------------------------------------- */

static void a_challenge_that_nobody_set(struct tls_store *s)
{
	const struct tls_accept a = accepting(s);
	struct visitor v;

	visitor_init(&v, TLS1_3_VERSION, NULL);
	SSL_CTX_set_alpn_protos(v.ctx,
		(const unsigned char *)"\x0a"
				       "acme-tls/1",
		11);
	assert_int_equal(visit(&v, &a, "both.example"), TLS_FAILED);
	visitor_fini(&v);
}

static void protocols_are_agreed_on(void **state)
{
	static const struct {
		const char *what, *offer, *want;
		int rc;
		const struct site_cert *shown;
		bool challenge;
	} cases[] = {
		{ "the server's first", "\x08http/1.1\x02h2", "h2", 0, &pki.ecdsa, false },
		{ "what there is", "\x08http/1.1", "http/1.1", 0, &pki.ecdsa, false },
		{ "nothing offered", "", "", 0, &pki.ecdsa, false },
		{ "nothing in common",
			"\x03"
			"ftp",
			"", TLS_FAILED, NULL, false },
		{ "a CA's question",
			"\x0a"
			"acme-tls/1",
			"acme-tls/1", 0, &pki.newer, true },
		{ "no CA asks so",
			"\x0a"
			"acme-tls/1\x02h2",
			"h2", 0, &pki.ecdsa, false },
	};
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	struct tls_store *s = store_new(NULL, 0), *challenges;
	struct tls_accept a = accepting(s);

	(void)state;
	assert_int_equal(tls_store_new(&challenges, NULL), 0);
	put(challenges, TLS_REALM_ACME, "both.example", &pki.newer);
	a.challenges = challenges;
	for (size_t i = 0; i < 2 * ARRAY_LEN(cases); i++) {
		const size_t k = i / 2;
		struct visitor v;
		const char *got;
		size_t n;
		int rc;

		visitor_init(&v, versions[i % 2], NULL);
		SSL_CTX_set_alpn_protos(v.ctx, (const unsigned char *)cases[k].offer, (unsigned)strlen(cases[k].offer));
		rc = visit(&v, &a, "both.example");
		got = tls_session_alpn(v.p->server.session, &n);
		if (rc != cases[k].rc ||
			(rc == 0 && (n != strlen(cases[k].want) || (n > 0 && memcmp(got, cases[k].want, n) != 0))) ||
			(rc == 0 && !shown_is(&v, cases[k].shown)) ||
			tls_server_is_challenge(v.p->server.session) != cases[k].challenge)
			fail_msg("%s, version %x: %d '%.*s'", cases[k].what, versions[i % 2], rc, (int)n, got);
		visitor_fini(&v);
	}
	a_challenge_that_nobody_set(s);
	tls_store_unref(challenges);
	tls_store_unref(s);
}

/* ---- our own client ----------------------------------------------------------------------------------------------- */

static void a_client_of_ours_checks_the_name_it_expects(void **state)
{
	struct tls_store *s = store_new(NULL, 0);
	const struct tls_accept a = accepting(s);
	const struct tls_conf conf = { .ca_pem = pki.ca.chain, .min_version = 12, .alpn = "\x02h2", .alpn_n = 3 };
	static const struct {
		const char *name;
		int want;
	} cases[] = { { "both.example", 0 }, { "x.wild.example", 0 }, { "none.example", TLS_FAILED } };
	struct tls_ctx *ctx;

	(void)state;
	assert_int_equal(tls_ctx_new(&ctx, &conf, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct tls_pair *p = tls_pair_new();
		const struct tls_io client = tls_pair_io(&p->client), server = tls_pair_io(&p->server);
		int rc[2] = { TLS_AGAIN, TLS_AGAIN };
		size_t n;

		assert_int_equal(tls_session_new(&p->client.session, ctx, &client, NULL), 0);
		assert_int_equal(tls_session_expect(p->client.session, cases[i].name), 0);
		assert_int_equal(tls_server_accept(&p->server.session, server_ctx, &a, &server, NULL), 0);
		for (int k = 0; k < 10; k++) {
			if (rc[0] == TLS_AGAIN)
				rc[0] = tls_session_handshake(p->client.session);
			if (rc[1] == TLS_AGAIN)
				rc[1] = tls_session_handshake(p->server.session);
		}
		assert_int_equal(rc[0], cases[i].want);
		if (rc[0] == 0)
			assert_memory_equal(tls_session_alpn(p->client.session, &n), "h2", 2);
		tls_pair_free(p);
	}
	tls_ctx_unref(ctx);
	tls_store_unref(s);
}

static int build(void **state)
{
	const struct tls_conf conf = { .server = true, .by_name = true, .min_version = 12 };

	(void)state;
	site_make(&pki.ca, SITE_ECDSA, "Site CA", NULL, NULL, 10);
	site_make(&pki.rogue, SITE_ECDSA, "Site CA", NULL, NULL, 10);
	site_make(&pki.rsa, SITE_RSA, "both", "DNS:both.example", &pki.ca, 5);
	site_make(&pki.ecdsa, SITE_ECDSA, "both", "DNS:both.example", &pki.ca, 5);
	site_make(&pki.newer, SITE_ECDSA, "both", "DNS:both.example", &pki.ca, 6);
	site_make(&pki.wild, SITE_ECDSA, "wild", "DNS:*.wild.example", &pki.ca, 5);
	site_make(&pki.other, SITE_ECDSA, "other", "DNS:both.example", &pki.ca, 5);
	site_make(&pki.client, SITE_ECDSA, "someone", NULL, &pki.ca, 5);
	site_make(&pki.stranger, SITE_ECDSA, "someone", NULL, &pki.rogue, 5);
	return tls_ctx_new(&server_ctx, &conf, NULL);
}

static int tear_down(void **state)
{
	struct site_cert *all[] = { &pki.ca, &pki.rogue, &pki.rsa, &pki.ecdsa, &pki.newer, &pki.wild, &pki.other,
		&pki.client, &pki.stranger };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		site_free(all[i]);
	tls_ctx_unref(server_ctx);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_has_its_certificate),
		cmocka_unit_test(of_two_alike_the_one_that_ends_last),
		cmocka_unit_test(a_handshake_outlives_the_store_it_began_with),
		cmocka_unit_test(keys_that_do_not_fit),
		cmocka_unit_test(tickets_pass_from_server_to_server),
		cmocka_unit_test(tickets_stay_in_their_scope),
		cmocka_unit_test(staples_are_shown_until_they_end),
		cmocka_unit_test(clients_show_who_they_are),
		cmocka_unit_test(protocols_are_agreed_on),
		cmocka_unit_test(a_client_of_ours_checks_the_name_it_expects),
	};

	return cmocka_run_group_tests(tests, build, tear_down);
}
