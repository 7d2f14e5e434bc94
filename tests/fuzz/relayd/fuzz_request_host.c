/* The head of a request: what was decided by some bytes is not decided otherwise by more of them. */
#include "relayd/vhost/request_host.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct opening o, shorter;
	enum opening_kind kind = request_host_read(&o, data, size);

	FUZZ_CHECK(kind == OPENING_MORE || kind == OPENING_FOUND || kind == OPENING_BAD || kind == OPENING_HTTP2);
	FUZZ_CHECK(kind != OPENING_MORE || (o.want > size && size < REQUEST_HEAD_MAX));
	FUZZ_CHECK(kind != OPENING_FOUND || o.host[0] == '\0' || host_pattern_is_taken(o.host));
	for (size_t n = size; n-- > 0;) {
		enum opening_kind k = request_host_read(&shorter, data, n);

		if (k == OPENING_MORE)
			continue;
		FUZZ_CHECK(k == kind);
		FUZZ_CHECK(k != OPENING_FOUND || strcmp(shorter.host, o.host) == 0);
	}
	return 0;
}
