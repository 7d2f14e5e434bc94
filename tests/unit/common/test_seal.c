#include "common/crypto/seal.h"

#include "common/base/err.h"
#include "common/base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const uint8_t master[SEAL_KEY_SIZE] = "0123456789abcdef0123456789abcde";

static void round_trip(void **state)
{
	static const size_t sizes[] = { 0, 1, 32, 1000 };
	uint8_t plain[1000], sealed[1000 + SEAL_OVERHEAD], open[1000];
	size_t n;

	(void)state;
	memset(plain, 'p', sizeof plain);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		assert_int_equal(seal_wrap(sealed, master, "test", plain, sizes[i], NULL), 0);
		assert_int_equal(seal_unwrap(open, &n, master, "test", sealed, sizes[i] + SEAL_OVERHEAD, NULL), 0);
		assert_int_equal(n, sizes[i]);
		assert_memory_equal(open, plain, n);
	}
}

static void nothing_changed_opens(void **state)
{
	uint8_t sealed[4 + SEAL_OVERHEAD], open[4], other[SEAL_KEY_SIZE];
	struct err e = { .code = ERR_NONE };
	size_t n = 77;

	(void)state;
	memcpy(other, master, sizeof other);
	other[0] ^= 1;
	assert_int_equal(seal_wrap(sealed, master, "test", "abcd", 4, NULL), 0);
	for (size_t i = 0; i < sizeof sealed; i++) {
		sealed[i] ^= 0x10;
		assert_int_equal(seal_unwrap(open, &n, master, "test", sealed, sizeof sealed, &e), -1);
		assert_int_equal(e.code, ERR_CRYPTO);
		sealed[i] ^= 0x10;
	}
	assert_int_equal(seal_unwrap(open, &n, other, "test", sealed, sizeof sealed, &e), -1);
	assert_int_equal(seal_unwrap(open, &n, master, "tess", sealed, sizeof sealed, &e), -1);
	assert_int_equal(seal_unwrap(open, &n, master, "test", sealed, sizeof sealed - 1, &e), -1);
	assert_int_equal(seal_unwrap(open, &n, master, "test", sealed, 3, &e), -1);
	assert_int_equal(n, 77);
	assert_int_equal(seal_unwrap(open, &n, master, "test", sealed, sizeof sealed, &e), 0);
}

static void hashes(void **state)
{
	uint8_t out[SHA256_SIZE];
	char hex[2 * SHA256_SIZE + 1];

	(void)state;
	seal_sha256("abc", 3, out); /* FIPS 180-4 */
	str_hex(hex, out, sizeof out);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	seal_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, out); /* RFC 4231, test 2 */
	str_hex(hex, out, sizeof out);
	assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

static void the_key_file_is_made_once(void **state)
{
	char dir[] = "/tmp/test-seal-XXXXXX", path[64];
	uint8_t first[SEAL_KEY_SIZE], again[SEAL_KEY_SIZE];
	struct err e = { .code = ERR_NONE };
	struct stat st;
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/key", dir);
	assert_int_equal(seal_key_file(path, first, NULL), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(seal_key_file(path, again, NULL), 0);
	assert_memory_equal(first, again, sizeof first);
	f = fopen(path, "a");
	assert_non_null(f);
	fputc('x', f);
	fclose(f);
	assert_int_equal(seal_key_file(path, again, &e), -1);
	assert_int_not_equal(e.code, ERR_NONE);
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(nothing_changed_opens),
		cmocka_unit_test(hashes),
		cmocka_unit_test(the_key_file_is_made_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
