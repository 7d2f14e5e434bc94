/*
 * saver - keeps the last good snapshot on disk current, in the background: changes in quick succession are one write.
 *
 * Owner:  app. Thread: control thread; the write itself runs on libuv's pool.
 * Ends:   saver_close() waits for a write under way and writes what is newer, blocking; then free.
 */
#ifndef PORTWAY_RELAYD_SAVER_H
#define PORTWAY_RELAYD_SAVER_H

#include "common/base/macros.h"
#include "common/crypto/seal.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct err;
struct saver;
struct snapshot;

/* confirm_ms: how old the file's mark of confirmation may become before it is written again unchanged. */
int saver_new(struct saver **out, uv_loop_t *loop, const char *path, const uint8_t key[SEAL_KEY_SIZE],
	uint64_t confirm_ms, struct err *e) MUST_CHECK;
/* controld says that `s` is what this relay should run, now. */
void saver_confirmed(struct saver *v, struct snapshot *s);
bool saver_failing(const struct saver *v); /* the last write did not work */
/* on_closed frees nothing of the saver's: it is gone then. */
void saver_close(struct saver *v, void (*on_closed)(void *arg), void *arg);

#endif
