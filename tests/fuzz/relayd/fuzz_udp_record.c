/* A session's record from a predecessor: what is read is written back the same. */
#include "common/base/buf.h"
#include "relayd/datagram/udp_handover.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct udp_record r, again;
	struct buf b;

	if (udp_record_decode(&r, data, size) != 0)
		return 0;
	buf_init(&b, 1024);
	udp_record_encode(&r, &b);
	FUZZ_CHECK(!b.failed);
	FUZZ_CHECK(udp_record_decode(&again, b.data, b.len) == 0);
	FUZZ_CHECK(memcmp(&r, &again, sizeof r) == 0);
	buf_free(&b);
	return 0;
}
