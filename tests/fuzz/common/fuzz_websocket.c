/*
 * What a stranger sends to the agents' port after a 'G', and what a web server answers an agent: in one piece or byte by byte
 * it does the same. The first byte says whose peer it is, and whether frames have begun.
 */
#include "common/base/buf.h"
#include "common/tunnel/websocket.h"
#include "tests/fuzz/fuzz.h"

#define REQUEST                                                                                         \
	"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " \
	"dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

struct seen {
	struct websocket *w;
	struct buf out;
	bool open;
	int end; /* 0: not yet */
	uint64_t bytes, sum;
};

static void take(struct seen *s, const uint8_t *p, size_t n)
{
	uint8_t piece[997];
	ssize_t k = 0;

	if (s->end != 0)
		return;
	websocket_feed(s->w, p, n);
	if (!s->open)
		s->end = websocket_shake(s->w, &s->out);
	if (s->end > 0) {
		s->open = true;
		s->end = 0;
	}
	if (!s->open)
		return;
	while ((k = websocket_take(s->w, piece, sizeof piece, &s->out)) > 0) {
		for (ssize_t i = 0; i < k; i++)
			s->sum = s->sum * 31 + piece[i];
		s->bytes += (uint64_t)k;
	}
	s->end = (int)k;
}

static void feed(struct seen *s, const uint8_t *data, size_t size, size_t step)
{
	uint8_t how = data[0];

	*s = (struct seen){ .w = NULL };
	buf_init(&s->out, 1 << 20);
	if (websocket_new(&s->w, how & 1 ? "host" : NULL, "/") != 0)
		abort();
	if (how & 1 && websocket_shake(s->w, &s->out) != 0)
		abort();
	if (how == 2)
		take(s, (const uint8_t *)REQUEST, sizeof REQUEST - 1);
	for (size_t at = 1; at < size; at += step)
		take(s, data + at, MIN(step, size - at));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen whole, slow;

	if (size == 0)
		return 0;
	feed(&whole, data, size, size);
	feed(&slow, data, size, 1);
	FUZZ_CHECK(whole.open == slow.open && whole.end == slow.end);
	FUZZ_CHECK(whole.bytes == slow.bytes && whole.sum == slow.sum && whole.out.len == slow.out.len);
	websocket_free(whole.w);
	websocket_free(slow.w);
	buf_free(&whole.out);
	buf_free(&slow.out);
	return 0;
}
