/* The head of a request to the admin address: an accepted one has a path, and is accepted again with anything behind it. */
#include "relayd/admin/request.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data;
	struct request r, again;
	unsigned status = request_parse(&r, p, size);

	if (status != 200)
		return 0;
	FUZZ_CHECK(r.path[0] == '/');
	FUZZ_CHECK(strlen(r.path) < sizeof r.path);
	for (size_t n = 0; n < size; n++) { /* it never means something else while it is arriving */
		unsigned part = request_parse(&again, p, n);

		FUZZ_CHECK(part == 0 || part == 200);
		if (part == 200)
			FUZZ_CHECK(strcmp(again.path, r.path) == 0);
	}
	return 0;
}
