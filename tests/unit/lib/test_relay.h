/*
 * test_relay - a relay's side of the line, one call at a time, for unit tests of controld/fleet.
 *
 *	test_relay_join(&r, port, token)      0, or the code it was refused with
 *	test_relay_open(&r, port)             both lines
 *	test_relay_send(r.poll, &b)           a request; b is emptied
 *	m = test_relay_recv(r.poll)           its reply within 30 s, NULL when the connection went; nng_msg_free(m)
 *
 * Sockets are left open: closing one that is dialling may hang.
 */
#ifndef PORTWAY_TESTS_TEST_RELAY_H
#define PORTWAY_TESTS_TEST_RELAY_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/base/str.h"
#include "common/crypto/cert.h"
#include "common/crypto/key.h"
#include "common/nng/nng_tls.h"
#include "proto/join.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct test_relay {
	struct key *key;
	char *request; /* for a certificate */
	struct msg_joined joined;
	struct msg_refused refused;
	nng_socket poll, report;
};

#define TEST_RELAY_MUST(call)                                                                             \
	do {                                                                                              \
		int rv_ = (call);                                                                         \
		if (rv_ != 0) {                                                                           \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, nng_strerror(rv_)); \
			abort();                                                                          \
		}                                                                                         \
	} while (0)

/* wait: until it is connected; else it goes on trying by itself. */
static inline UNUSED int test_relay_dial(nng_socket *s, uint16_t port, const struct tls_conf *tls, bool wait)
{
	char url[64];
	nng_dialer d;
	struct err e;

	str_fmt(url, sizeof url, "tls+tcp://127.0.0.1:%u", (unsigned)port);
	if (nng_tls_register(&e) != 0)
		abort();
	TEST_RELAY_MUST(nng_req0_open(s));
	TEST_RELAY_MUST(nng_socket_set_ms(*s, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE));
	TEST_RELAY_MUST(nng_socket_set_ms(*s, NNG_OPT_RECVTIMEO, 30000));
	TEST_RELAY_MUST(nng_socket_set_ms(*s, NNG_OPT_SENDTIMEO, 30000));
	TEST_RELAY_MUST(nng_dialer_create(&d, *s, url));
	if (nng_tls_set_dialer(d, tls, &e) != 0) {
		fprintf(stderr, "dial: %s\n", e.msg);
		abort();
	}
	return nng_dialer_start(d, wait ? 0 : NNG_FLAG_NONBLOCK);
}

static inline UNUSED void test_relay_send(nng_socket s, struct buf *b)
{
	nng_msg *m;

	if (b->failed)
		abort();
	TEST_RELAY_MUST(nng_msg_alloc(&m, 0));
	TEST_RELAY_MUST(nng_msg_append(m, b->data, b->len));
	TEST_RELAY_MUST(nng_sendmsg(s, m, 0));
	buf_free(b);
}

static inline UNUSED nng_msg *test_relay_recv(nng_socket s)
{
	nng_msg *m;
	int rv = nng_recvmsg(s, &m, 0);

	if (rv == NNG_ETIMEDOUT) {
		fprintf(stderr, "no reply within 30 s\n");
		abort();
	}
	return rv == 0 ? m : NULL;
}

/* Shows the token; a key of its own is made once. */
static inline UNUSED int test_relay_join(struct test_relay *r, uint16_t port, const char *token)
{
	struct msg_join m = { .version = "test", .name = "it does not matter" };
	struct tls_conf tls = { .peer = TLS_PEER_REQUIRED };
	struct join_token t;
	nng_msg *reply;
	nng_socket s;
	struct buf b;
	struct err e;
	int code = 0;

	if (join_token_parse(&t, token) != 0)
		abort();
	if (r->key == NULL && (key_generate(&r->key, &e) != 0 || (r->request = cert_request(r->key, "x", &e)) == NULL))
		abort();
	str_copy(m.token_id, sizeof m.token_id, t.id);
	str_copy(m.secret, sizeof m.secret, t.secret);
	str_copy(m.request_pem, sizeof m.request_pem, r->request);
	tls.ca_fingerprint = t.ca_fingerprint;
	TEST_RELAY_MUST(test_relay_dial(&s, port, &tls, true));
	buf_init(&b, PROTO_JOIN_MAX);
	msg_join_encode(&m, &b);
	test_relay_send(s, &b);
	reply = test_relay_recv(s);
	if (reply == NULL || msg_joined_decode(&r->joined, nng_msg_body(reply), nng_msg_len(reply)) != 0) {
		if (reply == NULL || msg_refused_decode(&r->refused, nng_msg_body(reply), nng_msg_len(reply)) != 0)
			abort();
		code = r->refused.code;
	}
	nng_msg_free(reply);
	nng_close(s);
	return code;
}

static inline UNUSED int test_relay_dial_own(const struct test_relay *r, uint16_t port, nng_socket *s, bool wait)
{
	char *key_pem = key_to_pem(r->key);
	const struct tls_conf tls = {
		.cert_pem = r->joined.cert_pem,
		.key_pem = key_pem,
		.ca_pem = r->joined.ca_pem,
		.peer = TLS_PEER_REQUIRED,
	};
	int rv = test_relay_dial(s, port, &tls, wait);

	free(key_pem);
	return rv;
}

static inline UNUSED void test_relay_open(struct test_relay *r, uint16_t port)
{
	TEST_RELAY_MUST(test_relay_dial_own(r, port, &r->poll, true));
	TEST_RELAY_MUST(test_relay_dial_own(r, port, &r->report, true));
}

static inline UNUSED void test_relay_fini(struct test_relay *r)
{
	key_free(r->key);
	free(r->request);
}

#endif
