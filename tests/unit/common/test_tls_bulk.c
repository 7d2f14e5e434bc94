/* Records of our own: OpenSSL understands them and they OpenSSL's; keys are renewed; what is not genuine ends the session. */
#include "common/base/buf.h"
#include "common/base/rand.h"
#include "common/crypto/tls.h"
#include "common/crypto/tls_inside.h"
#include "tests/unit/common/pki.h"
#include "tests/unit/common/tls_pair.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define ALL ((size_t)300 * 1000)

static struct pki pki;
static uint8_t data[ALL], raw[TLS_RAW_MIN], plain[TLS_RAW_MIN];
static const struct tls_rooms rooms = { raw, plain, sizeof raw, sizeof plain };

static void side_open(struct tls_side *s, const struct tls_conf *conf)
{
	const struct tls_io io = tls_pair_io(s);
	struct tls_ctx *ctx;

	assert_int_equal(tls_ctx_new(&ctx, conf, NULL), 0);
	assert_int_equal(tls_session_new(&s->session, ctx, &io, NULL), 0);
	tls_ctx_unref(ctx);
}

/* After their handshake; each side's records are its own, or OpenSSL's. */
static struct tls_pair *pair_new(bool client_own, bool server_own)
{
	const struct tls_conf client = { .ca_pem = pki.ca, .peer = TLS_PEER_REQUIRED, .bulk = true };
	const struct tls_conf server = {
		.server = true, .cert_pem = pki.server, .key_pem = pki.server_key_pem, .bulk = true
	};
	struct tls_pair *p = tls_pair_new();
	int a = TLS_AGAIN, b = TLS_AGAIN;

	side_open(&p->client, &client);
	side_open(&p->server, &server);
	for (unsigned i = 0; i < 10 && (a != 0 || b != 0); i++) {
		if (a != 0)
			a = tls_session_handshake(p->client.session);
		if (b != 0)
			b = tls_session_handshake(p->server.session);
	}
	assert_true(a == 0 && b == 0);
	if (client_own)
		assert_int_equal(tls_session_begin_bulk(p->client.session), 0);
	if (server_own)
		assert_int_equal(tls_session_begin_bulk(p->server.session), 0);
	return p;
}

static size_t put(struct tls_side *s, const uint8_t *p, size_t n)
{
	struct buf b;

	if (s->session->bulk == NULL)
		return (size_t)tls_session_write(s->session, p, MIN(n, 16384));
	n = MIN(n, 40000);
	buf_init(&b, 1 << 16);
	assert_int_equal(tls_session_seal(s->session, p, n, &b), 0);
	assert_int_equal(tls_pair_on_send(s, b.data, b.len), b.len);
	buf_free(&b);
	return n;
}

static size_t get(struct tls_side *s, ssize_t *end)
{
	size_t n;

	if (s->session->bulk != NULL)
		return tls_session_unseal(s->session, &rooms, end);
	*end = tls_session_read(s->session, plain, sizeof plain);
	n = *end > 0 ? (size_t)*end : 0;
	return n;
}

/* Pieces of any size, taken as they come. */
static void move(struct tls_side *from, struct tls_side *to, size_t piece)
{
	size_t sent = 0, got = 0;
	ssize_t end;

	while (got < ALL) {
		if (sent < ALL)
			sent += put(from, data + sent, MIN(piece, ALL - sent));
		do {
			size_t n = get(to, &end);

			assert_true(got + n <= sent);
			assert_memory_equal(plain, data + got, n);
			got += n;
		} while (end > 0);
		assert_int_equal(end, TLS_AGAIN);
	}
}

static void test_both_ways(void **state)
{
	static const struct {
		bool client, server;
	} cases[] = { { true, true }, { true, false }, { false, true } };
	static const size_t pieces[] = { 700, 16384, 40000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
			struct tls_pair *p = pair_new(cases[i].client, cases[i].server);

			move(&p->client, &p->server, pieces[k]);
			move(&p->server, &p->client, pieces[k]);
			tls_pair_free(p);
		}
	}
}

/* Each side has new keys after a number of records, and says so; OpenSSL follows, too. */
static void test_keys_are_renewed(void **state)
{
	(void)state;
	for (unsigned own = 0; own < 2; own++) {
		struct tls_pair *p = pair_new(true, own);
		uint8_t before[TLS_SECRET_MAX];

		memcpy(before, p->client.session->bulk->out.secret, sizeof before);
		p->client.session->bulk->renew_after = 3;
		move(&p->client, &p->server, 1000);
		assert_memory_not_equal(before, p->client.session->bulk->out.secret, sizeof before);
		assert_true(p->client.session->bulk->out.number <= 4);
		move(&p->server, &p->client, 1000);
		tls_pair_free(p);
	}
}

