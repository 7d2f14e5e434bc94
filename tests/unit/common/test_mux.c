#include "common/base/err.h"
#include "tests/unit/common/mux_way.h"

/* One that carries much has put there what may wait; another gets a little in all the same, again when that has left. */
static void test_little_beside_much(void **state)
{
	static const uint8_t piece[PIECE];
	static struct way w;
	const uint8_t *p;
	size_t n;

	(void)state;
	way_start(&w, NULL);
	carry(&w.from, &w.to);
	w.from.high = PIECE / 2;
	assert_int_equal(stream_send(&w.out[0], piece, sizeof piece), sizeof piece);
	assert_int_equal(stream_room(&w.out[0]), 0);
	assert_int_equal(stream_send(&w.out[1], piece, sizeof piece), 0); /* twice as much is the end of it */
	n = mux_output(&w.from, &p);
	mux_sent(&w.from, n / 4);
	assert_int_equal(stream_room(&w.out[0]), 0);
	assert_int_equal(stream_send(&w.out[1], piece, sizeof piece), MUX_OUT_LITTLE);
	assert_int_equal(stream_send(&w.out[1], piece, 1), 0);
	assert_int_equal(stream_send(&w.out[2], piece, 100), 100);
	mux_sent(&w.from, mux_output(&w.from, &p));
	assert_int_equal(stream_send(&w.out[1], piece, 1), 1);
	mux_rest(&w.from);
	way_end(&w);
}

struct content {
	uint8_t next; /* of a sequence */
	uint64_t n;
};

static void on_content(struct stream *s, uint32_t events)
{
	struct content *c = s->owner;
	const uint8_t *p;
	size_t n;

	while ((events & EPOLLIN) && (n = stream_peek(s, &p)) > 0) {
		for (size_t i = 0; i < n; i++)
			assert_int_equal(p[i], c->next++);
		c->n += n;
		stream_take(s, n);
	}
}

static void count_up(uint8_t *p, size_t n, uint8_t *next)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (*next)++;
}

/* Put in place or copied, and taken away in pieces of any size: the same bytes arrive in the same order. */
static void test_output_in_pieces(void **state)
{
	static struct way w;
	static uint8_t piece[9000];
	struct content c = { .n = 0 };
	uint64_t sent = 0;
	const uint8_t *p;
	uint8_t next = 0;
	size_t n;

	(void)state;
	way_start(&w, NULL);
	carry(&w.from, &w.to);
	w.in[0].on_event = on_content;
	w.in[0].owner = &c;
	for (size_t i = 0; i < 500; i++) {
		size_t want = MIN(1 + i * 37 % sizeof piece, stream_room(&w.out[0]));
		uint8_t *at = i % 3 != 0 ? stream_space(&w.out[0], want) : piece;

		assert_non_null(at);
		count_up(at, want, &next);
		assert_int_equal(stream_send(&w.out[0], at, want), want);
		sent += want;
		n = MIN(mux_output(&w.from, &p), want / 2 + 100);
		assert_int_equal(mux_input(&w.to, p, n), 0);
		mux_sent(&w.from, n);
		carry(&w.to, &w.from);
	}
	carry(&w.from, &w.to);
	assert_int_equal(c.n, sent);
	way_end(&w);
}

struct pieces {
	unsigned told, more;
};

static void on_piece(struct stream *s, uint32_t events)
{
	struct pieces *pieces = s->owner;
	const uint8_t *p;

	if (!(events & EPOLLIN))
		return;
	pieces->told++;
	pieces->more += stream_more(s);
	stream_take(s, stream_peek(s, &p));
	assert_int_equal(stream_peek(s, &p), 0);
}

