/* Host names and patterns: what was taken is taken again as it is. */
#include "common/net/host_name.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char name[HOST_NAME_SIZE], pattern[HOST_NAME_SIZE];
	bool is_name = host_name_take(name, (const char *)data, size) == 0;
	bool is_pattern = host_pattern_take(pattern, (const char *)data, size) == 0;

	FUZZ_CHECK(is_name || name[0] == '\0');
	FUZZ_CHECK(is_pattern || pattern[0] == '\0');
	FUZZ_CHECK(!is_name || (is_pattern && strcmp(name, pattern) == 0));
	FUZZ_CHECK(!is_pattern || host_pattern_is_taken(pattern));
	return 0;
}