/* Bytes on their way to the client are spoilt, or cut. */
static int spoilt(void (*how)(struct tls_lane *l), const char **why)
{
	struct tls_pair *p = pair_new(true, true);
	static char reason[64];
	ssize_t end;

	assert_int_equal(put(&p->server, data, 100), 100);
	how(&p->down);
	assert_int_equal(get(&p->client, &end), 0);
	strncpy(reason, tls_session_reason(p->client.session), sizeof reason - 1);
	*why = reason;
	tls_pair_free(p);
	return (int)end;
}

static void flip_last(struct tls_lane *l)
{
	l->data[l->n - 1] ^= 1;
}

static void flip_first(struct tls_lane *l)
{
	l->data[TLS_RECORD_HEAD] ^= 0x80;
}

static void change_type(struct tls_lane *l)
{
	l->data[0] = 22;
}

static void make_long(struct tls_lane *l)
{
	l->data[3] = 0x41;
	l->data[4] = 1;
}

static void make_short(struct tls_lane *l)
{
	l->data[3] = 0;
	l->data[4] = TLS_RECORD_TAG;
}

static void say_twice(struct tls_lane *l)
{
	memcpy(l->data + l->n, l->data, l->n);
	l->n *= 2;
	memmove(l->data, l->data + l->n / 2, l->n / 2);
	l->data[l->n - 1] ^= 1; /* the first is good, and its copy is not */
}

static void cut(struct tls_lane *l)
{
	l->n -= 10;
	l->closed = true;
}

static void test_what_is_not_genuine(void **state)
{
	const char *why;

	(void)state;
	assert_int_equal(spoilt(flip_last, &why), TLS_FAILED);
	assert_string_equal(why, "a TLS record that is not genuine");
	assert_int_equal(spoilt(flip_first, &why), TLS_FAILED);
	assert_int_equal(spoilt(change_type, &why), TLS_FAILED);
	assert_string_equal(why, "no TLS record");
	assert_int_equal(spoilt(make_long, &why), TLS_FAILED);
	assert_int_equal(spoilt(make_short, &why), TLS_FAILED);
	assert_int_equal(spoilt(cut, &why), TLS_CLOSED);
}

/* A record that comes a second time has another number. */
static void test_replay(void **state)
{
	struct tls_pair *p = pair_new(true, true);
	ssize_t end;

	(void)state;
	assert_int_equal(put(&p->server, data, 100), 100);
	say_twice(&p->down);
	p->down.data[p->down.n - 1] ^= 1; /* the copy, as it was */
	assert_int_equal(get(&p->client, &end), 100);
	assert_int_equal(end, TLS_FAILED);
	tls_pair_free(p);
}

static void send_record(struct tls_side *s, enum tls_record_type type, const void *p, size_t n)
{
	uint8_t record[TLS_RECORD_MAX];

	assert_int_equal(tls_record_seal(&s->session->bulk->out, type, p, n, record), 0);
	assert_int_equal(tls_pair_on_send(s, record, n + TLS_RECORD_ADDS), n + TLS_RECORD_ADDS);
}

