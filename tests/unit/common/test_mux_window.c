/* How windows grow and become narrow again, and what all of them may grow by. */
#include "common/base/buf.h"
#include "tests/unit/common/mux_way.h"

/* One stream on a link of a rate and a round trip: the window that it ends with. */
static uint32_t window_at(uint64_t bytes_per_ms, uint64_t rtt_ms)
{
	static struct way w;
	uint32_t window;

	way_start(&w, NULL);
	carry(&w.from, &w.to);
	w.to.rtt_ns = rtt_ms * 1000000;
	for (unsigned i = 0; i < 50; i++) {
		send_round(&w, 0, bytes_per_ms * rtt_ms);
		w.now_ns += w.to.rtt_ns;
		carry(&w.to, &w.from);
	}
	window = w.in[0].window;
	assert_int_equal(w.to.lent, window - MUX_WINDOW);
	way_end(&w);
	return window;
}

/* A window is twice what passes in a round trip: on a slow link little waits, on a quick one nothing holds it up. */
static void test_windows_by_round_trip(void **state)
{
	static const struct {
		uint64_t bytes_per_ms, rtt_ms;
		uint32_t least, most;
	} cases[] = {
		{ 125, 20, MUX_WINDOW, MUX_WINDOW },
		{ 1250, 20, MUX_WINDOW, MUX_WINDOW },
		{ 12500, 20, 2 * 250000, 2 * 250000 + 2 * PIECE },
		{ 1250, 200, 2 * 250000, 2 * 250000 + 2 * PIECE },
		{ 1250000, 20, MUX_WINDOW_MAX, MUX_WINDOW_MAX },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint32_t window = window_at(cases[i].bytes_per_ms, cases[i].rtt_ms);

		assert_in_range(window, cases[i].least, cases[i].most);
	}
}

/* What was lost on the way holds up all that follows; when it comes, that is no sign of a quick link. */
static void test_window_after_a_stall(void **state)
{
	static struct way w;

	(void)state;
	way_start(&w, NULL);
	carry(&w.from, &w.to);
	w.to.rtt_ns = MUX_ROUND_NS;
	for (unsigned i = 0; i < 50; i++) {
		w.now_ns += 10 * w.to.rtt_ns;
		send_round(&w, 0, MUX_WINDOW); /* at once */
		carry(&w.to, &w.from);
	}
	assert_int_equal(w.in[0].window, MUX_WINDOW);
	way_end(&w);
}

/* Readers that kept up and then stop: what is kept for all of them is what the pool lends, and those who come have some. */
static void test_pool(void **state)
{
	static struct way ways[12];
	struct mux_pool pool = { .lent = 0 };
	uint64_t kept = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		way_start(&ways[i], &pool);
		fill(&ways[i], 8 * (uint64_t)MUX_LEND_MAX);
		assert_true(ways[i].to.lent > 0 && ways[i].to.lent <= MUX_LEND_MAX);
		assert_true(pool.lent <= MUX_POOL_MAX);
	}
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		ways[i].lazy = true;
		fill(&ways[i], UINT64_MAX);
		for (unsigned k = 0; k < STREAMS; k++)
			kept += ways[i].in[k].kept_n;
	}
	assert_true(kept > MUX_POOL_MAX / 2);
	assert_true(kept <= MUX_POOL_MAX + ARRAY_LEN(ways) * STREAMS * (uint64_t)MUX_WINDOW);
	for (size_t i = 0; i < ARRAY_LEN(ways); i++)
		way_end(&ways[i]);
	assert_int_equal(pool.lent, 0);
}

static uint64_t widths(const struct way *w)
{
	uint64_t all = 0;

	for (unsigned i = 0; i < STREAMS; i++)
		all += w->in[i].window;
	return all;
}

static void look(struct way *w)
{
	w->now_ns += MUX_LOOK_NS;
	assert_int_equal(mux_look(&w->to), 0);
	carry(&w->to, &w->from);
	carry(&w->from, &w->to);
}

/* One client has filled its links and is idle: another has what it would have had alone, and both go on. */
static void test_idle_windows_are_given_back(void **state)
{
	static struct way crowd[8], late;
	struct mux_pool pool = { .lent = 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(crowd); i++) {
		way_start(&crowd[i], &pool);
		fill(&crowd[i], 8 * (uint64_t)MUX_LEND_MAX);
	}
	assert_true(pool.lent > MUX_POOL_MAX / 8 * 7);
	way_start(&late, &pool);
	fill(&late, 8 * (uint64_t)MUX_LEND_MAX);
	assert_true(late.to.lent < MUX_LEND_MAX / 4 && pool.short_of > 0);
	for (unsigned k = 0; k < 2; k++) /* what was busy at the first is not at the second */
		for (size_t i = 0; i < ARRAY_LEN(crowd); i++)
			look(&crowd[i]);
	assert_true(pool.lent <= MUX_POOL_MAX / 4 + MUX_LEND_MAX && pool.narrowed > 0);
	for (unsigned k = 0; k < 3; k++) {
		fill(&late, 8 * (uint64_t)MUX_LEND_MAX);
		look(&late);
	}
	assert_int_equal(late.to.lent, MUX_LEND_MAX);
	assert_int_equal(widths(&late), late.to.lent + STREAMS * (uint64_t)MUX_WINDOW);
	fill(&crowd[0], 8 * (uint64_t)MUX_LEND_MAX);
	assert_true(crowd[0].to.lent > MUX_LEND_MAX / 4);
	assert_int_equal(widths(&crowd[0]), crowd[0].to.lent + STREAMS * (uint64_t)MUX_WINDOW);
	for (size_t i = 0; i < ARRAY_LEN(crowd); i++)
		way_end(&crowd[i]);
	way_end(&late);
	assert_int_equal(pool.lent, 0);
}

