/*
 * meter_file - one boot's counters on disk, mapped shared: the header, then one record per slot.
 *
 *	0      header: magic, version, sizes, boot id, the numbers of its reports
 *	4096   slot 0: number (0: free), object id | worker 0: counters | worker 1: counters | ...
 *	       slot 1: ...                          each part starts on a cache line of its own
 *
 * All numbers are in the byte order of the machine: the file never leaves it. The process that counts holds flock(2) on
 * the file for as long as it lives; whoever gets that lock knows that nobody counts there any more.
 *
 * Owner: meter. Thread: control thread, except the cells, which have one writer each, and meter_file_sync().
 */
#ifndef PORTWAY_RELAYD_METER_METER_FILE_H
#define PORTWAY_RELAYD_METER_METER_FILE_H

#include "common/base/macros.h"
#include "proto/report.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct meter_file;

#define METER_FILE_SUFFIX      ".meter"
#define METER_FILE_NEW_SUFFIX  ".new" /* behind it, until the file is complete */
#define METER_FILE_SLOTS_MAX   (1u << 20)
#define METER_FILE_WORKERS_MAX 256u
/* u64s from one worker's counters to the next one's: whole cache lines. */
#define METER_FILE_STRIDE ((METER_COUNTERS_N + 7u) / 8u * 8u)

/* Allocated in full and locked; ERR_DISK_FULL leaves nothing behind. */
int meter_file_create(struct meter_file **out, const char *dir, const char *boot, uint32_t slots, uint32_t workers,
	struct err *e) MUST_CHECK;
/* Another process's. ERR_PROTOCOL: not a file of this kind, or of a version that this build cannot read. */
int meter_file_open(struct meter_file **out, const char *path, struct err *e) MUST_CHECK;
/* Unmaps and unlocks; the file stays. NULL is fine. */
void meter_file_close(struct meter_file *f);
int meter_file_remove(struct meter_file *f); /* the name only; 0 or -errno */
/* Writes dirty pages to the disk and waits; any thread. 0 or -errno. */
int meter_file_sync(const struct meter_file *f);

const char *meter_file_boot(const struct meter_file *f);
uint32_t meter_file_slots(const struct meter_file *f);
/* Nobody counts here any more, and nobody else reports it: true once the lock is ours. Tries to get it if not. */
bool meter_file_dead(struct meter_file *f);
/* Gives back the space behind the last used slot; only of a dead file. */
void meter_file_shrink(struct meter_file *f);

/* Highest report number that was ever sent. */
uint64_t meter_file_sent(const struct meter_file *f);
void meter_file_set_sent(struct meter_file *f, uint64_t number);

/* Slots of a file that this process counts in. */
void meter_file_take(struct meter_file *f, uint32_t slot, uint64_t number, const char *object_id);
void meter_file_release(struct meter_file *f, uint32_t slot);
uint64_t *meter_file_cells(const struct meter_file *f, uint32_t slot);

/* Sum over all workers of all counters of a slot; rises with every change. 0 when the slot is free. */
uint64_t meter_file_activity(const struct meter_file *f, uint32_t slot);
uint64_t meter_file_total(const struct meter_file *f, uint32_t slot, enum meter_counter c);
/* False when the slot is free. */
bool meter_file_row(const struct meter_file *f, uint32_t slot, struct meter_row *out);

#endif