/* Only of what is there already, and of the same stream, may one say that it follows. */
static void test_more_behind(void **state)
{
	static const struct {
		const char *what;
		unsigned n, streams[3]; /* who sends, 1000 bytes each */
		size_t missing;         /* of the output's end, which comes later */
		unsigned told, more;
	} cases[] = {
		{ "one frame", 1, { 0 }, 0, 1, 0 },
		{ "another behind it", 2, { 0, 0 }, 0, 2, 1 },
		{ "two behind it", 3, { 0, 0, 0 }, 0, 3, 2 },
		{ "part of another", 2, { 0, 0 }, 500, 3, 1 },
		{ "no more than the next one's head", 2, { 0, 0 }, 1000, 2, 0 },
		{ "part of the next one's head", 2, { 0, 0 }, 1004, 2, 0 },
		{ "one of another stream", 2, { 0, 1 }, 0, 2, 0 },
		{ "others between", 3, { 0, 1, 0 }, 0, 3, 0 },
	};
	static const uint8_t bytes[1000];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		static struct way w;
		struct pieces seen = { .told = 0 };
		const uint8_t *p;
		size_t n;

		print_message("%s\n", cases[i].what);
		way_start(&w, NULL);
		carry(&w.from, &w.to);
		for (unsigned k = 0; k < 2; k++) {
			w.in[k].on_event = on_piece;
			w.in[k].owner = &seen;
		}
		for (unsigned k = 0; k < cases[i].n; k++)
			assert_int_equal(stream_send(&w.out[cases[i].streams[k]], bytes, sizeof bytes), sizeof bytes);
		n = mux_output(&w.from, &p);
		assert_int_equal(mux_input(&w.to, p, n - cases[i].missing), 0);
		assert_int_equal(mux_input(&w.to, p + n - cases[i].missing, cases[i].missing), 0);
		mux_sent(&w.from, n);
		assert_int_equal(seen.told, cases[i].told);
		assert_int_equal(seen.more, cases[i].more);
		way_end(&w);
	}
}

/* What a link sends from goes to the next one that sends, and a link that is silent holds none. */
static void test_spare_memory(void **state)
{
	static struct way w, other;
	struct mux_pool pool = { .lent = 0 };
	const uint8_t *memory;

	(void)state;
	way_start(&w, NULL);
	way_start(&other, NULL);
	carry(&w.from, &w.to);
	mux_rest(&w.from);
	mux_rest(&other.from);
	w.from.pool = other.from.pool = &pool;
	memory = stream_space(&w.out[0], FRAME_DATA_MAX);
	assert_non_null(memory);
	mux_rest(&w.from);
	assert_null(w.from.out.data);
	assert_int_equal(pool.n_spare, 1);
	assert_ptr_equal(stream_space(&other.out[0], FRAME_DATA_MAX), memory);
	assert_int_equal(pool.n_spare, 0);
	way_end(&w);
	way_end(&other);
	assert_int_equal(pool.n_spare, 1);
	mux_pool_fini(&pool);
}

/* Datagrams of two streams, as they come; the second one is closed by the first one's owner. */
struct hand {
	struct stream *closes;
	unsigned told, got;
	uint8_t last;
};

static void on_datagrams(struct stream *s, uint32_t events)
{
	struct hand *h = s->owner;
	struct iovec *d;
	unsigned n;

	if (!(events & EPOLLIN))
		return;
	n = stream_datagrams(s, &d);
	for (unsigned i = 0; i < n; i++) {
		assert_true(*(uint8_t *)d[i].iov_base > h->last);
		h->last = *(uint8_t *)d[i].iov_base;
	}
	h->told++;
	h->got += n;
	if (h->closes != NULL)
		stream_close(h->closes, ERR_NONE, "");
}

static void send_datagrams(struct way *w, uint8_t first, unsigned n)
{
	const uint8_t *p;
	size_t all;

	for (uint8_t i = 0; i < n; i++) {
		uint8_t byte = (uint8_t)(first + i);

		assert_true(stream_datagram(&w->out[i % 2], &byte, 1));
	}
	all = mux_output(&w->from, &p);
	assert_int_equal(mux_input(&w->to, p, all), 0);
	mux_sent(&w->from, all);
}

