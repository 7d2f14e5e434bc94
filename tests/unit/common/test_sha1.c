#include "common/crypto/sha1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* FIPS 180-4's examples; and RFC 4648 section 10 */
static void test_vectors(void **state)
{
	static const uint8_t abc[] = { 0xa9, 0x99, 0x3e, 0x36, 0x47, 0x06, 0x81, 0x6a, 0xba, 0x3e, 0x25, 0x71, 0x78,
		0x50, 0xc2, 0x6c, 0x9c, 0xd0, 0xd8, 0x9d };
	uint8_t out[SHA1_SIZE];
	char text[16];

	(void)state;
	assert_int_equal(sha1(out, "abc", 3), 0);
	assert_memory_equal(out, abc, sizeof abc);
	sha1_base64(text, (const uint8_t *)"foobar", 6);
	assert_string_equal(text, "Zm9vYmFy");
	sha1_base64(text, (const uint8_t *)"fooba", 5);
	assert_string_equal(text, "Zm9vYmE=");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