/* While there is plenty, nobody is asked. */
static void test_plenty_is_left_alone(void **state)
{
	static struct way w;
	struct mux_pool pool = { .lent = 0 };
	uint64_t lent;

	(void)state;
	way_start(&w, &pool);
	for (unsigned i = 0; i < 50; i++) {
		send_round(&w, 0, UINT64_MAX);
		w.now_ns += MUX_ROUND_NS;
		carry(&w.to, &w.from);
	}
	lent = pool.lent;
	assert_true(lent > 0);
	for (unsigned k = 0; k < 3; k++)
		look(&w);
	assert_int_equal(pool.lent, lent);
	assert_int_equal(pool.narrowed, 0);
	way_end(&w);
}

/* Bytes that were under way when it was asked are taken, and so is what the stream may still send. */
static void test_narrow_meets_bytes(void **state)
{
	static struct way w;
	static const uint8_t piece[PIECE];
	const uint8_t *p;
	size_t n;

	(void)state;
	way_start(&w, NULL);
	fill(&w, 8 * (uint64_t)MUX_LEND_MAX);
	assert_int_equal(mux_look(&w.to), 0);
	assert_int_equal(
		stream_send(&w.out[0], piece, sizeof piece), sizeof piece); /* is not there yet when it is asked */
	assert_int_equal(mux_look(&w.to), 0);
	n = mux_output(&w.to, &p);
	assert_int_equal(mux_input(&w.from, p, n), 0);
	mux_sent(&w.to, n);
	assert_int_equal(w.out[0].credit, MUX_WINDOW);
	assert_int_equal(stream_send(&w.out[0], piece, sizeof piece), MUX_WINDOW);
	carry(&w.from, &w.to);
	carry(&w.to, &w.from);
	assert_int_equal(w.in[0].granted, w.out[0].credit);
	assert_int_equal(w.in[0].window, MUX_WINDOW);
	assert_true(send_round(&w, 0, UINT64_MAX) > 0);
	way_end(&w);
}

/* Kept without an answer, or in an answer that keeps more than it may: the link is at fault. */
static void test_not_given_back(void **state)
{
	static struct way w;
	struct buf lie;

	(void)state;
	way_start(&w, NULL);
	fill(&w, 8 * (uint64_t)MUX_LEND_MAX);
	assert_int_equal(mux_look(&w.to), 0);
	for (unsigned i = 0; i < MUX_LOOKS; i++)
		assert_int_equal(mux_look(&w.to), 0);
	assert_int_equal(mux_look(&w.to), -1);
	assert_string_equal(w.to.fault, "a window that was not given back");
	way_end(&w);

	for (uint32_t bytes = 0; bytes <= MUX_WINDOW_MAX + 1; bytes += MUX_WINDOW_MAX + 1) {
		way_start(&w, NULL);
		fill(&w, 8 * (uint64_t)MUX_LEND_MAX);
		assert_int_equal(mux_look(&w.to), 0);
		assert_int_equal(mux_look(&w.to), 0);
		assert_true(w.in[0].asked > 0);
		buf_init(&lie, 64);
		frame_narrow_put(&lie, FRAME_NARROWED, w.in[0].id, bytes);
		assert_int_equal(mux_input(&w.to, lie.data, lie.len), -1);
		buf_free(&lie);
		way_end(&w);
	}
}

/* The end of a stream one way gives back at once what may not come any more. */
static void test_fin_gives_back(void **state)
{
	static struct way w;
	uint64_t before;

	(void)state;
	way_start(&w, NULL);
	fill(&w, 8 * (uint64_t)MUX_LEND_MAX);
	before = w.to.lent;
	assert_true(w.in[0].window > MUX_WINDOW);
	assert_int_equal(mux_look(&w.to), 0);
	assert_int_equal(mux_look(&w.to), 0);
	stream_finish(&w.out[0]);
	carry(&w.from, &w.to); /* its end; then comes the answer to what was asked before */
	assert_int_equal(w.in[0].window, MUX_WINDOW);
	assert_true(w.to.lent < before);
	carry(&w.to, &w.from);
	carry(&w.from, &w.to);
	for (unsigned i = 0; i < 2 * MUX_LOOKS; i++)
		look(&w);
	way_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_windows_by_round_trip),
		cmocka_unit_test(test_window_after_a_stall),
		cmocka_unit_test(test_pool),
		cmocka_unit_test(test_idle_windows_are_given_back),
		cmocka_unit_test(test_plenty_is_left_alone),
		cmocka_unit_test(test_narrow_meets_bytes),
		cmocka_unit_test(test_not_given_back),
		cmocka_unit_test(test_fin_gives_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
