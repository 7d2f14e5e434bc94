/* URLs that users give: what is accepted is http or https, in one line, and leads to no closed address that can be read off it. */
#include "common/base/err.h"
#include "controld/out/guard.h"
#include "tests/fuzz/fuzz.h"

#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guard shut = { .n = 0 }, g;
	char *s = fuzz_string(data, size);

	if (s == NULL)
		return 0;
	if (guard_check_url(&shut, "url", s, NULL) == 0) {
		FUZZ_CHECK(strncasecmp(s, "http:", 5) == 0 || strncasecmp(s, "https:", 6) == 0);
		FUZZ_CHECK(strpbrk(s, " \r\n\t\x7f") == NULL);
		FUZZ_CHECK(strncasecmp(s, "http://127.", 11) != 0 || strncasecmp(s, "http://127.0.0.1/", 17) != 0);
	}
	if (guard_init(&g, s, NULL) == 0)
		FUZZ_CHECK(g.n <= GUARD_ALLOW_MAX);
	free(s);
	return 0;
}
