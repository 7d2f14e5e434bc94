/* The PROXY protocol from a peer: a header is whole, is found whatever follows it, and can be written again. */
#include "common/net/proxy_protocol.h"
#include "tests/fuzz/fuzz.h"

static void fuzz_write_again(const struct proxy_header *h)
{
	uint8_t out[PROXY_OUT_MAX];
	struct proxy_header again;
	size_t n = h->dgram ? proxy_write_v2(out, &h->src, &h->dst, true) : proxy_write_v1(out, &h->src, &h->dst);

	FUZZ_CHECK(n <= sizeof out);
	FUZZ_CHECK(proxy_parse(&again, out, n) == (int)n);
	FUZZ_CHECK(again.local == h->local && again.dgram == h->dgram);
	FUZZ_CHECK(addr_equal(&again.src, &h->src) && addr_equal(&again.dst, &h->dst));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_header h, shorter;
	int n = proxy_parse(&h, data, size);

	if (n <= 0)
		return 0;
	FUZZ_CHECK((size_t)n <= size && n <= PROXY_V2_MAX);
	FUZZ_CHECK(proxy_parse(&shorter, data, (size_t)n) == n);
	FUZZ_CHECK(proxy_parse(&shorter, data, (size_t)n - 1) == 0);
	fuzz_write_again(&h);
	return 0;
}
