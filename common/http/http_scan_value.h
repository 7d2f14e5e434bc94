/*
 * http_scan_value - values of fields: how far one goes, and whether all bytes may stand in one. As http_scan.h, whose part it is.
 */
#ifndef PORTWAY_HTTP_HTTP_SCAN_VALUE_H
#define PORTWAY_HTTP_HTTP_SCAN_VALUE_H

#include "common/http/http_scan.h"

#include <string.h>

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

#endif
