/*
 * buf - a growable byte buffer with a hard limit and a sticky error.
 *
 * Owner: whoever embeds it. Writers append without checking; the reader of the result checks `failed` once.
 * Integers are big-endian (network order).
 */
#ifndef PORTWAY_BASE_BUF_H
#define PORTWAY_BASE_BUF_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *data;
	size_t len;
	size_t cap;
	size_t max;  /* appending beyond this many bytes sets failed */
	bool failed; /* limit or memory: content is what fitted before */
};

void buf_init(struct buf *b, size_t max);
void buf_free(struct buf *b);  /* also of a zeroed buf; leaves it empty and usable */
void buf_reset(struct buf *b); /* len = 0, failed = false, memory kept */
void buf_put(struct buf *b, const void *p, size_t n);
void buf_u8(struct buf *b, uint8_t v);
void buf_u16(struct buf *b, uint16_t v);
void buf_u32(struct buf *b, uint32_t v);
void buf_u64(struct buf *b, uint64_t v);
/* u16 length and the bytes; NULL counts as "". */
void buf_str16(struct buf *b, const char *s);
/* u32 length and the bytes. */
void buf_blob32(struct buf *b, const void *p, size_t n);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
/* Overwrite 4 bytes at an offset that was written before (counts, lengths). */
void buf_patch_u32(struct buf *b, size_t at, uint32_t v);
/* Drop n bytes at the front. */
void buf_consume(struct buf *b, size_t n);
/* Room for n more bytes at data+len (the caller writes there and adds to len); NULL and failed if refused. */
uint8_t *buf_reserve(struct buf *b, size_t n);
/* NUL-terminated view of the content (the NUL is not counted in len); "" when failed or empty. */
const char *buf_cstr(struct buf *b);

#endif
