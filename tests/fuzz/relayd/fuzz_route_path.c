/* Paths of requests: one that was taken has no dot segment left, is no longer, and is taken as it is. */
#include "relayd/route/route_path.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *once = malloc(size + 1), *twice = malloc(size + 1);
	size_t n, m;

	if (once != NULL && twice != NULL &&
		route_path_take(once, &n, (struct http_span){ (const char *)data, size }) == 0) {
		FUZZ_CHECK(n <= size && once[n] == '\0');
		FUZZ_CHECK(route_path_take(twice, &m, (struct http_span){ once, n }) == 0);
		FUZZ_CHECK(m == n && memcmp(once, twice, n) == 0);
		FUZZ_CHECK(strstr(once, "/../") == NULL && strstr(once, "/./") == NULL);
		FUZZ_CHECK(n < 3 || strcmp(once + n - 3, "/..") != 0);
	}
	free(once);
	free(twice);
	return 0;
}
