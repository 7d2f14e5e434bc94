/* A handshake through wires that take a few bytes at a time: nothing of a flight is lost, and one with room takes each flight at once. */
#include "relayd/http/wire_tls.h"

#include "common/base/err.h"
#include "common/crypto/tls_store.h"
#include "tests/unit/common/site_pki.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define NAME "a.example"

/* One end: what it wrote waits in `out` for the other one. */
struct end {
	struct wire wire;
	struct end *far;
	uint8_t out[64 * 1024];
	size_t at, n, room; /* room: bytes that one write takes */
	unsigned writes;
};

static struct site_cert ca, leaf;
static struct tls_ctx *server, *client;
static struct tls_store *store;
static struct worker worker;

static ssize_t end_read(struct wire *w, struct worker *on, uint8_t *p, size_t n)
{
	struct end *far = CONTAINER_OF(w, struct end, wire)->far;
	const size_t part = MIN(n, far->n - far->at);

	(void)on;
	if (part == 0) {
		w->side.readable = false;
		return WIRE_AGAIN;
	}
	memcpy(p, far->out + far->at, part);
	far->at += part;
	return (ssize_t)part;
}

/* Takes every other time only, so that what is left has to wait. */
static ssize_t end_writev(struct wire *w, const struct iovec *iov, int n)
{
	struct end *e = CONTAINER_OF(w, struct end, wire);
	const size_t part = MIN(iov[0].iov_len, e->room);

	assert_int_equal(n, 1);
	if (e->writes++ % 2 == 1 && e->room < sizeof e->out)
		return WIRE_AGAIN;
	memcpy(e->out + e->n, iov[0].iov_base, part);
	e->n += part;
	e->far->wire.side.readable = true;
	return (ssize_t)part;
}

static int end_finish(struct wire *w)
{
	(void)w;
	return 0;
}

static void end_close(struct wire *w, bool reset)
{
	(void)w, (void)reset;
}

static const struct wire_ops end_ops = {
	.read = end_read, .writev = end_writev, .finish = end_finish, .close = end_close
};

static void open_ends(struct end *a, struct end *b, size_t room)
{
	const struct tls_accept how = { .store = store, .realm = "ten", .scope = NAME, .alpn = "", .alpn_n = 0 };

	*a = (struct end){ .wire.ops = &end_ops, .far = b, .room = room };
	*b = (struct end){ .wire.ops = &end_ops, .far = a, .room = room };
	assert_int_equal(wire_tls_accept(&a->wire, &worker, server, &how), 0);
	assert_int_equal(wire_tls_connect(&b->wire, &worker, client, NAME), 0);
}

static void shake(struct end *a, struct end *b)
{
	int of_a = WIRE_AGAIN, of_b = WIRE_AGAIN;

	for (unsigned i = 0; i < 2000 && (of_a != 0 || of_b != 0); i++) {
		if (of_b == WIRE_AGAIN)
			of_b = wire_tls_handshake(&b->wire);
		if (of_a == WIRE_AGAIN)
			of_a = wire_tls_handshake(&a->wire);
	}
	assert_int_equal(of_a, 0);
	assert_int_equal(of_b, 0);
}

static void talk(struct end *a, struct end *b)
{
	const struct iovec word = { (void *)(uintptr_t) "hello", 5 };
	uint8_t got[64];

	a->room = sizeof a->out;
	assert_int_equal(wire_writev(&a->wire, &word, 1), 5);
	assert_int_equal(wire_read(&b->wire, &worker, got, sizeof got), 5);
	assert_memory_equal(got, "hello", 5);
}

static void close_ends(struct end *a, struct end *b)
{
	wire_close(&a->wire, true);
	wire_close(&b->wire, true);
	free(a);
	free(b);
}

static void a_flight_is_one_write(void **state)
{
	struct end *a = malloc(sizeof *a), *b = malloc(sizeof *b);

	(void)state;
	open_ends(a, b, sizeof a->out);
	shake(a, b);
	assert_int_equal(a->writes, 2); /* from ServerHello to Finished; both tickets */
	assert_int_equal(b->writes, 2);
	talk(a, b);
	close_ends(a, b);
}

static void a_flight_in_small_pieces(void **state)
{
	struct end *a = malloc(sizeof *a), *b = malloc(sizeof *b);

	(void)state;
	open_ends(a, b, 7);
	shake(a, b);
	assert_true(a->writes > 100);
	talk(a, b);
	close_ends(a, b);
}

/* Somebody who leaves in the middle: what was held goes with the wire. */
static void closed_in_the_middle(void **state)
{
	struct end *a = malloc(sizeof *a), *b = malloc(sizeof *b);

	(void)state;
	open_ends(a, b, 1000);
	assert_int_equal(wire_tls_handshake(&b->wire), WIRE_AGAIN);
	a->room = 7;
	assert_int_equal(wire_tls_handshake(&a->wire), WIRE_AGAIN);
	close_ends(a, b);
}

static int set_up(void **state)
{
	const struct tls_conf serve = { .server = true, .by_name = true, .min_version = 12 };
	const struct tls_ticket_key key = { { 1 }, { 2 }, { 3 }, 0, INT64_MAX };
	struct tls_conf ask = { .ca_pem = NULL };
	struct tls_cert *cert;

	(void)state;
	site_make(&ca, SITE_ECDSA, "CA", NULL, NULL, 10);
	site_make(&leaf, SITE_ECDSA, NAME, "DNS:" NAME, &ca, 10);
	ask.ca_pem = ca.chain;
	if (tls_ctx_new(&server, &serve, NULL) != 0 || tls_ctx_new(&client, &ask, NULL) != 0 ||
		tls_store_new(&store, NULL) != 0 || tls_cert_new(&cert, leaf.chain, leaf.key, NULL) != 0)
		return -1;
	if (tls_store_add(store, "ten", NAME, cert) != 0 || tls_store_add_ticket_key(store, &key) != 0)
		return -1;
	tls_cert_unref(cert);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tls_store_unref(store);
	tls_ctx_unref(server);
	tls_ctx_unref(client);
	site_free(&ca);
	site_free(&leaf);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flight_is_one_write),
		cmocka_unit_test(a_flight_in_small_pieces),
		cmocka_unit_test(closed_in_the_middle),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
