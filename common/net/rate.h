/*
 * rate - bytes per second of one mapping in one direction, shared by the workers.
 *
 * The bucket is behind a lock; a worker borrows a slice of at most RATE_SLICE_NS worth and spends it alone, so the lock
 * is taken a hundred times a second, not once a packet. What a slice has left when its time is over goes back.
 *
 * Owner:  a gate. Thread: any; a slice belongs to one worker.
 */
#ifndef PORTWAY_NET_RATE_H
#define PORTWAY_NET_RATE_H

#include "common/net/bucket.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define RATE_SLICE_NS UINT64_C(10000000)

struct rate {
	uint64_t per_s; /* atomic; 0: no limit */
	pthread_mutex_t lock;
	struct bucket bucket;
	uint64_t debt; /* of datagrams longer than the bucket is deep */
};

struct rate_slice {
	uint64_t left;
	uint64_t ends_ns;
};

void rate_init(struct rate *r);
void rate_fini(struct rate *r);
/* Control thread; takes effect with the next slice. */
void rate_set(struct rate *r, uint64_t per_s, uint64_t now_ns);

static inline bool rate_limits(const struct rate *r)
{
	return __atomic_load_n(&r->per_s, __ATOMIC_RELAXED) != 0;
}

/* How many of `want` bytes may pass now; 0: not one before rate_wait_ns(). What is not used is given back; when
 * the limit is lower by then, no more of it counts than a bucket holds. */
uint64_t rate_take(struct rate *r, struct rate_slice *s, uint64_t want, uint64_t now_ns);
void rate_give(const struct rate *r, struct rate_slice *s, uint64_t n);
/* All of a datagram or nothing. */
bool rate_take_whole(struct rate *r, struct rate_slice *s, uint64_t n, uint64_t now_ns);
/*
 * For who cannot stop before he has passed what he holds: n bytes have passed. What the bucket does not have is owed by all; nobody passes
 * more before rate_owed_ns() is 0.
 */
void rate_spend(struct rate *r, uint64_t n, uint64_t now_ns);
uint64_t rate_owed_ns(struct rate *r, uint64_t now_ns);
/* Until a slice can be borrowed again. */
uint64_t rate_wait_ns(struct rate *r, uint64_t now_ns);

#endif