/* Ends, alerts, and messages that nobody may send now. */
static void test_other_records(void **state)
{
	static const struct {
		uint8_t type, n;
		const char *bytes;
		int end;
		const char *reason;
	} cases[] = {
		{ TLS_RECORD_ALERT, 2, "\x01\x00", TLS_CLOSED, "none" },
		{ TLS_RECORD_ALERT, 2, "\x02\x28", TLS_FAILED, "the peer sent a TLS alert: handshake failure" },
		{ TLS_RECORD_ALERT, 2, "\x02\x14", TLS_FAILED, "the peer sent a TLS alert: bad record mac" },
		{ TLS_RECORD_ALERT, 2, "\x02\xff", TLS_FAILED, "the peer sent a TLS alert: unknown" },
		{ TLS_RECORD_ALERT, 1, "\x02", TLS_FAILED, "a TLS message that has no place there" },
		{ TLS_RECORD_HANDSHAKE, 5, "\x18\x00\x00\x01\x02", TLS_FAILED,
			"a TLS message that has no place there" },
		{ TLS_RECORD_HANDSHAKE, 5, "\x04\x00\x00\x01\x00", TLS_FAILED,
			"a TLS message that has no place there" },
		{ TLS_RECORD_HANDSHAKE, 4, "\x18\x00\x00\x01", TLS_FAILED, "a TLS message that has no place there" },
		{ 24, 1, "x", TLS_FAILED, "a TLS message that has no place there" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct tls_pair *p = pair_new(true, true);
		ssize_t end;

		send_record(&p->server, cases[i].type, cases[i].bytes, cases[i].n);
		assert_int_equal(get(&p->client, &end), 0);
		assert_int_equal(end, cases[i].end);
		assert_string_equal(tls_session_reason(p->client.session), cases[i].reason);
		tls_pair_free(p);
	}
}

/* A peer that wants new keys of us gets them with our next bytes; an empty record is nothing. */
static void test_asked_for_new_keys(void **state)
{
	struct tls_pair *p = pair_new(true, true);
	uint8_t before[TLS_SECRET_MAX];
	ssize_t end;

	(void)state;
	send_record(&p->server, TLS_RECORD_DATA, "", 0);
	send_record(&p->server, TLS_RECORD_HANDSHAKE, "\x18\x00\x00\x01\x01", 5);
	assert_int_equal(tls_record_renew(&p->server.session->bulk->out), 0);
	memcpy(before, p->client.session->bulk->out.secret, sizeof before);
	assert_int_equal(get(&p->client, &end), 0);
	assert_int_equal(end, TLS_AGAIN);
	move(&p->client, &p->server, 1000);
	assert_memory_not_equal(before, p->client.session->bulk->out.secret, sizeof before);
	move(&p->server, &p->client, 1000);
	tls_pair_free(p);
}

/* Behind what ends a session more than one record may lie: none of it is kept. */
static void test_bytes_behind_an_end(void **state)
{
	static const uint8_t records[][2] = { { TLS_RECORD_ALERT, 2 }, { TLS_RECORD_HANDSHAKE, 1 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(records); i++) {
		struct tls_pair *p = pair_new(true, true);
		ssize_t end;

		send_record(&p->server, records[i][0], "\x01", records[i][1]);
		assert_int_equal(tls_pair_on_send(&p->server, data, TLS_RAW_MIN), TLS_RAW_MIN);
		assert_int_equal(get(&p->client, &end), 0);
		assert_int_equal(end, i == 0 ? TLS_CLOSED : TLS_FAILED);
		assert_null(p->client.session->bulk->part);
		tls_pair_free(p);
	}
}

/* Some are nothing; a stream of them, each with its keys, is an attack. */
static void test_records_without_data(void **state)
{
	static const uint8_t update[] = { 24, 0, 0, 1, 0 };

	(void)state;
	for (unsigned updates = 0; updates < 2; updates++) {
		struct tls_pair *p = pair_new(true, true);
		ssize_t end;

		for (unsigned i = 0; i < 66; i++) {
			if (i == 32)
				assert_int_equal(put(&p->server, data, 1), 1);
			if (updates == 0) {
				send_record(&p->server, TLS_RECORD_DATA, "", 0);
			} else {
				send_record(&p->server, TLS_RECORD_HANDSHAKE, update, sizeof update);
				assert_int_equal(tls_record_renew(&p->server.session->bulk->out), 0);
			}
		}
		assert_int_equal(get(&p->client, &end), 1);
		assert_int_equal(end, TLS_FAILED);
		assert_string_equal(tls_session_reason(p->client.session), "too many TLS records without data");
		tls_pair_free(p);
	}
}

/* OpenSSL's word that it closes. */
static void test_close(void **state)
{
	struct tls_pair *p = pair_new(true, false);
	ssize_t end;

	(void)state;
	tls_session_shutdown(p->server.session);
	assert_int_equal(get(&p->client, &end), 0);
	assert_int_equal(end, TLS_CLOSED);
	tls_pair_free(p);
}

static void test_not_such_a_session(void **state)
{
	struct tls_pair *p = pair_new(true, false);
	const struct tls_conf server = { .server = true, .cert_pem = pki.server, .key_pem = pki.server_key_pem };
	struct tls_side plain_one = { .in = &p->up, .out = &p->down };

	(void)state;
	assert_int_equal(tls_session_begin_bulk(p->client.session), -1); /* a second time */
	assert_string_equal(tls_session_reason(p->client.session), "the TLS session carries much already");
	side_open(&plain_one, &server);
	assert_int_equal(tls_session_begin_bulk(plain_one.session), -1); /* before its handshake, of another context */
	assert_string_equal(tls_session_reason(plain_one.session), "not a TLS 1.3 session that can carry much");
	tls_session_free(plain_one.session);
	tls_pair_free(p);
}

static int set_up(void **state)
{
	(void)state;
	pki_init(&pki);
	rand_bytes(data, sizeof data);
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
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_keys_are_renewed),
		cmocka_unit_test(test_what_is_not_genuine),
		cmocka_unit_test(test_replay),
		cmocka_unit_test(test_other_records),
		cmocka_unit_test(test_asked_for_new_keys),
		cmocka_unit_test(test_bytes_behind_an_end),
		cmocka_unit_test(test_records_without_data),
		cmocka_unit_test(test_close),
		cmocka_unit_test(test_not_such_a_session),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
