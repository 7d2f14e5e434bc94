#include "common/net/rate.h"

#include "common/base/macros.h"

#define NS_PER_S  UINT64_C(1000000000)
#define BURST_DIV 10 /* a bucket holds 100 ms: what a busy machine may keep a worker waiting, and 1 % of ten seconds */
#define BURST_MIN 2048 /* bytes: one datagram of an ordinary path fits */

void rate_init(struct rate *r)
{
	*r = (struct rate){ .per_s = 0 };
	pthread_mutex_init(&r->lock, NULL);
}

void rate_fini(struct rate *r)
{
	pthread_mutex_destroy(&r->lock);
}

static uint64_t burst_of(uint64_t per_s)
{
	return MAX(per_s / BURST_DIV, BURST_MIN);
}

static uint64_t slice_of(uint64_t per_s)
{
	return MAX(per_s / (NS_PER_S / RATE_SLICE_NS), 1);
}

void rate_set(struct rate *r, uint64_t per_s, uint64_t now_ns)
{
	pthread_mutex_lock(&r->lock);
	if (r->bucket.rate == 0)
		bucket_init(&r->bucket, per_s, burst_of(per_s), now_ns);
	else
		bucket_set(&r->bucket, per_s, burst_of(per_s), now_ns);
	r->debt = 0;
	__atomic_store_n(&r->per_s, per_s, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&r->lock);
}

/* With the lock. */
static void pay_debt(struct rate *r, uint64_t now_ns)
{
	if (r->debt > 0)
		r->debt -= bucket_take(&r->bucket, r->debt, 0, now_ns);
}

/* Puts back what a slice did not use in its time and fills it for at least `min` of `want` bytes. */
static void borrow(struct rate *r, struct rate_slice *s, uint64_t want, uint64_t min, uint64_t now_ns)
{
	pthread_mutex_lock(&r->lock);
	bucket_give(&r->bucket, s->left);
	pay_debt(r, now_ns);
	s->left = r->debt > 0 ? 0 : bucket_take(&r->bucket, want, min, now_ns);
	pthread_mutex_unlock(&r->lock);
	s->ends_ns = now_ns + RATE_SLICE_NS;
}

uint64_t rate_take(struct rate *r, struct rate_slice *s, uint64_t want, uint64_t now_ns)
{
	uint64_t per_s = __atomic_load_n(&r->per_s, __ATOMIC_RELAXED), n;

	if (per_s == 0)
		return want;
	if (s->left == 0 || now_ns >= s->ends_ns)
		borrow(r, s, slice_of(per_s), 1, now_ns);
	n = MIN(want, s->left);
	s->left -= n;
	return n;
}

void rate_give(const struct rate *r, struct rate_slice *s, uint64_t n)
{
	const uint64_t per_s = __atomic_load_n(&r->per_s, __ATOMIC_RELAXED);

	if (per_s != 0)
		s->left = MIN(s->left + n, MAX(s->left, burst_of(per_s)));
}

bool rate_take_whole(struct rate *r, struct rate_slice *s, uint64_t n, uint64_t now_ns)
{
	uint64_t per_s = __atomic_load_n(&r->per_s, __ATOMIC_RELAXED), fits;

	if (per_s == 0)
		return true;
	fits = MIN(n, burst_of(per_s));
	if (s->left < fits || now_ns >= s->ends_ns)
		borrow(r, s, MAX(slice_of(per_s), fits), fits, now_ns);
	if (s->left < fits)
		return false;
	s->left -= fits;
	if (n > fits) {
		pthread_mutex_lock(&r->lock);
		r->debt += n - fits;
		pthread_mutex_unlock(&r->lock);
	}
	return true;
}

void rate_spend(struct rate *r, uint64_t n, uint64_t now_ns)
{
	pthread_mutex_lock(&r->lock);
	r->debt += n;
	pay_debt(r, now_ns);
	pthread_mutex_unlock(&r->lock);
}

uint64_t rate_owed_ns(struct rate *r, uint64_t now_ns)
{
	uint64_t wait = 0;

	pthread_mutex_lock(&r->lock);
	pay_debt(r, now_ns);
	if (r->debt > 0) /* a bucket that is not as deep fills more than once */
		wait = MIN(bucket_wait_ns(&r->bucket, MIN(r->debt, r->bucket.burst), now_ns), NS_PER_S);
	pthread_mutex_unlock(&r->lock);
	return wait;
}

uint64_t rate_wait_ns(struct rate *r, uint64_t now_ns)
{
	uint64_t wait;

	pthread_mutex_lock(&r->lock);
	pay_debt(r, now_ns);
	wait = bucket_wait_ns(&r->bucket, r->debt + slice_of(r->bucket.rate), now_ns);
	pthread_mutex_unlock(&r->lock);
	return wait;
}
