/*
 * http_scan - how far bytes of one kind go. Private to the folder: the inner loops of the head, inlined.
 *
 * Each answers the first byte of [p, end) that is not of the kind, or end. 16 bytes a step where there is SSE2 (every
 * x86-64), one by one through a table elsewhere and in the last 15 bytes. No byte outside [p, end) is read.
 */
#ifndef PORTWAY_HTTP_HTTP_SCAN_H
#define PORTWAY_HTTP_HTTP_SCAN_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define HTTP_IS_TOKEN  1 /* tchar (RFC 9110 section 5.6.2) */
#define HTTP_IS_VALUE  2 /* field-vchar, SP, HTAB; 0x80-0xff are obs-text (section 5.5) */
#define HTTP_IS_TARGET 4 /* printable ASCII; not '#', as a target has no fragment */
#define HTTP_IS_HOST   8 /* letters, digits, - . _ ~: of reg-name what a name that resolves is made of */

extern const uint8_t http_scan_kinds[256];

static inline bool http_is(uint8_t byte, unsigned kind)
{
	return (http_scan_kinds[byte] & kind) != 0;
}

static inline const uint8_t *http_scan_kind(const uint8_t *p, const uint8_t *end, unsigned kind)
{
	while (p < end && http_is(*p, kind))
		p++;
	return p;
}

#ifdef __SSE2__
static inline __m128i http_scan_load(const uint8_t *p)
{
	return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* Bytes that are at most `top` above `from`, unsigned: 0xff each. */
static inline __m128i http_scan_range(__m128i v, uint8_t from, uint8_t top)
{
	const __m128i above = _mm_sub_epi8(v, _mm_set1_epi8((char)from));

	return _mm_cmpeq_epi8(_mm_min_epu8(above, _mm_set1_epi8((char)top)), above);
}
#endif

#ifdef __SSE2__
/* A bit for each byte that may not stand in a value. */
static inline unsigned http_scan_not_value(__m128i v)
{
	const __m128i tab = _mm_cmpeq_epi8(v, _mm_set1_epi8('\t'));
	const __m128i bad = _mm_or_si128(
		_mm_andnot_si128(tab, http_scan_range(v, 0, 0x1f)), _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f)));

	return (unsigned)_mm_movemask_epi8(bad);
}
#endif

static inline const uint8_t *http_scan_value(const uint8_t *p, const uint8_t *end)
{
#ifdef __SSE2__
	for (; end - p >= 16; p += 16) {
		const unsigned mask = http_scan_not_value(http_scan_load(p));

		if (mask != 0)
			return p + __builtin_ctz(mask);
	}
#endif
	return http_scan_kind(p, end, HTTP_IS_VALUE);
}

#ifdef __SSE2__
static inline uint64_t http_scan_load_8(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

static inline uint64_t http_scan_load_4(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof v);
	return v;
}
#endif

/* All n bytes may stand in a value. The last step looks again at some that were seen, so short ones take one step, too. */
static inline bool http_scan_is_value(const uint8_t *p, size_t n)
{
#ifdef __SSE2__
	unsigned bad = 0;

	if (n >= 16) {
		for (size_t i = 0; i + 16 <= n; i += 16)
			bad |= http_scan_not_value(http_scan_load(p + i));
		return (bad | http_scan_not_value(http_scan_load(p + n - 16))) == 0;
	}
	if (n >= 8)
		return http_scan_not_value(
			       _mm_set_epi64x((int64_t)http_scan_load_8(p + n - 8), (int64_t)http_scan_load_8(p))) == 0;
	if (n >= 4)
		return http_scan_not_value(_mm_set1_epi64x(
			       (int64_t)(http_scan_load_4(p) | http_scan_load_4(p + n - 4) << 32))) == 0;
#endif
	return n == 0 || http_scan_kind(p, p + n, HTTP_IS_VALUE) == p + n;
}

static inline const uint8_t *http_scan_target(const uint8_t *p, const uint8_t *end)
{
#ifdef __SSE2__
	for (; end - p >= 16; p += 16) {
		const __m128i v = http_scan_load(p);
		const __m128i good =
			_mm_andnot_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('#')), http_scan_range(v, 0x21, 0x7e - 0x21));
		const unsigned mask = (unsigned)_mm_movemask_epi8(good) ^ 0xffff;

		if (mask != 0)
			return p + __builtin_ctz(mask);
	}
#endif
	return http_scan_kind(p, end, HTTP_IS_TARGET);
}

/* Letters, digits and '-' by sixteen, as nearly all names have only these; the table knows the other token characters. */
static inline const uint8_t *http_scan_name(const uint8_t *p, const uint8_t *end)
{
#ifdef __SSE2__
	for (; end - p >= 16; p += 16) {
		const __m128i v = http_scan_load(p);
		const __m128i letter = http_scan_range(_mm_or_si128(v, _mm_set1_epi8(0x20)), 'a', 'z' - 'a');
		const __m128i other = _mm_or_si128(http_scan_range(v, '0', 9), _mm_cmpeq_epi8(v, _mm_set1_epi8('-')));
		const unsigned mask = (unsigned)_mm_movemask_epi8(_mm_or_si128(letter, other)) ^ 0xffff;

		if (mask != 0) {
			p += __builtin_ctz(mask);
			if (!http_is(*p, HTTP_IS_TOKEN))
				return p;
			break;
		}
	}
#endif
	return http_scan_kind(p, end, HTTP_IS_TOKEN);
}

#endif
