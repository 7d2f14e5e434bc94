/* What a server answers to a gRPC check: the same verdict and the same words back however its bytes are cut. */
#include "relayd/health/grpc_check.h"
#include "tests/fuzz/fuzz.h"

static enum grpc_check_says ask(struct grpc_check *c, const uint8_t *p, size_t n, size_t step)
{
	enum grpc_check_says says = GRPC_CHECK_MORE;

	grpc_check_init(c, "a", "", false);
	for (size_t at = 0; at < n && says == GRPC_CHECK_MORE; at += step)
		says = grpc_check_feed(c, p + at, MIN(step, n - at));
	if (says == GRPC_CHECK_MORE)
		says = grpc_check_eof(c);
	FUZZ_CHECK(says != GRPC_CHECK_MORE && (says == GRPC_CHECK_GOOD) == (c->why[0] == '\0'));
	return says;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct grpc_check whole, pieces;

	if (size > 16 * 1024)
		return 0;
	FUZZ_CHECK(ask(&whole, data, size, 16 * 1024) == ask(&pieces, data, size, 1));
	FUZZ_CHECK(whole.out.len == pieces.out.len && memcmp(whole.out.data, pieces.out.data, whole.out.len) == 0);
	grpc_check_fini(&whole);
	grpc_check_fini(&pieces);
	return 0;
}
