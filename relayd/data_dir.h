/*
 * data_dir - the relay's folder: its lock, its key, the names of its files.
 *
 *	lock             held with flock(2) by the relay that uses the folder; passes to a successor
 *	relay.key        32 bytes that seal the files below, 0600
 *	identity.sealed  key and certificate           snapshot.sealed  the last good configuration
 *	meter/           counters, one file per boot
 *
 * Owner: app, embedded.
 */
#ifndef PORTWAY_RELAYD_DATA_DIR_H
#define PORTWAY_RELAYD_DATA_DIR_H

#include "common/base/macros.h"
#include "common/crypto/seal.h"

#include <limits.h>
#include <stdbool.h>

struct err;

struct data_dir {
	int lock_fd; /* -1: not held */
	uint8_t key[SEAL_KEY_SIZE];
	char identity[PATH_MAX], snapshot[PATH_MAX], meter[PATH_MAX], lock[PATH_MAX];
};

/* Makes what is missing. lock: take the lock (ERR_LOCKED: another relay has it); a successor is handed it. */
int data_dir_open(struct data_dir *d, const char *path, bool lock, struct err *e) MUST_CHECK;
void data_dir_close(struct data_dir *d);

#endif
