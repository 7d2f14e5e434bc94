/*
 * meter - exact traffic counters that outlive the process: one shared-mapped file per boot, allocated in full when made.
 *
 * <dir>/<boot id>.meter: a header, then for each slot an id and METER_COUNTERS_N u64 for every worker. Workers add with
 * plain relaxed stores to their own cells (one writer per cell), so kill -9 loses nothing. A slot is given back only
 * when its object is gone and its last values were acknowledged; the slot's allocation number is never used again.
 *
 * Owner:  app. Thread: control thread, except meter_add(), which a worker calls with its own index.
 */
#ifndef PORTWAY_RELAYD_METER_METER_H
#define PORTWAY_RELAYD_METER_METER_H

#include "common/base/macros.h"
#include "proto/report.h"

#include <stddef.h>
#include <stdint.h>

struct err;
struct meter;

/* Cells of one object for one worker live together: METER_COUNTERS_N of them, 64-byte aligned. */
struct meter_slot {
	uint64_t *cells; /* [worker][METER_COUNTERS_N] */
	uint32_t index;  /* private */
	uint64_t number; /* allocation number, meter_row.slot */
};

/* slots, workers: sizes of the file; ERR_DISK_FULL when it cannot be allocated whole. */
int meter_open(struct meter **out, const char *dir, uint32_t slots, uint32_t workers, struct err *e) MUST_CHECK;
/* Syncs and closes; the file stays for the next process to report. */
void meter_close(struct meter *m);
const char *meter_boot(const struct meter *m);

/* ERR_NO_METER (code NO_METER) when every slot is in use. The caller embeds the slot in its object. */
int meter_slot_get(struct meter *m, const char *object_id, struct meter_slot *out, struct err *e) MUST_CHECK;
/* The object is gone and no worker adds to it any more. */
void meter_slot_put(struct meter *m, struct meter_slot *s);
uint64_t meter_slot_total(const struct meter *m, const struct meter_slot *s, enum meter_counter c);

static inline void meter_add(const struct meter_slot *s, unsigned worker, enum meter_counter c, uint64_t n)
{
	uint64_t *cell = &s->cells[worker * METER_COUNTERS_N + c];

	__atomic_store_n(cell, *cell + n, __ATOMIC_RELAXED);
}

/* Every boot file in the folder, this process's first; a dead process's are found by its lock being free. */
struct meter_report;
int meter_report_next(struct meter *m, size_t max_bytes, struct msg_report *head, struct buf *rows, uint32_t *n_rows);
/* What controld answered: slots and dead files may be given back. */
void meter_report_acked(struct meter *m, const struct msg_report_ack *ack);

#endif
