/* Time zone files and their rules: what is accepted shows a time that leads back, and times that rise stay in order. */
#include "common/base/err.h"
#include "common/base/zone.h"
#include "common/base/zone_rule.h"
#include "tests/fuzz/fuzz.h"

#define YEAR_MS INT64_C(31556952000)

static void ask(const struct zone *z)
{
	for (int64_t ms = -300 * YEAR_MS; ms < 300 * YEAR_MS; ms += 7 * YEAR_MS + 123456789) {
		struct civil c;

		zone_local(z, ms, &c);
		FUZZ_CHECK(civil_ms(&c) - ms / 1000 * 1000 < 86400000 &&
			   ms / 1000 * 1000 - civil_ms(&c) < 86400000 + 1000);
		zone_utc(z, &c);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *s = fuzz_string(data, size);
	struct zone_rule rule;
	struct zone *z;

	if (s == NULL)
		return 0;
	if (zone_rule_parse(&rule, s) == 0)
		for (int64_t t = -300 * YEAR_MS / 1000; t < 300 * YEAR_MS / 1000; t += 7 * YEAR_MS / 1000)
			zone_rule_offset(&rule, t);
	free(s);
	if (zone_parse(&z, data, size, NULL) == 0) {
		ask(z);
		zone_free(z);
	}
	return 0;
}
