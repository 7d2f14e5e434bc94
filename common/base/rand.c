#include "common/base/rand.h"

#include "common/base/clock.h"
#include "common/base/macros.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void rand_bytes(void *dst, size_t n)
{
	uint8_t *p = dst;

	while (n > 0) {
		ssize_t got = getrandom(p, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			fprintf(stderr, "getrandom: %s\n", strerror(errno));
			abort();
		}
		p += got;
		n -= (size_t)got;
	}
}

uint64_t rand_u64(void)
{
	uint64_t v;

	rand_bytes(&v, sizeof v);
	return v;
}

uint64_t rand_below(uint64_t n)
{
	/* 2^64 mod n values at the bottom would make the small results likelier: they are drawn again. */
	const uint64_t biased = (0 - n) % n;
	uint64_t v;

	assert(n > 0);
	do {
		v = rand_u64();
	} while (v < biased);
	return v % n;
}

#define RAND_ID_DIGITS 10 /* of 5 bits, for the time and again for the random part */
#define RAND_ID_BITS   (RAND_ID_DIGITS * 5)

struct rand_id_parts {
	uint64_t ms;
	uint64_t random;
};

/* Random bytes for the next steps: to ask the kernel for each id would be half of what an id costs. */
static struct {
	uint32_t next[32];
	size_t left;
} rand_steps;

static void rand_steps_forget(void)
{
	rand_steps.left = 0;
}

/* A child of fork() must not go on with what its parent has. */
static void rand_steps_guard(void)
{
	(void)pthread_atfork(NULL, NULL, rand_steps_forget);
}

static uint64_t rand_step(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, rand_steps_guard);
	if (rand_steps.left == 0) {
		rand_bytes(rand_steps.next, sizeof rand_steps.next);
		rand_steps.left = ARRAY_LEN(rand_steps.next);
	}
	return 1 + (rand_steps.next[--rand_steps.left] >> 8);
}

/*
 * In one millisecond ids step up from the first by a random amount, and not by one, so that two processes
 * which share a past (fork) do not go on with the same ids. The first one leaves the top bit free for these
 * steps.
 */
static struct rand_id_parts rand_id_next(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct rand_id_parts last;
	const uint64_t now = (uint64_t)clock_wall_ms();
	struct rand_id_parts id;

	pthread_mutex_lock(&lock);
	if (now > last.ms) {
		last.ms = now;
		last.random = rand_u64() >> (64 - RAND_ID_BITS + 1);
	} else {
		last.random += rand_step();
	}
	if (last.random >> RAND_ID_BITS != 0) {
		last.ms++;
		last.random = rand_u64() >> (64 - RAND_ID_BITS + 1);
	}
	id = last;
	pthread_mutex_unlock(&lock);
	return id;
}

static void rand_id_digits(char *dst, uint64_t v)
{
	static const char crockford[] = "0123456789abcdefghjkmnpqrstvwxyz";

	for (size_t i = RAND_ID_DIGITS; i-- > 0; v >>= 5)
		dst[i] = crockford[v & 31];
}

void rand_id(char dst[RAND_ID_SIZE], const char *prefix)
{
	const struct rand_id_parts id = rand_id_next();
	const size_t n = strlen(prefix);

	assert(n <= 8);
	memcpy(dst, prefix, n);
	dst[n] = '_';
	rand_id_digits(dst + n + 1, id.ms);
	rand_id_digits(dst + n + 1 + RAND_ID_DIGITS, id.random);
	dst[n + 1 + 2 * RAND_ID_DIGITS] = '\0';
}

uint64_t rand_backoff_ms(unsigned attempt, uint64_t base_ms, uint64_t cap_ms)
{
	uint64_t most = cap_ms;

	if (attempt < 64 && base_ms <= UINT64_MAX >> attempt)
		most = MIN(base_ms << attempt, cap_ms);
	return most == UINT64_MAX ? rand_u64() : rand_below(most + 1);
}
