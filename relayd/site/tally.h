/*
 * tally - what is counted of a route or a backend, over all changes of it: the meter's slot, how many requests are there now, and who
 * used up which rate.
 *
 * Owner:  references, of the control thread; the book keeps one tally for each id that has any.
 * Thread: control thread; tally_count() and the atomic by workers.
 */
#ifndef PORTWAY_RELAYD_SITE_TALLY_H
#define PORTWAY_RELAYD_SITE_TALLY_H

#include "common/base/map.h"
#include "common/net/rate.h"
#include "relayd/meter/meter.h"

struct err;

struct tally_book {
	struct meter *meter;
	struct map by_id;
};

struct tally {
	char id[PROTO_ID_SIZE];
	struct meter_slot slot;
	uint32_t in_flight;  /* atomic */
	struct rate rate[2]; /* of a route: bytes/s of content from clients, and to them; as its newest version says */
	unsigned refs;
	struct tally_book *book;
};

void tally_book_init(struct tally_book *b, struct meter *meter);
void tally_book_fini(struct tally_book *b); /* no tally is left */
/* A reference; ERR_NO_METER and what else meter_slot_get() says. */
int tally_get(struct tally_book *b, const char *id, struct tally **out, struct err *e) MUST_CHECK;
void tally_unref(struct tally *t); /* NULL is fine */

static inline void tally_count(const struct tally *t, unsigned worker, enum meter_counter c, uint64_t n)
{
	meter_add(&t->slot, worker, c, n);
}

#endif
