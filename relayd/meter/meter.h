/*
 * meter - exact traffic counters that outlive the process: one shared-mapped file per boot, allocated in full when made.
 *
 * <dir>/<boot id>.meter: a header, then for each slot an id and METER_COUNTERS_N u64 for every worker. Workers add with
 * plain relaxed stores to their own cells (one writer per cell), so kill -9 loses nothing. A slot is given back only
 * when its object is gone and its last values were acknowledged; the slot's allocation number is never used again.
 *
 * A disk without room for the file does not stop the relay: meter_slot_get() says so, and tries again once a second.
 *
 * Owner:  app. Thread: control thread, except meter_add(), which a worker calls with its own index, and meter_sync().
 */
#ifndef PORTWAY_RELAYD_METER_METER_H
#define PORTWAY_RELAYD_METER_METER_H

#include "common/base/macros.h"
#include "relayd/meter/meter_file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct meter;

/* Cells of one object for one worker live together: METER_COUNTERS_N of them, 64-byte aligned. */
struct meter_slot {
	uint64_t *cells; /* [worker][METER_FILE_STRIDE] */
	uint32_t index;  /* private */
	uint64_t number; /* allocation number, meter_row.slot */
};

/* The folder must exist. slots, workers: sizes of the file. */
int meter_open(struct meter **out, const char *dir, uint32_t slots, uint32_t workers, struct err *e) MUST_CHECK;
/* Syncs and closes; the file stays for the next process to report. */
void meter_close(struct meter *m);
const char *meter_boot(const struct meter *m);
/* Puts on the disk what was counted until now, and waits for it; any thread. 0 or -errno. */
int meter_sync(const struct meter *m);

/* ERR_NO_METER when every slot is in use, ERR_DISK_FULL or ERR_IO when the file cannot be made (yet). */
int meter_slot_get(struct meter *m, const char *object_id, struct meter_slot *out, struct err *e) MUST_CHECK;
/* The object is gone and no worker adds to it any more. */
void meter_slot_put(struct meter *m, struct meter_slot *s);
/* The totals of every object that counts here now, or waits for its last values to be acknowledged. */
void meter_each(const struct meter *m, void (*fn)(const struct meter_row *row, void *arg), void *arg);
/* Of objects that are gone and were in meter_each() before: with it, a sum over all objects never falls. */
uint64_t meter_retired(const struct meter *m, enum meter_counter c);
uint64_t meter_slot_total(const struct meter *m, const struct meter_slot *s, enum meter_counter c);

static inline void meter_add(const struct meter_slot *s, unsigned worker, enum meter_counter c, uint64_t n)
{
	uint64_t *cell = &s->cells[worker * METER_FILE_STRIDE + c];

	__atomic_store_n(cell, *cell + n, __ATOMIC_RELAXED);
}

/*
 * The next report: of one boot file in the folder, this process's first, then in turn. A dead process's are found by
 * their lock being free. Fills boot, number and last of head and appends rows (msg_report_row), at most max_bytes. False
 * when there is nothing to say. A report is given again until it is acknowledged.
 */
bool meter_report_next(struct meter *m, size_t max_bytes, struct msg_report *head, struct buf *rows, uint32_t *n_rows);
/* What controld answered: slots and dead files may be given back. */
void meter_report_acked(struct meter *m, const struct msg_report_ack *ack);
/* Another database is behind controld: report everything again. */
void meter_report_again(struct meter *m);

#endif
