#include "relayd/link/link_frame.h"

#include "common/base/buf.h"
#include "common/base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void frames_in_any_pieces(void **state)
{
	struct buf b;
	struct link_frame f;

	(void)state;
	buf_init(&b, 1000);
	link_frame_put(&b, LINK_FRAME_SEND, LINE_REPORT, "hello", 5);
	link_frame_put(&b, LINK_FRAME_UP, LINE_POLL, "", 0);
	for (size_t n = 0; n < LINK_FRAME_HEAD + 6; n++)
		assert_int_equal(link_frame_get(&f, b.data, n), 0);
	assert_int_equal(link_frame_get(&f, b.data, b.len), LINK_FRAME_HEAD + 6);
	assert_int_equal(f.kind, LINK_FRAME_SEND);
	assert_int_equal(f.n, 6);
	assert_memory_equal(f.p, "\1hello", 6);
	assert_int_equal(
		link_frame_get(&f, b.data + LINK_FRAME_HEAD + 6, b.len - LINK_FRAME_HEAD - 6), LINK_FRAME_HEAD + 1);
	assert_int_equal(f.kind, LINK_FRAME_UP);
	buf_free(&b);
}

static void nonsense_is_refused(void **state)
{
	struct link_frame f;

	(void)state;
	assert_int_equal(link_frame_get(&f, "\0\0\0\0\0", 5), -1);
	assert_int_equal(link_frame_get(&f, "\0\0\0\0\77", 5), -1);
	assert_int_equal(link_frame_get(&f, "\377\377\377\377\2", 5), -1);
	assert_int_equal(link_frame_get(&f, "\0\20\0\2\2", 5), -1); /* one more than LINK_FRAME_MAX */
	assert_int_equal(link_frame_get(&f, "\0\20\0\1\2", 5), 0);
}

static void credentials_travel(void **state)
{
	static struct link_frame_open sent, got;
	struct buf b;
	struct link_frame f;

	(void)state;
	str_copy(sent.address, sizeof sent.address, "[::1]:7400");
	sent.turn = 7;
	str_copy(sent.cert_pem, sizeof sent.cert_pem, "certificate");
	str_copy(sent.ca_fingerprint, sizeof sent.ca_fingerprint, "abcd");
	memset(sent.key_pem, 'k', sizeof sent.key_pem - 1);
	buf_init(&b, 65536);
	buf_u8(&b, 0); /* a frame need not be the first in its buffer */
	link_frame_open_put(&b, &sent);
	assert_false(b.failed);
	assert_int_equal(link_frame_get(&f, b.data + 1, b.len - 1), b.len - 1);
	assert_int_equal(link_frame_open_get(&got, f.p, f.n), 0);
	assert_memory_equal(&sent, &got, sizeof sent);
	assert_int_equal(link_frame_open_get(&got, f.p, f.n - 1), -1);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_in_any_pieces),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(credentials_travel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
