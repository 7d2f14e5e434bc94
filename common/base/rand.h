/*
 * rand - random bytes from the kernel, ids, jitter.
 */
#ifndef PORTWAY_BASE_RAND_H
#define PORTWAY_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

/* getrandom(2); ends the process if the kernel cannot give any (there is nothing safe to go on with). */
void rand_bytes(void *dst, size_t n);
uint64_t rand_u64(void);
/* Uniform in [0, n); n > 0. */
uint64_t rand_below(uint64_t n);

/*
 * An id that sorts by the time it was made: prefix, '_', 20 characters of Crockford base32 in lower case
 * (10 of the milliseconds, 10 random = 50 bits; ids made in one millisecond by one process still increase).
 * dst needs RAND_ID_SIZE; prefix at most 8 characters.
 */
#define RAND_ID_SIZE 32
void rand_id(char dst[RAND_ID_SIZE], const char *prefix);
/* Full jitter: uniform in [0, min(cap, base * 2^attempt)]. */
uint64_t rand_backoff_ms(unsigned attempt, uint64_t base_ms, uint64_t cap_ms);

#endif
