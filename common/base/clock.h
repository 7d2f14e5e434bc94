/*
 * clock - time, with its units in the names. Monotonic for waiting, wall for people and certificates.
 *
 * Code with rules about time takes a `now` argument instead of calling these (tests inject time).
 */
#ifndef PORTWAY_BASE_CLOCK_H
#define PORTWAY_BASE_CLOCK_H

#include "common/base/macros.h"

#include <stddef.h>
#include <stdint.h>

uint64_t clock_mono_ns(void); /* CLOCK_MONOTONIC */
uint64_t clock_mono_ms(void);
int64_t clock_wall_ms(void); /* milliseconds since 1970 UTC */
/* RFC 3339 UTC with milliseconds, "2026-11-22T10:00:00.123Z"; dst needs CLOCK_RFC3339_SIZE. */
#define CLOCK_RFC3339_SIZE 32
void clock_rfc3339(char *dst, int64_t wall_ms);
/* Accepts RFC 3339 with Z or an offset; 0 or -1. */
int clock_parse_rfc3339(const char *s, int64_t *wall_ms) MUST_CHECK;
/* "72h30m15s". */
void clock_uptime(char *dst, size_t size, uint64_t seconds);

#endif
