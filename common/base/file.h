/*
 * file - whole small files, written so that a crash leaves the old or the new one, never half.
 */
#ifndef PORTWAY_BASE_FILE_H
#define PORTWAY_BASE_FILE_H

#include "common/base/macros.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

/* Reads at most max bytes; *out is malloc'ed and NUL-terminated, the caller frees. ERR_NOT_FOUND if there is none. */
int file_read(const char *path, size_t max, uint8_t **out, size_t *len, struct err *e) MUST_CHECK;
/* Temporary file in the same folder, fsync, rename, fsync of the folder. ERR_DISK_FULL is told apart. */
int file_write_atomic(const char *path, const void *p, size_t n, mode_t mode, struct err *e) MUST_CHECK;
/* mkdir -p with this mode for the last part; an existing folder is fine. */
int file_mkdirs(const char *path, mode_t mode, struct err *e) MUST_CHECK;

#endif
