/* grpc_check: the frames of the call, and what servers answer, whole and byte by byte. */
#include "relayd/health/grpc_check.h"

#include "common/base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* after those: */
#include <cmocka.h>

#define HELLO   "000000 04 00 00000000 "
#define HEAD    "000001 01 04 00000001 88 "
#define MESSAGE "000007 00 00 00000001 00 00000002 0801 "

static size_t bytes_of(uint8_t *dst, size_t size, const char *hex)
{
	char packed[1024];
	size_t n = 0;
	int r;

	for (; *hex != '\0'; hex++)
		if (*hex != ' ')
			packed[n++] = *hex;
	packed[n] = '\0';
	r = str_unhex(dst, size, packed);
	assert_true(r >= 0);
	return (size_t)r;
}

static void test_answers(void **state)
{
	static const struct {
		const char *what, *hex, *why; /* NULL: it is good */
	} cases[] = {
		{ "serving", HELLO "000000 04 01 00000000 " HEAD MESSAGE, NULL },
		{ "at once", MESSAGE, NULL },
		{ "padded", HEAD "00000a 00 08 00000001 02 00 00000002 0801 0000", NULL },
		{ "in two frames", HEAD "000003 00 00 00000001 000000 000004 00 00 00000001 00020801", NULL },
		{ "another field first", HEAD "000009 00 00 00000001 00 00000004 1005 0801", NULL },
		{ "not serving", HEAD "000007 00 00 00000001 00 00000002 0802", "NOT_SERVING" },
		{ "unknown", HEAD "000005 00 00 00000001 00 00000000", "serving status UNKNOWN" },
		{ "service unknown", HEAD "000007 00 00 00000001 00 00000002 0803", "SERVICE_UNKNOWN" },
		{ "an error", "000001 01 05 00000001 88",
			"the call was refused: the server has no health service, or not this one" },
		{ "no message", HEAD "000000 00 01 00000001", "the call ended without an answer" },
		{ "compressed", HEAD "000007 00 00 00000001 01 00000002 0801",
			"the answer is compressed, which nobody asked for" },
		{ "cut within", HEAD "000006 00 01 00000001 00 00000002 08", "the call ended without an answer" },
		{ "a number without end", HEAD "000007 00 00 00000001 00 00000002 ffff",
			"the answer is no HealthCheckResponse" },
		{ "reset", "000004 03 00 00000001 00000000", "the server reset the call" },
		{ "goodbye", "000008 07 00 00000000 0000000000000000", "the server ended the connection" },
		{ "HTTP/1.1", "485454502f312e3120343030", "the answer is not HTTP/2" },
		{ "nothing", "", "the connection ended without an answer" },
		{ "bad padding", "000001 00 08 00000001 01", "a frame of HTTP/2 is malformed" },
		{ "half a frame", "000007 00 00 000000", "the connection ended without an answer" },
	};
	static const size_t steps[] = { 1000, 1, 3 };
	uint8_t bytes[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t s = 0; s < ARRAY_LEN(steps); s++) {
			const size_t n = bytes_of(bytes, sizeof bytes, cases[i].hex);
			enum grpc_check_says says = GRPC_CHECK_MORE;
			struct grpc_check c;

			grpc_check_init(&c, "a:1", "", false);
			for (size_t at = 0; at < n && says == GRPC_CHECK_MORE; at += steps[s])
				says = grpc_check_feed(&c, bytes + at, MIN(steps[s], n - at));
			if (says == GRPC_CHECK_MORE)
				says = grpc_check_eof(&c);
			if (says != (cases[i].why == NULL ? GRPC_CHECK_GOOD : GRPC_CHECK_BAD) ||
				(cases[i].why != NULL && strcmp(cases[i].why, c.why) != 0))
				fail_msg("%s, %zu at once: %d, %s", cases[i].what, steps[s], says, c.why);
			grpc_check_fini(&c);
		}
}

/* SETTINGS and PING are acknowledged; nothing else is said twice. */
static void test_call(void **state)
{
	static const char hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	uint8_t want[512], came[64];
	struct grpc_check c;
	size_t n;

	(void)state;
	grpc_check_init(&c, "a:1", "x.Y", true);
	n = bytes_of(want, sizeof want,
		HELLO
		"000055 01 04 00000001 83 87 04 1c 2f677270632e6865616c74682e76312e4865616c74682f436865636b 01 03 "
		"613a31 0f10 10 "
		"6170706c69636174696f6e2f67727063 0f2b 0d 706f72747761792d72656c6179 00 02 7465 08 747261696c657273 "
		"00000a 00 01 00000001 00 00000005 0a03 782e59");
	assert_int_equal(c.out.len, sizeof hello - 1 + n);
	assert_memory_equal(c.out.data, hello, sizeof hello - 1);
	assert_memory_equal(c.out.data + sizeof hello - 1, want, n);
	buf_consume(&c.out, c.out.len);
	n = bytes_of(came, sizeof came, HELLO "000008 06 00 00000000 0102030405060708 000004 08 00 00000000 0000ffff");
	assert_int_equal(grpc_check_feed(&c, came, n), GRPC_CHECK_MORE);
	n = bytes_of(want, sizeof want, "000000 04 01 00000000 000008 06 01 00000000 0102030405060708");
	assert_int_equal(c.out.len, n);
	assert_memory_equal(c.out.data, want, n);
	grpc_check_fini(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_answers), cmocka_unit_test(test_call) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
