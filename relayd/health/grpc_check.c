#include "relayd/health/grpc_check.h"

#include "common/base/cursor.h"
#include "common/base/str.h"

#include <string.h>

/* RFC 9113 section 6 */
enum { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, PING = 6, GOAWAY = 7 };
enum { END_STREAM = 0x1, ACK = 0x1, END_HEADERS = 0x4, PADDED = 0x8 };

#define FRAME_HEAD 9
#define FRAME_MAX  16384
#define SERVING    1

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
static const char path[] = "/grpc.health.v1.Health/Check";

/* ---- out ---- */

static void put_frame(struct buf *b, uint8_t type, uint8_t flags, uint32_t stream, const struct buf *payload)
{
	buf_u8(b, (uint8_t)(payload->len >> 16));
	buf_u16(b, (uint16_t)payload->len);
	buf_u8(b, type);
	buf_u8(b, flags);
	buf_u32(b, stream);
	buf_put(b, payload->data, payload->len);
}

/* A string without Huffman (RFC 7541 section 5.2). */
static void put_string(struct buf *b, const char *s)
{
	const size_t n = strlen(s);

	if (n < 127) {
		buf_u8(b, (uint8_t)n);
	} else { /* at most 255 + 127 here */
		buf_u8(b, 127);
		for (size_t left = n - 127;; left >>= 7) {
			buf_u8(b, (uint8_t)(left < 128 ? left : (left & 127) | 128));
			if (left < 128)
				break;
		}
	}
	buf_put(b, s, n);
}

/* A field that is in no table afterwards, its name by its number in the static table (RFC 7541 section 6.2.2). */
static void put_field(struct buf *b, unsigned name, const char *value)
{
	if (name < 15) {
		buf_u8(b, (uint8_t)name);
	} else {
		buf_u8(b, 15);
		buf_u8(b, (uint8_t)(name - 15));
	}
	put_string(b, value);
}

static void put_headers(struct buf *out, const char *authority, bool tls)
{
	struct buf b;

	buf_init(&b, 4096);
	buf_u8(&b, 0x83);              /* :method POST */
	buf_u8(&b, tls ? 0x87 : 0x86); /* :scheme https, http */
	put_field(&b, 4, path);
	put_field(&b, 1, authority);
	put_field(&b, 31, "application/grpc");
	put_field(&b, 58, "portway-relay");
	buf_u8(&b, 0); /* a name that is in no table */
	put_string(&b, "te");
	put_string(&b, "trailers");
	put_frame(out, HEADERS, END_HEADERS, 1, &b);
	buf_free(&b);
}

/* HealthCheckRequest { string service = 1; }, uncompressed. */
static void put_message(struct buf *out, const char *service)
{
	const size_t n = strlen(service);
	struct buf b, m;

	buf_init(&m, 4096);
	if (n > 0) {
		buf_u8(&m, 0x0a);
		for (size_t left = n;; left >>= 7) {
			buf_u8(&m, (uint8_t)(left < 128 ? left : (left & 127) | 128));
			if (left < 128)
				break;
		}
		buf_put(&m, service, n);
	}
	buf_init(&b, 8192);
	buf_u8(&b, 0);
	buf_u32(&b, (uint32_t)m.len);
	buf_put(&b, m.data, m.len);
	put_frame(out, DATA, END_STREAM, 1, &b);
	buf_free(&b);
	buf_free(&m);
}

void grpc_check_init(struct grpc_check *c, const char *authority, const char *service, bool tls)
{
	const struct buf nothing = { .len = 0 };

	memset(c, 0, sizeof *c);
	buf_init(&c->in, FRAME_HEAD + FRAME_MAX + 4096);
	buf_init(&c->message, GRPC_CHECK_MESSAGE);
	buf_init(&c->out, 64 * 1024);
	buf_put(&c->out, preface, sizeof preface - 1);
	put_frame(&c->out, SETTINGS, 0, 0, &nothing);
	put_headers(&c->out, authority, tls);
	put_message(&c->out, service);
}

void grpc_check_fini(struct grpc_check *c)
{
	buf_free(&c->in);
	buf_free(&c->message);
	buf_free(&c->out);
}

/* ---- in ---- */

static enum grpc_check_says bad(struct grpc_check *c, const char *why)
{
	str_copy(c->why, sizeof c->why, why);
	return GRPC_CHECK_BAD;
}

