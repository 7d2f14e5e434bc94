/* What a SOCKS5 client's datagram begins with: within its bytes, and a place to go to, or nothing. */
#include "common/net/addr.h"
#include "common/net/socks5.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char host[SOCKS5_HOST_SIZE];
	uint16_t port;
	uint8_t *exact = malloc(size + 1); /* a read beyond what is there is seen */
	int head;

	if (exact == NULL)
		return 0;
	memcpy(exact + 1, data, size);
	head = socks5_datagram(host, &port, exact + 1, size);
	if (head >= 0) {
		FUZZ_CHECK((size_t)head <= size && head >= 8 && head <= SOCKS5_HEAD_MAX);
		FUZZ_CHECK(port > 0 && addr_is_host(host));
	}
	free(exact);
	return 0;
}
