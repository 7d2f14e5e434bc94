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