static uint64_t varint(struct cursor *c)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		const uint8_t byte = cursor_u8(c);

		v |= (uint64_t)(byte & 127) << shift;
		if (byte < 128)
			return v;
	}
	cursor_fail(c);
	return 0;
}

/* HealthCheckResponse { ServingStatus status = 1; }: 0 is left out, and says UNKNOWN. */
static enum grpc_check_says judge(struct grpc_check *c)
{
	struct cursor m;
	uint64_t status = 0;

	cursor_init(&m, c->message.data, c->message.len);
	if (cursor_u8(&m) != 0)
		return bad(c, "the answer is compressed, which nobody asked for");
	if (cursor_u32(&m) != m.left)
		return GRPC_CHECK_MORE;
	while (m.left > 0 && !m.failed) {
		const uint64_t key = varint(&m);

		if ((key & 7) != 0) /* a field that this build does not know: what follows does not matter any more */
			break;
		if (key >> 3 == 1)
			status = varint(&m);
		else
			(void)varint(&m);
	}
	if (m.failed)
		return bad(c, "the answer is no HealthCheckResponse");
	if (status == SERVING)
		return GRPC_CHECK_GOOD;
	return bad(c, status == 2 ? "NOT_SERVING" : status == 3 ? "SERVICE_UNKNOWN" : "serving status UNKNOWN");
}

static enum grpc_check_says on_data(struct grpc_check *c, uint8_t flags, const uint8_t *p, size_t n)
{
	size_t pad = 0;

	if (flags & PADDED) {
		if (n == 0 || p[0] >= n)
			return bad(c, "a frame of HTTP/2 is malformed");
		pad = p[0];
		p++;
		n -= 1 + pad;
	}
	buf_put(&c->message, p, n);
	if (c->message.failed)
		return bad(c, "the answer is longer than a HealthCheckResponse");
	if (c->message.len >= 5) {
		const enum grpc_check_says says = judge(c);

		if (says != GRPC_CHECK_MORE)
			return says;
	}
	return flags & END_STREAM ? bad(c, "the call ended without an answer") : GRPC_CHECK_MORE;
}

static enum grpc_check_says on_frame(struct grpc_check *c, uint8_t type, uint8_t flags, const uint8_t *p, size_t n)
{
	const struct buf same = { .data = (uint8_t *)(uintptr_t)p, .len = n }, nothing = { .len = 0 };

	switch (type) {
	case DATA:
		return on_data(c, flags, p, n);
	case HEADERS: /* with a status that is an error there is no message */
		return flags & END_STREAM
		               ? bad(c, "the call was refused: the server has no health service, or not this one")
		               : GRPC_CHECK_MORE;
	case SETTINGS:
		if ((flags & ACK) == 0)
			put_frame(&c->out, SETTINGS, ACK, 0, &nothing);
		return GRPC_CHECK_MORE;
	case PING:
		if ((flags & ACK) == 0)
			put_frame(&c->out, PING, ACK, 0, &same);
		return GRPC_CHECK_MORE;
	case RST_STREAM:
	case GOAWAY:
		return bad(c, type == GOAWAY ? "the server ended the connection" : "the server reset the call");
	default:
		return GRPC_CHECK_MORE;
	}
}

enum grpc_check_says grpc_check_feed(struct grpc_check *c, const void *p, size_t n)
{
	enum grpc_check_says says = GRPC_CHECK_MORE;
	size_t at = 0;

	buf_put(&c->in, p, n);
	if (c->in.failed)
		return bad(c, "a frame of HTTP/2 is longer than it may be");
	while (says == GRPC_CHECK_MORE && c->in.len - at >= FRAME_HEAD) {
		const uint8_t *f = c->in.data + at;
		const size_t size = (size_t)f[0] << 16 | (size_t)f[1] << 8 | f[2];

		if (size > FRAME_MAX)
			return bad(c, "the answer is not HTTP/2");
		if (c->in.len - at < FRAME_HEAD + size)
			break;
		says = on_frame(c, f[3], f[4], f + FRAME_HEAD, size);
		at += FRAME_HEAD + size;
	}
	buf_consume(&c->in, at);
	if (c->out.failed)
		return bad(c, "the server asks more than it answers");
	return says;
}

enum grpc_check_says grpc_check_eof(struct grpc_check *c)
{
	return bad(c, "the connection ended without an answer");
}
