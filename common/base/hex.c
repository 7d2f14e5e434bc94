#include "common/base/hex.h"

#include <endian.h>
#include <string.h>

#define ONES UINT64_C(0x0101010101010101)

/* Eight digits at once: each nibble gets a byte of its own, the first digit in the highest; then '0' is added, or 'a' - 10. */
static uint64_t hex_half(uint32_t v)
{
	uint64_t x = v;

	x = (x << 16 | x) & UINT64_C(0x0000ffff0000ffff);
	x = (x << 8 | x) & UINT64_C(0x00ff00ff00ff00ff);
	x = (x << 4 | x) & UINT64_C(0x0f0f0f0f0f0f0f0f);
	return x + '0' * ONES + ((x + 6 * ONES) >> 4 & ONES) * ('a' - '0' - 10);
}

void hex_u64(char dst[16], uint64_t v)
{
	const uint64_t halves[2] = { htobe64(hex_half((uint32_t)(v >> 32))), htobe64(hex_half((uint32_t)v)) };

	memcpy(dst, halves, sizeof halves);
}
