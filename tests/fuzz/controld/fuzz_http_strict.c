/* The strict HTTP reader: how the bytes are cut must not matter, and what it accepts keeps to the limits. */
#include "controld/rest/strict.h"
#include "tests/fuzz/fuzz.h"

static const struct strict_limits limits = { .head_max = 600, .body_max = 300, .lines_max = 10 };

static enum strict_verdict feed(struct strict *s, const uint8_t *data, size_t size, size_t step, size_t *used)
{
	enum strict_verdict v = STRICT_MORE;

	strict_begin(s, &limits);
	*used = 0;
	while (*used < size && v == STRICT_MORE) {
		size_t n;

		v = strict_feed(s, data + *used, MIN(step, size - *used), &n);
		*used += n;
	}
	return v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct strict whole, pieces;
	size_t whole_used, pieces_used;
	const enum strict_verdict v = feed(&whole, data, size, SIZE_MAX, &whole_used);

	for (size_t step = 1; step < 8; step += 3) {
		FUZZ_CHECK(feed(&pieces, data, size, step, &pieces_used) == v);
		FUZZ_CHECK(pieces_used == whole_used && pieces.code == whole.code && pieces.reason == whole.reason);
	}
	FUZZ_CHECK(whole_used <= size && whole.head_len <= limits.head_max + 1 && whole.body_len <= limits.body_max);
	FUZZ_CHECK((v == STRICT_BAD) == (whole.code != ERR_NONE));
	if (v == STRICT_DONE) {
		FUZZ_CHECK(whole.head_done && (whole.seen_host || whole.http10));
		FUZZ_CHECK(!(whole.seen_length && whole.seen_chunked));
		FUZZ_CHECK(memchr(data, '\n', whole_used) != NULL && memchr(data, '\0', whole.head_len) == NULL);
	}
	return 0;
}
