/* Frames to a wire: many at once, none lost or out of order when the wire is full in between. */
#include "relayd/http/h2_send.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define REQUESTS 50

/* A wire that takes `room` bytes, and keeps them. */
struct sink {
	struct wire wire;
	uint8_t bytes[512 * 1024];
	size_t n, room;
	unsigned calls;
};

static ssize_t sink_writev(struct wire *w, const struct iovec *iov, int n)
{
	struct sink *s = CONTAINER_OF(w, struct sink, wire);
	const size_t before = s->n;
	size_t all = 0;

	s->calls++;
	for (int i = 0; i < n; i++) {
		const size_t part = MIN(iov[i].iov_len, s->room - s->n);

		memcpy(s->bytes + s->n, iov[i].iov_base, part);
		s->n += part;
		all += iov[i].iov_len;
	}
	if (s->n - before < all)
		w->side.writable = false;
	return s->n > before ? (ssize_t)(s->n - before) : WIRE_AGAIN;
}

static const struct wire_ops sink_ops = { .writev = sink_writev };

struct lab {
	struct sink sink;
	struct blocks blocks;
	struct outbox out;
	nghttp2_session *client, *server;
	unsigned heads;
	size_t content;
	bool wrong;
};

static ssize_t on_read(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t length, uint32_t *flags,
	nghttp2_data_source *source, void *arg)
{
	(void)ng, (void)source, (void)arg;
	memset(buf, 'a' + id % 26, length);
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)MIN(length, H2_SEND_DATA);
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct lab *l = arg;

	(void)ng;
	l->heads += frame->hd.type == NGHTTP2_HEADERS;
	return 0;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	struct lab *l = arg;

	(void)ng, (void)flags;
	l->content += n;
	for (size_t i = 0; i < n; i++)
		l->wrong |= p[i] != 'a' + id % 26;
	return 0;
}

static struct lab *lab_open(size_t room)
{
	struct lab *l = calloc(1, sizeof *l);
	nghttp2_session_callbacks *cb;

	assert_non_null(l);
	assert_int_equal(nghttp2_session_callbacks_new(&cb), 0);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	assert_int_equal(nghttp2_session_client_new(&l->client, cb, l), 0);
	assert_int_equal(nghttp2_session_server_new(&l->server, cb, l), 0);
	nghttp2_session_callbacks_del(cb);
	assert_int_equal(nghttp2_submit_settings(l->client, NGHTTP2_FLAG_NONE, NULL, 0), 0);
	l->sink.wire.ops = &sink_ops;
	l->sink.wire.side.writable = true;
	l->sink.room = room;
	return l;
}

static void lab_close(struct lab *l)
{
	outbox_fini(&l->out, &l->blocks);
	blocks_fini(&l->blocks);
	nghttp2_session_del(l->client);
	nghttp2_session_del(l->server);
	free(l);
}

static void ask(struct lab *l, unsigned n, bool content)
{
#define FIELD(name, value)                                                                    \
	{                                                                                     \
		(uint8_t *)(name), (uint8_t *)(value), sizeof(name) - 1, sizeof(value) - 1, 0 \
	}
	const nghttp2_nv nv[] = { FIELD(":method", "POST"), FIELD(":scheme", "http"), FIELD(":path", "/a"),
		FIELD(":authority", "a.example") };
	const nghttp2_data_provider body = { .read_callback = on_read };

	for (unsigned i = 0; i < n; i++)
		assert_true(
			nghttp2_submit_request(l->client, NULL, nv, ARRAY_LEN(nv), content ? &body : NULL, NULL) > 0);
}

static void say(struct lab *l)
{
	h2_send(l->client, &l->out, &l->blocks, &l->sink.wire);
}

static void read_all(struct lab *l)
{
	assert_int_equal(nghttp2_session_mem_recv(l->server, l->sink.bytes, l->sink.n), (ssize_t)l->sink.n);
}

static void small_frames_go_in_one_call(void **state)
{
	struct lab *l = lab_open(sizeof l->sink.bytes);

	(void)state;
	ask(l, REQUESTS, false);
	say(l);
	assert_int_equal(l->sink.calls, 1);
	read_all(l);
	assert_int_equal(l->heads, REQUESTS);
	say(l);
	assert_int_equal(l->sink.calls, 1);
	lab_close(l);
}

/* Room comes in odd steps, so frames are cut anywhere. */
static void nothing_is_lost_at_a_full_wire(void **state)
{
	struct lab *l = lab_open(0);
	const unsigned n = 3; /* what a window of 64 KiB takes whole */

	(void)state;
	ask(l, n, true);
	while (l->sink.room < 200000) {
		l->sink.room += 977;
		l->sink.wire.side.writable = true;
		outbox_flush(&l->out, &l->blocks, &l->sink.wire);
		say(l);
	}
	assert_true(outbox_is_empty(&l->out));
	read_all(l);
	assert_int_equal(l->heads, n);
	assert_int_equal(l->content, n * H2_SEND_DATA);
	assert_false(l->wrong);
	lab_close(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_frames_go_in_one_call),
		cmocka_unit_test(nothing_is_lost_at_a_full_wire),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
