/* A cookie from a client: what is accepted is what was made here, to the byte but for the two unused bits of the last one. */
#include "relayd/lb/lb_sticky.h"
#include "tests/fuzz/fuzz.h"

static const uint8_t secret[LB_STICKY_SECRET] = "0123456789abcdef0123456789abcdef";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char again[LB_STICKY_LEN + 1];
	uint64_t key;

	if (lb_sticky_read(&key, secret, "pool_1", (const char *)data, size, 0) != 0)
		return 0;
	lb_sticky_make(again, secret, "pool_1", key, 600000);
	FUZZ_CHECK(size == LB_STICKY_LEN);
	FUZZ_CHECK(memcmp(again, data, 9 * 4 / 3) == 0); /* version and key; the end may be another */
	return 0;
}
