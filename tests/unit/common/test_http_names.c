/* http_names and http_scan: every name is found and nothing else; long steps and single bytes see the same. */
#include "common/http/http_names.h"
#include "common/http/http_scan.h"
#include "common/http/http_scan_value.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static enum http_name find(const char *text, size_t n)
{
	return http_name_find((const uint8_t *)text, n);
}

static void test_every_name(void **state)
{
	(void)state;
	for (int id = HTTP_NAME_UNKNOWN + 1; id < HTTP_NAMES_END; id++) {
		const char *text = http_name_text((enum http_name)id);
		const size_t n = strlen(text);
		char other[40];

		assert_int_equal(find(text, n), id);
		for (size_t i = 0; i < n; i++)
			other[i] = (char)toupper((unsigned char)text[i]);
		assert_int_equal(find(other, n), id);
		assert_true(find(text, n - 1) != (enum http_name)id);
		/* Every byte counts. */
		for (size_t i = 0; i < n; i++) {
			memcpy(other, text, n);
			other[i] = other[i] == 'q' ? 'z' : 'q';
			assert_true(find(other, n) != (enum http_name)id);
			other[i] = '_';
			assert_int_equal(find(other, n), HTTP_NAME_UNKNOWN);
		}
	}
}

static void test_unknown(void **state)
{
	(void)state;
	assert_int_equal(find("", 0), HTTP_NAME_UNKNOWN);
	assert_int_equal(find("x", 1), HTTP_NAME_UNKNOWN);
	assert_int_equal(find("content_length", 14), HTTP_NAME_UNKNOWN);
	assert_int_equal(find("transfer-encodinG", 17), HTTP_NAME_TRANSFER_ENCODING);
	assert_int_equal(http_name_flags(HTTP_NAME_UNKNOWN), 0);
	assert_int_equal(http_name_flags(HTTP_NAME_TE), HTTP_NAME_HOP);
	assert_string_equal(http_name_text(HTTP_NAME_UNKNOWN), "");
}

typedef const uint8_t *scan_fn(const uint8_t *p, const uint8_t *end);

/* Every byte at every place of a step, and behind it. */
static void assert_scan(scan_fn *scan, unsigned kind, uint8_t filler)
{
	for (size_t n = 0; n < 40; n++) {
		uint8_t *p = malloc(n + 1); /* of just that size */

		for (size_t at = 0; at < n; at++)
			for (unsigned byte = 0; byte < 256; byte++) {
				memset(p, filler, n);
				p[at] = (uint8_t)byte;
				if (scan(p, p + n) != (http_is((uint8_t)byte, kind) ? p + n : p + at))
					fail_msg("byte %02x at %zu of %zu", byte, at, n);
			}
		free(p);
	}
}

static void test_scans(void **state)
{
	(void)state;
	assert_scan(http_scan_value, HTTP_IS_VALUE, 'a');
	assert_scan(http_scan_value, HTTP_IS_VALUE, 0xff);
	assert_scan(http_scan_target, HTTP_IS_TARGET, '~');
	assert_scan(http_scan_name, HTTP_IS_TOKEN, 'z');
	assert_scan(http_scan_name, HTTP_IS_TOKEN, '_');
}

/* The kinds against the grammar, written down again by other means. */
static void test_kinds(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		const bool alnum = c < 0x80 && isalnum(c), ch = c != 0 && c < 0x80;

		assert_int_equal(
			http_is((uint8_t)c, HTTP_IS_TOKEN), alnum || (ch && strchr("!#$%&'*+-.^_`|~", c) != NULL));
		assert_int_equal(http_is((uint8_t)c, HTTP_IS_VALUE), c == '\t' || (c >= ' ' && c != 0x7f));
		assert_int_equal(http_is((uint8_t)c, HTTP_IS_TARGET), c > ' ' && c < 0x7f && c != '#');
		assert_int_equal(http_is((uint8_t)c, HTTP_IS_HOST), alnum || (ch && strchr("-._~", c) != NULL));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_name),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_scans),
		cmocka_unit_test(test_kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
