#include "common/tunnel/stream_zip.h"

#include "common/base/rand.h"
#include "common/tunnel/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include <cmocka.h>

static uint8_t plain[FRAME_DATA_MAX], closed[FRAME_ZIPPED_MAX], opened[FRAME_DATA_MAX + 1];

static void fill_text(size_t n, unsigned seed)
{
	static const char words[] = "GET /index.html HTTP/1.1 Host: example.test Accept: text/html ";

	for (size_t i = 0; i < n; i++)
		plain[i] = (uint8_t)words[(i * (1 + seed % 3) + seed) % (sizeof words - 1)];
}

/* Through both ends; the size in between. */
static size_t pass(struct stream_zip *from, struct stream_zip *to, size_t n)
{
	ssize_t k = stream_zip_close(from, closed, plain, n);

	assert_true(k > 0 && (size_t)k <= sizeof closed);
	assert_int_equal(stream_zip_open(to, opened, FRAME_DATA_MAX, closed, (size_t)k), n);
	assert_memory_equal(opened, plain, n);
	return (size_t)k;
}

static void test_every_write_arrives_at_once(void **state)
{
	static const size_t sizes[] = { 1, 64, 100, 1000, 16000, FRAME_DATA_MAX, 3, FRAME_DATA_MAX, 700 };
	struct stream_zip *from = stream_zip_new(), *to = stream_zip_new();
	size_t sent = 0, between = 0;

	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		size_t n = sizes[i % ARRAY_LEN(sizes)];

		fill_text(n, i);
		sent += n;
		between += pass(from, to, n);
	}
	assert_true(between < sent / 10);
	stream_zip_free(from);
	stream_zip_free(to);
}

/* It is tried once, then left for a while, and tried again. */
static void test_what_does_not_get_smaller(void **state)
{
	struct stream_zip *from = stream_zip_new(), *to = stream_zip_new();
	size_t tried = 0;

	(void)state;
	assert_true(stream_zip_passes(from, 10)); /* too little to begin with */
	for (unsigned i = 0; i < 200; i++) {
		rand_bytes(plain, sizeof plain);
		if (stream_zip_passes(from, sizeof plain))
			continue;
		tried++;
		assert_true(pass(from, to, sizeof plain) > sizeof plain / 2);
	}
	assert_true(tried >= 4 && tried <= 8);
	stream_zip_free(from);
	stream_zip_free(to);
}

/* A bomb of a few bytes, a window that is too large, the end of a frame, and what is no zstd. */
static void test_what_is_not_opened(void **state)
{
	static uint8_t zeros[4 * FRAME_DATA_MAX];
	struct stream_zip *to = stream_zip_new();
	ZSTD_CCtx *c = ZSTD_createCCtx();
	ZSTD_outBuffer out = { closed, sizeof closed, 0 };
	ZSTD_inBuffer in = { zeros, sizeof zeros, 0 };

	(void)state;
	assert_int_equal(ZSTD_compressStream2(c, &out, &in, ZSTD_e_flush), 0);
	assert_true(out.pos < 1000);
	assert_int_equal(stream_zip_open(to, opened, FRAME_DATA_MAX, closed, out.pos), -1);
	stream_zip_free(to);

	to = stream_zip_new();
	ZSTD_CCtx_reset(c, ZSTD_reset_session_and_parameters);
	ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, ZIP_WINDOW_LOG + 1);
	out.pos = 0;
	in = (ZSTD_inBuffer){ zeros, 100, 0 };
	assert_int_equal(ZSTD_compressStream2(c, &out, &in, ZSTD_e_flush), 0);
	assert_int_equal(stream_zip_open(to, opened, FRAME_DATA_MAX, closed, out.pos), -1);
	stream_zip_free(to);

	to = stream_zip_new();
	out.pos = ZSTD_compress(closed, sizeof closed, zeros, 100, 1);
	assert_int_equal(stream_zip_open(to, opened, FRAME_DATA_MAX, closed, out.pos), -1);
	stream_zip_free(to);

	to = stream_zip_new();
	assert_int_equal(stream_zip_open(to, opened, FRAME_DATA_MAX, (const uint8_t *)"no zstd at all", 14), -1);
	stream_zip_free(to);
	ZSTD_freeCCtx(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_write_arrives_at_once),
		cmocka_unit_test(test_what_does_not_get_smaller),
		cmocka_unit_test(test_what_is_not_opened),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
