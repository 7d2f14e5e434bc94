/* The parsers for words from people and files: numbers, durations, times, encodings; and what cuts text. */
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>

static void fuzz_numbers(const char *s)
{
	uint64_t u;
	int64_t i;
	bool b;

	if (str_to_u64(s, 5, 1000, &u) == 0)
		FUZZ_CHECK(u >= 5 && u <= 1000);
	if (str_to_i64(s, -5, 5, &i) == 0)
		FUZZ_CHECK(i >= -5 && i <= 5);
	if (str_to_i64(s, 0, INT64_MAX, &i) == 0 && s[0] != '-')
		FUZZ_CHECK(str_to_u64(s, 0, UINT64_MAX, &u) == 0 && u == (uint64_t)i);
	(void)!str_to_duration_ms(s, &u);
	(void)!str_to_size(s, &u);
	(void)!str_to_bool(s, &b);
}

static void fuzz_time(const char *s)
{
	char text[CLOCK_RFC3339_SIZE];
	int64_t ms, again;

	if (clock_parse_rfc3339(s, &ms) != 0)
		return;
	clock_rfc3339(text, ms);
	FUZZ_CHECK(clock_parse_rfc3339(text, &again) == 0);
	/* An offset may lead out of the four digits of year that can be printed. */
	FUZZ_CHECK(again == ms || strncmp(s, "0000", 4) == 0 || strncmp(s, "9999", 4) == 0);
}

static void fuzz_encodings(const char *s, size_t size)
{
	const size_t n = strlen(s);
	uint8_t *bytes = malloc(n + 1);
	char *text = malloc(2 * n + 3);
	int got;

	if (bytes != NULL && text != NULL) {
		got = str_unb64url(bytes, n, s, n);
		if (got >= 0) {
			str_b64url(text, bytes, (size_t)got);
			FUZZ_CHECK(strcmp(text, s) == 0);
		}
		got = str_unhex(bytes, n, s);
		if (got >= 0) {
			str_hex(text, bytes, (size_t)got);
			FUZZ_CHECK(strlen(text) == n);
		}
		str_b64url(text, s, n);
		FUZZ_CHECK(strlen(text) == str_b64url_len(n));
		FUZZ_CHECK(str_unb64url(bytes, n, text, strlen(text)) == (int)n && memcmp(bytes, s, n) == 0);
	}
	FUZZ_CHECK(n == size || !str_is_utf8(s, size));
	free(bytes);
	free(text);
}

static void fuzz_cuts(const char *s)
{
	const bool utf8 = str_is_utf8(s, strlen(s));
	struct err e;
	char cut[16];

	for (size_t size = 1; size <= sizeof cut; size++) {
		const int fits = str_copy(cut, size, s);

		FUZZ_CHECK((fits == 0) == (strlen(s) < size));
		FUZZ_CHECK(strncmp(cut, s, strlen(cut)) == 0);
		FUZZ_CHECK(!utf8 || str_is_utf8(cut, strlen(cut)));
		str_fmt(cut, size, "%s", s);
		FUZZ_CHECK(!utf8 || str_is_utf8(cut, strlen(cut)));
	}
	err_set(&e, ERR_IO, s, "%s", s);
	err_detail(&e, s, s);
	FUZZ_CHECK(str_is_utf8(e.msg, strlen(e.msg)) && str_is_utf8(e.value, strlen(e.value)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *s = fuzz_string(data, size);

	if (s == NULL)
		return 0;
	fuzz_numbers(s);
	fuzz_time(s);
	fuzz_encodings(s, size);
	fuzz_cuts(s);
	free(s);
	return 0;
}
