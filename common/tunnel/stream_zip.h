/*
 * stream_zip - the bytes of one stream, compressed by zstd: one zstd stream each way, flushed with every write.
 *
 * What does not get smaller is left as it is for a while, longer each time. Memory is bounded by the window, and there is none
 * for a way in which nothing was compressed yet.
 *
 * Owner: the stream. Thread: the link's.
 */
#ifndef PORTWAY_TUNNEL_STREAM_ZIP_H
#define PORTWAY_TUNNEL_STREAM_ZIP_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ZIP_WINDOW_LOG 16 /* what a peer's bytes may refer back to: 64 KiB */
#define ZIP_LEVEL      1

struct stream_zip;

/* NULL: out of memory. */
struct stream_zip *stream_zip_new(void);
void stream_zip_free(struct stream_zip *z); /* NULL is fine */

/* Whether the next n bytes are better sent as they are; if so, they count as sent. */
bool stream_zip_passes(struct stream_zip *z, size_t n);
/* Room that stream_zip_close() needs for n bytes. */
size_t stream_zip_bound(size_t n);
/* n bytes closed into out, of stream_zip_bound(n) bytes: how many. -1: out of memory; from now on all passes. */
ssize_t stream_zip_close(struct stream_zip *z, uint8_t *out, const uint8_t *p, size_t n) MUST_CHECK;
/* What was closed by one such call, of the peer: at most max bytes, all of it; -1: more, not zstd, or no memory. */
ssize_t stream_zip_open(struct stream_zip *z, uint8_t *out, size_t max, const uint8_t *p, size_t n) MUST_CHECK;

#endif