static void udp_start(struct way *w, struct mux_pool *pool, struct hand hands[2])
{
	const struct frame_open o = { .kind = FRAME_UDP, .mapping = "map_1", .host = "h", .port = 1 };

	*w = (struct way){ .n = 0 };
	mux_init(&w->from, &from_ops, 2);
	mux_init(&w->to, &to_ops, 1);
	w->to.pool = pool;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(stream_open(&w->out[i], &w->from, &o, on_written, w), 0);
	carry(&w->from, &w->to);
	for (unsigned i = 0; i < 2; i++) {
		hands[i] = (struct hand){ .told = 0 };
		w->in[i].on_event = on_datagrams;
		w->in[i].owner = &hands[i];
	}
}

static void test_datagrams_together(void **state)
{
	static struct way w;
	struct mux_pool pool = { .lent = 0 };
	struct hand hands[2];

	(void)state;
	udp_start(&w, &pool, hands);
	send_datagrams(&w, 1, 20);
	assert_int_equal(hands[0].told + hands[1].told, 2);
	assert_int_equal(hands[0].got + hands[1].got, 20);
	send_datagrams(&w, 30, 2 * MUX_DATAGRAMS);
	assert_int_equal(hands[0].told, 3);
	assert_int_equal(hands[0].got + hands[1].got, 20 + 2 * MUX_DATAGRAMS);
	hands[0].closes = &w.in[1]; /* what was gathered for it is told to nobody */
	send_datagrams(&w, 200, 10);
	assert_int_equal(hands[0].told, 4);
	assert_int_equal(hands[1].told, 3);
	way_end(&w);
	mux_pool_fini(&pool);
}

/* Agreed on by both, the bytes that travel are few and those that arrive are the same; the windows count what arrives. */
static void test_compressed(void **state)
{
	const struct frame_open o = { .kind = FRAME_TCP, .mapping = "map_1", .host = "h", .port = 1, .zip = true };
	static struct way w;
	static uint8_t piece[PIECE];
	struct mux_pool pools[2] = { { .lent = 0 }, { .lent = 0 } };
	struct content c = { .n = 0 };
	uint64_t sent = 0, travelled = 0;
	const uint8_t *p;
	uint8_t next = 0;
	size_t n;

	(void)state;
	w = (struct way){ .n = 0 };
	mux_init(&w.from, &from_ops, 2);
	mux_init(&w.to, &to_ops, 1);
	w.from.pool = &pools[0];
	w.to.pool = &pools[1];
	assert_int_equal(stream_open(&w.out[0], &w.from, &o, on_written, &w), 0);
	carry(&w.from, &w.to);
	w.in[0].on_event = on_content;
	w.in[0].owner = &c;
	for (unsigned i = 0; i < 50; i++) {
		if (i == 10) { /* what was sent before the answer is as it was */
			stream_opened(&w.in[0]);
			carry(&w.to, &w.from);
			assert_true(w.out[0].zips && w.in[0].zips);
			travelled = 0;
			sent = 0;
			c.n = 0;
		}
		n = MIN(sizeof piece, stream_room(&w.out[0]));
		count_up(piece, n, &next);
		assert_int_equal(stream_send(&w.out[0], piece, n), n);
		sent += n;
		travelled += mux_output(&w.from, &p);
		carry(&w.from, &w.to);
		carry(&w.to, &w.from);
	}
	assert_int_equal(c.n, sent);
	assert_true(travelled < sent / 10);
	assert_int_equal(pools[0].zips + pools[1].zips, 2);
	way_end(&w);
	assert_int_equal(pools[0].zips + pools[1].zips, 0);
	mux_pool_fini(&pools[0]);
	mux_pool_fini(&pools[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compressed),
		cmocka_unit_test(test_datagrams_together),
		cmocka_unit_test(test_more_behind),
		cmocka_unit_test(test_output_in_pieces),
		cmocka_unit_test(test_spare_memory),
		cmocka_unit_test(test_little_beside_much),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
