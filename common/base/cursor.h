/*
 * cursor - a bounds-checked reader over foreign bytes with a sticky error.
 *
 * After the first failure every call is a no-op that answers 0 or NULL, so a decoder reads straight down and checks
 * once with cursor_done(). Lengths are compared with what is left before any arithmetic. Big-endian.
 */
#ifndef PORTWAY_BASE_CURSOR_H
#define PORTWAY_BASE_CURSOR_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cursor {
	const uint8_t *p;
	size_t left;
	bool failed;
};

void cursor_init(struct cursor *c, const void *p, size_t n);
uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_u16(struct cursor *c);
uint32_t cursor_u32(struct cursor *c);
uint64_t cursor_u64(struct cursor *c);
/* n bytes inside the input, or NULL. */
const uint8_t *cursor_bytes(struct cursor *c, size_t n);
/* u16 length + bytes, copied NUL-terminated into dst; too long for size, a NUL or bad UTF-8 is a failure (dst: ""). */
void cursor_str16(struct cursor *c, char *dst, size_t size);
/* u32 length + bytes inside the input; *n is 0 on failure. */
const uint8_t *cursor_blob32(struct cursor *c, size_t *n);
/* A u32 count of items that take at least min_size bytes each; fails if more than max or more than can be left. */
uint32_t cursor_count(struct cursor *c, uint32_t max, size_t min_size);
void cursor_fail(struct cursor *c);
/* 0 if nothing failed and every byte was used, else -1. */
int cursor_done(const struct cursor *c) MUST_CHECK;

#endif
