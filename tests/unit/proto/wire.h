/*
 * wire - what the tests of messages share: golden bytes as text, and the attacks that every decoder must survive.
 */
#ifndef PORTWAY_TESTS_UNIT_PROTO_WIRE_H
#define PORTWAY_TESTS_UNIT_PROTO_WIRE_H

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/base/str.h"
#include "proto/msg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* 0, or -1; releases what it decoded. */
typedef int (*wire_decode_fn)(const void *p, size_t n);

/* Fails with both texts when the content is not these bytes: hex, blanks between the fields. */
static inline void assert_wire(const struct buf *b, const char *hex)
{
	char *got = malloc(2 * b->len + 1), *want = malloc(strlen(hex) + 1), *to = want;

	assert_non_null(got);
	assert_non_null(want);
	assert_false(b->failed);
	for (; *hex != '\0'; hex++)
		if (*hex != ' ')
			*to++ = *hex;
	*to = '\0';
	str_hex(got, b->data, b->len);
	assert_string_equal(got, want);
	free(got);
	free(want);
}

/* A copy of exactly n bytes, so that a sanitizer sees a read beyond them. */
static inline int wire_decode_copy(wire_decode_fn decode, const uint8_t *p, size_t n)
{
	uint8_t *copy = malloc(n > 0 ? n : 1);
	int rc;

	assert_non_null(copy);
	if (n > 0)
		memcpy(copy, p, n);
	rc = decode(copy, n);
	free(copy);
	return rc;
}

/* Every shorter message, one byte more, another version or type: all refused. Every flipped bit: no harm. */
static inline void assert_robust(wire_decode_fn decode, const struct buf *b)
{
	uint8_t *copy = malloc(b->len + 1);

	assert_non_null(copy);
	memcpy(copy, b->data, b->len);
	copy[b->len] = 0;
	assert_int_equal(wire_decode_copy(decode, copy, b->len), 0);
	for (size_t n = 0; n < b->len; n++)
		if (wire_decode_copy(decode, copy, n) == 0)
			fail_msg("accepted when cut at %zu of %zu", n, b->len);
	assert_int_equal(wire_decode_copy(decode, copy, b->len + 1), -1);
	for (size_t i = 0; i < 2; i++) {
		copy[i]++;
		assert_int_equal(wire_decode_copy(decode, copy, b->len), -1);
		copy[i]--;
	}
	for (size_t bit = 0; bit < 8 * b->len; bit++) {
		copy[bit / 8] ^= (uint8_t)BIT(bit % 8);
		(void)wire_decode_copy(decode, copy, b->len);
		copy[bit / 8] ^= (uint8_t)BIT(bit % 8);
	}
	free(copy);
}

/* The message with one byte replaced is refused. */
static inline void assert_refused_with(wire_decode_fn decode, const struct buf *b, size_t at, uint8_t value)
{
	uint8_t was = b->data[at];

	assert_true(at < b->len);
	b->data[at] = value;
	if (wire_decode_copy(decode, b->data, b->len) == 0)
		fail_msg("byte %zu: %u accepted", at, value);
	b->data[at] = was;
}

#endif
