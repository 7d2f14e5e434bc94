/* Cron expressions: what is accepted has times that rise, each found from just before it, and at the fields that it names. */
#include "common/base/err.h"
#include "common/base/zone.h"
#include "controld/jobs/cron.h"
#include "tests/fuzz/fuzz.h"

#define START INT64_C(1774000000000) /* a week before clocks are set forward in Europe */

static struct zone *zone_of(const char *name)
{
	struct zone *z;

	FUZZ_CHECK(zone_open(&z, name, NULL) == 0);
	return z;
}

static void ask(const struct cron *c, const struct zone *z)
{
	int64_t at = START;

	for (int i = 0; i < 20; i++) {
		const int64_t next = cron_next(c, z, at);
		struct civil t;

		FUZZ_CHECK(next > at);
		FUZZ_CHECK(cron_next(c, z, next - 1) == next);
		if (next == INT64_MAX)
			return;
		zone_local(z, next, &t);
		FUZZ_CHECK(c->every_ms > 0 || !c->any_hour || (c->minutes >> t.minute & 1) != 0);
		at = next;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct zone *utc, *moving;
	char *s = fuzz_string(data, size);
	struct cron c;

	if (s == NULL)
		return 0;
	if (utc == NULL) {
		utc = zone_of("UTC");
		moving = zone_of("Europe/Berlin");
	}
	if (cron_parse(&c, s, NULL) == 0) {
		ask(&c, utc);
		ask(&c, moving);
	}
	free(s);
	return 0;
}
