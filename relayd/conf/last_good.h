/*
 * last_good - the newest snapshot on disk, sealed, so that a relay restarted without controld serves at once.
 *
 * The file is "snapshot" in the data directory, 0600: seal_wrap() of a header (magic, version, when controld confirmed
 * it, revision) and the objects as they came.
 *
 * Thread: any; reading and writing block on the disk.
 */
#ifndef PORTWAY_RELAYD_CONF_LAST_GOOD_H
#define PORTWAY_RELAYD_CONF_LAST_GOOD_H

#include "common/base/macros.h"
#include "common/crypto/seal.h"

#include <stdint.h>

struct buf;
struct err;
struct snapshot;

#define LAST_GOOD_MAX (512 * 1024 * 1024) /* bytes */

/* The plain content, for a successor that gets it without the disk. */
void last_good_encode(struct buf *b, const struct snapshot *s, int64_t confirmed_ms);
int last_good_decode(const void *p, size_t n, struct snapshot **out, int64_t *confirmed_ms, struct err *e) MUST_CHECK;

int last_good_write(const char *path, const uint8_t key[SEAL_KEY_SIZE], const struct snapshot *s, int64_t confirmed_ms,
	struct err *e) MUST_CHECK;
/* ERR_NOT_FOUND: there is none. ERR_CRYPTO, ERR_PROTOCOL: damaged, or of another relay. */
int last_good_read(const char *path, const uint8_t key[SEAL_KEY_SIZE], struct snapshot **out, int64_t *confirmed_ms,
	struct err *e) MUST_CHECK;

#endif
