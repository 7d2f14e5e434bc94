/*
 * HTTP/1.1 from both sides. How the bytes are cut must not matter, and a head that was accepted and is written again for the
 * next hop means the same there: what two readers could understand differently would be smuggling.
 *
 * The first byte says what is read: a request, or a response to GET, HEAD, CONNECT or Upgrade; and small or usual limits.
 */
#include "common/http/http_writer.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/http_story.h"

static const struct http_limits small = {
	.line = 40, .field = 50, .head = 120, .fields = 4, .chunk_ext = 10, .interim = 2
};
static const char *const asked[] = { NULL, "gggg", "hghg", "cc", "ug" };

static void choose(struct story *s, uint8_t byte)
{
	memset(s, 0, sizeof *s);
	s->asked = asked[byte % 5];
	s->limits = byte & 0x40 ? &small : &http_limits_default;
	s->body_max = byte & 0x20 ? 7 : 0;
	s->resume = s->eof = (byte & 0x80) != 0;
}

static void fuzz_cuts(const uint8_t *data, size_t size)
{
	static const size_t steps[] = { 1, 2, 7, 64 };
	static struct story whole, pieces;

	choose(&whole, data[0]);
	story_tell(&whole, data + 1, size - 1, SIZE_MAX);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		choose(&pieces, data[0]);
		story_tell(&pieces, data + 1, size - 1, steps[i]);
		FUZZ_CHECK(whole.text.len == pieces.text.len);
		FUZZ_CHECK(strcmp(buf_cstr(&whole.text), buf_cstr(&pieces.text)) == 0);
		buf_free(&pieces.text);
	}
	buf_free(&whole.text);
}

static bool same_part(const struct http_head *a, struct http_part pa, const struct http_head *b, struct http_part pb)
{
	return pa.n == pb.n && memcmp(a->base + pa.at, b->base + pb.at, pa.n) == 0;
}

/* A request as a relay sends it on, read again: the same request, with the same end. */
static void fuzz_forward(const uint8_t *data, size_t size)
{
	static uint8_t out[4 * HTTP_HEAD_MAX];
	struct http_reader first, second;
	struct http_head h, again;
	struct http_piece piece;
	struct http_writer w;
	bool until_close;
	int n;

	http_reader_init_request(&first, &http_limits_default);
	if (http_reader_next(&first, &h, data, size, &piece) != HTTP_HEAD_IN || h.method == HTTP_CONNECT)
		return;
	http_writer_init(&w, out, sizeof out);
	http_writer_request(&w, http_head_part(&h, h.method_at), http_head_path(&h), http_head_part(&h, h.query));
	http_writer_fields(&w, &h, HTTP_SET(HOST) | HTTP_SET(EXPECT));
	http_writer_field(&w, "Host", h.host.n > 0 ? http_head_part(&h, h.host) : (struct http_span){ "x", 1 });
	http_writer_framing(&w, &h, false, &until_close);
	n = http_writer_done(&w);
	FUZZ_CHECK(n > 0);
	http_reader_init_request(&second, &http_limits_default);
	if (http_reader_next(&second, &again, out, (size_t)n, &piece) != HTTP_HEAD_IN) {
		/* A few bytes longer than it came, which the limits may forbid. */
		FUZZ_CHECK(http_fault_status(piece.fault) == 431 || http_fault_status(piece.fault) == 414);
		return;
	}
	FUZZ_CHECK(piece.used == (size_t)n);
	FUZZ_CHECK(again.body == h.body && again.length == h.length && again.method == h.method);
	FUZZ_CHECK(same_part(&h, h.method_at, &again, again.method_at) && same_part(&h, h.query, &again, again.query));
	for (uint16_t i = 0; i < again.n; i++)
		FUZZ_CHECK((again.fields[i].flags & HTTP_FIELD_HOP) == 0 ||
			   again.fields[i].id == HTTP_NAME_TRANSFER_ENCODING);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	fuzz_cuts(data, size);
	if (data[0] % 5 == 0)
		fuzz_forward(data + 1, size - 1);
	return 0;
}
