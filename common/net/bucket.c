#include "common/net/bucket.h"

#include "common/base/macros.h"

#define BUCKET_NS_PER_S UINT64_C(1000000000)

/* rate * time does not fit 64 bits for a fast bucket that slept for minutes. */
__extension__ typedef unsigned __int128 bucket_wide;

static void bucket_refill(struct bucket *b, uint64_t now_ns)
{
	bucket_wide made;

	if (now_ns <= b->last_ns)
		return;
	made = (bucket_wide)(now_ns - b->last_ns) * b->rate + b->rem;
	b->last_ns = now_ns;
	if (made / BUCKET_NS_PER_S >= b->burst - b->tokens) {
		b->tokens = b->burst;
		b->rem = 0; /* full: what would have come is lost, fractions too */
		return;
	}
	b->tokens += (uint64_t)(made / BUCKET_NS_PER_S);
	b->rem = (uint64_t)(made % BUCKET_NS_PER_S);
}

void bucket_init(struct bucket *b, uint64_t rate, uint64_t burst, uint64_t now_ns)
{
	*b = (struct bucket){ .rate = rate, .burst = MAX(burst, 1), .last_ns = now_ns };
	b->tokens = b->burst;
}

void bucket_set(struct bucket *b, uint64_t rate, uint64_t burst, uint64_t now_ns)
{
	bucket_refill(b, now_ns);
	b->rate = rate;
	b->burst = MAX(burst, 1);
	if (b->tokens >= b->burst) {
		b->tokens = b->burst;
		b->rem = 0;
	}
}

uint64_t bucket_take(struct bucket *b, uint64_t want, uint64_t min, uint64_t now_ns)
{
	uint64_t n;

	if (b->rate == 0)
		return want;
	bucket_refill(b, now_ns);
	n = MIN(want, b->tokens);
	if (n < min)
		return 0;
	b->tokens -= n;
	return n;
}

void bucket_give(struct bucket *b, uint64_t n)
{
	b->tokens += MIN(n, b->burst - b->tokens);
}

uint64_t bucket_wait_ns(struct bucket *b, uint64_t n, uint64_t now_ns)
{
	bucket_wide missing;

	if (b->rate == 0)
		return 0;
	bucket_refill(b, now_ns);
	n = MIN(n, b->burst);
	if (n <= b->tokens)
		return 0;
	missing = (bucket_wide)(n - b->tokens) * BUCKET_NS_PER_S - b->rem;
	missing = (missing + b->rate - 1) / b->rate;
	return missing > UINT64_MAX ? UINT64_MAX : (uint64_t)missing;
}
