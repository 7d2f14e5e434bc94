/*
 * A link's peer: whatever it sends, in one piece or byte by byte, does the same, and what is held for it is bounded.
 */
#include "common/tunnel/frame_check.h"
#include "common/tunnel/frame_hello.h"
#include "common/tunnel/mux.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <sys/epoll.h>

#define STREAMS 16

/* What happened, as sums that any difference changes; of each stream, as the order between them is not promised. */
struct seen {
	struct mux mux;
	struct mux_pool pool;
	struct stream streams[STREAMS];
	uint64_t sum[STREAMS];
	unsigned n;
	uint64_t bytes, events;
};

static void see(struct seen *seen, const struct stream *s, const uint8_t *p, size_t n)
{
	uint64_t *sum = &seen->sum[s - seen->streams];

	for (size_t i = 0; i < n; i++)
		*sum = *sum * 31 + p[i];
	seen->bytes += n;
}

static void on_stream(struct stream *s, uint32_t events)
{
	struct seen *seen = s->owner;
	const uint8_t *p;
	struct iovec *d;
	size_t n;

	seen->events += events & (EPOLLERR | EPOLLRDHUP);
	if (s->kind == FRAME_UDP) {
		n = events & EPOLLIN ? stream_datagrams(s, &d) : 0;
		for (size_t i = 0; i < n; i++)
			see(seen, s, d[i].iov_base, d[i].iov_len);
		return;
	}
	/* Odd ones are never read. */
	while ((s - seen->streams) % 2 == 0 && (n = stream_peek(s, &p)) > 0) {
		see(seen, s, p, n);
		stream_take(s, n);
	}
	FUZZ_CHECK(s->kept_n <= MUX_WINDOW_MAX);
}

static void on_open(struct mux *m, uint32_t id, const struct frame_open *o)
{
	struct seen *seen = CONTAINER_OF(m, struct seen, mux);

	if (seen->n == STREAMS || stream_accept(&seen->streams[seen->n], m, id, o, on_stream, seen) != 0) {
		stream_refuse(m, id, 1, "full");
		return;
	}
	seen->n++;
	if (o->zip)
		stream_opened(&seen->streams[seen->n - 1]);
}

static int on_control(struct mux *m, const struct frame_head *h, const uint8_t *payload)
{
	union {
		struct frame_hello hello;
		struct frame_welcome welcome;
		struct frame_end end;
		struct frame_check check;
		struct frame_health health;
		struct frame_rules rules;
		uint64_t stamp;
	} any;

	(void)m;
	switch (h->type) {
	case FRAME_HELLO:
		return frame_hello_get(&any.hello, payload, h->n);
	case FRAME_WELCOME:
		return frame_welcome_get(&any.welcome, payload, h->n);
	case FRAME_CHECK:
		return frame_check_get(&any.check, payload, h->n);
	case FRAME_RULES:
		return frame_rules_get(&any.rules, payload, h->n);
	case FRAME_HEALTH:
		return frame_health_get(&any.health, payload, h->n);
	case FRAME_PING:
	case FRAME_PONG:
		return frame_ping_get(&any.stamp, payload, h->n);
	default:
		return frame_end_get(&any.end, payload, h->n);
	}
}

static void on_output(struct mux *m)
{
	(void)m;
}

static const struct mux_ops ops = { .on_open = on_open, .on_control = on_control, .on_output = on_output };

static int feed(struct seen *seen, const uint8_t *data, size_t size, size_t step)
{
	int r = 0;

	memset(seen, 0, sizeof *seen);
	mux_init(&seen->mux, &ops, 1);
	seen->mux.pool = &seen->pool;
	for (size_t at = 0; at < size && r == 0; at += step)
		r = mux_input(&seen->mux, data + at, MIN(step, size - at));
	return r;
}

static void end(struct seen *seen)
{
	mux_break(&seen->mux);
	mux_fini(&seen->mux);
	mux_pool_fini(&seen->pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct seen whole, slow;
	int a = feed(&whole, data, size, size > 0 ? size : 1), b = feed(&slow, data, size, 1);

	FUZZ_CHECK(a == b && whole.n == slow.n && whole.bytes == slow.bytes &&
		   memcmp(whole.sum, slow.sum, sizeof whole.sum) == 0);
	FUZZ_CHECK(whole.events == slow.events);
	end(&whole);
	end(&slow);
	return 0;
}
