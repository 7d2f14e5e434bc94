/*
 * What comes after a handshake: genuine records of any kind and size, in any order, and bytes that are none, in pieces of any
 * size. Content arrives whole and in order up to the record that ends the session, and nothing behind it.
 *
 * The input: a byte for the size of pieces, then orders of three bytes: a kind, a length (16 bits). Content is a counter's.
 */
#include "common/base/macros.h"
#include "common/crypto/tls.h"
#include "common/crypto/tls_inside.h"
#include "tests/fuzz/fuzz.h"

#include <openssl/evp.h>

#define WIRE_MAX ((size_t)256 * 1024)

enum order { ORDER_DATA, ORDER_UPDATE, ORDER_ALERT, ORDER_OTHER, ORDER_JUNK, ORDER_SPOILT, ORDERS };

struct wire {
	struct tls_record out;
	uint8_t *bytes;
	size_t n, at, piece;
	uint8_t next; /* of the content */
};

static ssize_t on_recv(void *arg, void *p, size_t n)
{
	struct wire *w = arg;
	size_t some = MIN(MIN(n, w->piece), w->n - w->at);

	if (some == 0)
		return TLS_AGAIN;
	memcpy(p, w->bytes + w->at, some);
	w->at += some;
	return (ssize_t)some;
}

static void put(struct wire *w, enum tls_record_type type, const uint8_t *p, size_t n)
{
	FUZZ_CHECK(tls_record_seal(&w->out, type, p, n, w->bytes + w->n) == 0);
	w->n += n + TLS_RECORD_ADDS;
}

/* Content that may be told from any other place of it. */
static void put_content(struct wire *w, enum tls_record_type type, size_t n)
{
	static uint8_t content[TLS_RECORD_BYTES];

	for (size_t i = 0; i < n; i++)
		content[i] = type == TLS_RECORD_DATA ? w->next++ : (uint8_t)i;
	put(w, type, content, n);
}

static void obey(struct wire *w, enum order order, size_t n)
{
	static const uint8_t update[] = { 24, 0, 0, 1, 0 };

	if (order == ORDER_DATA) {
		put_content(w, TLS_RECORD_DATA, n % (TLS_RECORD_BYTES + 1));
	} else if (order == ORDER_UPDATE) {
		put(w, TLS_RECORD_HANDSHAKE, update, sizeof update);
		FUZZ_CHECK(tls_record_renew(&w->out) == 0);
	} else if (order == ORDER_ALERT) {
		put(w, TLS_RECORD_ALERT, (const uint8_t[]){ 1, (uint8_t)n }, 2);
	} else if (order == ORDER_OTHER) {
		put_content(w, (enum tls_record_type)(n >> 8), n & 0xff);
	} else if (order == ORDER_JUNK) {
		memset(w->bytes + w->n, (int)(n >> 8), n & 0xff);
		w->n += n & 0xff;
	} else {
		put_content(w, TLS_RECORD_DATA, n & 0xff);
		w->bytes[w->n - 1] ^= 1;
	}
}

static void make_wire(struct wire *w, const uint8_t *data, size_t size)
{
	for (; size >= 3 && w->n + TLS_RECORD_MAX < WIRE_MAX; data += 3, size -= 3)
		obey(w, data[0] % ORDERS, (size_t)data[1] << 8 | data[2]);
}

static void read_all(struct tls_session *s, struct wire *w)
{
	static uint8_t raw[TLS_RAW_MIN + 4096], plain[2 * sizeof raw];
	const struct tls_rooms rooms = { raw, plain, sizeof raw, sizeof plain };
	uint8_t expected = 0;
	ssize_t end = 1;

	while (end > 0) {
		size_t n = tls_session_unseal(s, &rooms, &end);

		FUZZ_CHECK(n <= sizeof plain);
		for (size_t i = 0; i < n; i++)
			FUZZ_CHECK(plain[i] == expected++);
	}
	FUZZ_CHECK(end == TLS_AGAIN || end == TLS_CLOSED || end == TLS_FAILED);
	FUZZ_CHECK(end != TLS_AGAIN || w->at == w->n);
	FUZZ_CHECK(s->bulk->part_n < TLS_RECORD_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t secret[TLS_SECRET_MAX] = { 1 };
	struct wire w = { .bytes = malloc(WIRE_MAX) };
	struct tls_bulk *b = calloc(1, sizeof *b);
	struct tls_session s = { .bulk = b, .io = { .recv = on_recv, .arg = &w } };

	if (size > 0 && w.bytes != NULL && b != NULL &&
		tls_record_init(&w.out, true, EVP_aes_128_gcm(), EVP_sha256(), secret) == 0 &&
		tls_record_init(&b->in, false, EVP_aes_128_gcm(), EVP_sha256(), secret) == 0) {
		w.piece = (size_t)1 + data[0] * (size_t)257;
		make_wire(&w, data + 1, size - 1);
		read_all(&s, &w);
	}
	tls_record_fini(&w.out);
	tls_bulk_free(&s);
	free(w.bytes);
	return 0;
}
