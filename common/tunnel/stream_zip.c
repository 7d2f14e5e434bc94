#include "common/tunnel/stream_zip.h"

#include <stdlib.h>
#include <zstd.h>

#define SMALL      64                        /* fewer bytes are not worth the blocks' heads, unless much went before */
#define PASS_MIN   ((size_t)256 * 1024)      /* bytes that are not tried after some that did not get smaller, */
#define PASS_MAX   ((size_t)8 * 1024 * 1024) /* twice as many each time */
#define WORTH(n)   ((n) - (n) / 8)
#define BLOCK_HEAD 32 /* of a flush: more than the heads of a frame and of a block */

struct stream_zip {
	ZSTD_CCtx *closer; /* NULL: nothing was closed yet */
	ZSTD_DCtx *opener;
	size_t pass; /* bytes that are not tried */
	size_t next; /* how many the next time */
	bool failed; /* nothing is closed any more: what the peer has of this way ends here */
};

struct stream_zip *stream_zip_new(void)
{
	struct stream_zip *z = calloc(1, sizeof *z);

	if (z != NULL)
		z->next = PASS_MIN;
	return z;
}

void stream_zip_free(struct stream_zip *z)
{
	if (z == NULL)
		return;
	ZSTD_freeCCtx(z->closer);
	ZSTD_freeDCtx(z->opener);
	free(z);
}

bool stream_zip_passes(struct stream_zip *z, size_t n)
{
	if (z->failed || (n < SMALL && z->closer == NULL))
		return true;
	if (z->pass == 0)
		return false;
	z->pass -= MIN(z->pass, n);
	return true;
}

size_t stream_zip_bound(size_t n)
{
	return ZSTD_compressBound(n) + BLOCK_HEAD;
}

static bool have_closer(struct stream_zip *z)
{
	if (z->closer != NULL)
		return true;
	z->closer = ZSTD_createCCtx();
	return z->closer != NULL &&
	       !ZSTD_isError(ZSTD_CCtx_setParameter(z->closer, ZSTD_c_compressionLevel, ZIP_LEVEL)) &&
	       !ZSTD_isError(ZSTD_CCtx_setParameter(z->closer, ZSTD_c_windowLog, ZIP_WINDOW_LOG));
}

ssize_t stream_zip_close(struct stream_zip *z, uint8_t *out, const uint8_t *p, size_t n)
{
	ZSTD_outBuffer to = { .dst = out, .size = stream_zip_bound(n) };
	ZSTD_inBuffer from = { .src = p, .size = n };

	if (!have_closer(z) || ZSTD_compressStream2(z->closer, &to, &from, ZSTD_e_flush) != 0 || from.pos != n)
		z->failed = true; /* the room is enough for all of it */
	if (z->failed)
		return -1;
	if (to.pos <= WORTH(n)) {
		z->next = PASS_MIN;
	} else if (n >= SMALL) {
		z->pass = z->next;
		z->next = MIN(2 * z->next, PASS_MAX);
	}
	return (ssize_t)to.pos;
}

static bool have_opener(struct stream_zip *z)
{
	if (z->opener != NULL)
		return true;
	z->opener = ZSTD_createDCtx();
	return z->opener != NULL &&
	       !ZSTD_isError(ZSTD_DCtx_setParameter(z->opener, ZSTD_d_windowLogMax, ZIP_WINDOW_LOG));
}

/* With room for one byte more than may come, so that what is too much shows. */
ssize_t stream_zip_open(struct stream_zip *z, uint8_t *out, size_t max, const uint8_t *p, size_t n)
{
	ZSTD_outBuffer to = { .dst = out, .size = max + 1 };
	ZSTD_inBuffer from = { .src = p, .size = n };
	size_t before, r;

	if (!have_opener(z))
		return -1;
	do {
		before = from.pos + to.pos;
		r = ZSTD_decompressStream(z->opener, &to, &from);
		if (ZSTD_isError(r) || r == 0 || to.pos > max) /* 0: a frame's end, and there is none */
			return -1;
	} while (from.pos + to.pos > before);
	return from.pos == n ? (ssize_t)to.pos : -1;
}
