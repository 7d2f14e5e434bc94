/*
 * meter_book - what of one counter file was reported and acknowledged, and so what the next report must say.
 *
 * A report's rows are fixed when its number is first used; sent again, it has the same rows with their values of then.
 * Only the values that were sent first count as acknowledged, as they may be the ones that controld stored.
 *
 * Owner: meter. Thread: control thread.
 */
#ifndef PORTWAY_RELAYD_METER_METER_BOOK_H
#define PORTWAY_RELAYD_METER_METER_BOOK_H

#include "relayd/meter/meter_file.h"

struct meter_book;

/* Takes the file, also on error. own: this process counts there. */
int meter_book_new(struct meter_book **out, struct meter_file *f, bool own, struct err *e) MUST_CHECK;
void meter_book_free(struct meter_book *b);
struct meter_file *meter_book_file(const struct meter_book *b);
/* Nobody counts there any more and there is nothing to say that controld does not know. */
bool meter_book_useless(struct meter_book *b);

/* Fills boot, number, last of head and appends rows, at most max_bytes; false when there is nothing to say. */
bool meter_book_report(
	struct meter_book *b, size_t max_bytes, struct msg_report *head, struct buf *rows, uint32_t *n_rows);
void meter_book_acked(struct meter_book *b, uint64_t stored);
/* The last report of a dead boot is acknowledged. */
bool meter_book_finished(const struct meter_book *b);
/* Report everything again: controld may have lost what it acknowledged. */
void meter_book_again(struct meter_book *b);

/* A slot begins to be used for another object. */
void meter_book_open_slot(struct meter_book *b, uint32_t slot);
/* All that the slot counted is acknowledged. */
bool meter_book_settled(const struct meter_book *b, uint32_t slot);

#endif
