#include "relayd/meter/meter_book.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"

#include <stdlib.h>

#define ROW_BYTES_MAX (8u + 2u + PROTO_ID_SIZE + 4u + METER_COUNTERS_N * 8u)

/* Counters only rise, so their sum (meter_file_activity()) says whether any of them did. */
struct book_slot {
	uint64_t acked; /* sum that is certainly stored */
	uint64_t sent;  /* sum when the row went into the report under way first */
	bool in_report;
};

struct meter_book {
	struct meter_file *file;
	struct book_slot *slots;
	uint32_t
		n_slots; /* that may have counted: of our own file those used so far, as looking at a page makes it ours */
	bool own;
	bool dead;    /* not own, and nobody counts there any more */
	bool pending; /* report `number` was made and is not acknowledged */
	bool last;    /* of that report */
	uint64_t number;
};

int meter_book_new(struct meter_book **out, struct meter_file *f, bool own, struct err *e)
{
	struct meter_book *b = calloc(1, sizeof *b);
	uint32_t slots = meter_file_slots(f);

	if (b == NULL || (b->slots = calloc(slots + 1u, sizeof b->slots[0])) == NULL) {
		free(b);
		meter_file_close(f);
		return err_set(e, ERR_NOMEM, NULL, "counters: out of memory for %u slots", slots);
	}
	b->file = f;
	b->n_slots = own ? 0 : slots;
	b->own = own;
	/*
	 * Whether the last number that another process used was stored, and with which rows, is not known. It is used
	 * up with an empty report; the next one says everything.
	 */
	b->number = meter_file_sent(f);
	b->pending = b->number > 0;
	*out = b;
	return 0;
}

void meter_book_free(struct meter_book *b)
{
	if (b == NULL)
		return;
	meter_file_close(b->file);
	free(b->slots);
	free(b);
}

struct meter_file *meter_book_file(const struct meter_book *b)
{
	return b->file;
}

static void book_look_if_dead(struct meter_book *b)
{
	if (b->own || b->dead || !meter_file_dead(b->file))
		return;
	b->dead = true;
	meter_file_shrink(b->file);
	b->n_slots = meter_file_slots(b->file);
}

bool meter_book_useless(struct meter_book *b)
{
	book_look_if_dead(b);
	if (!b->dead || meter_file_sent(b->file) > 0)
		return false;
	for (uint32_t i = 0; i < b->n_slots; i++)
		if (meter_file_activity(b->file, i) > 0)
			return false;
	return true;
}

static uint32_t book_put_rows(struct meter_book *b, struct buf *rows)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->n_slots; i++) {
		struct meter_row row;

		if (!b->slots[i].in_report || !meter_file_row(b->file, i, &row))
			continue;
		msg_report_row(rows, &row);
		n++;
	}
	return n;
}

/* Chooses the rows of a new report; false when not all that changed fits. */
static bool book_choose_rows(struct meter_book *b, size_t max_bytes, uint32_t *n)
{
	*n = 0;
	for (uint32_t i = 0; i < b->n_slots; i++) {
		struct book_slot *s = &b->slots[i];
		uint64_t now = meter_file_activity(b->file, i);

		if (now == s->acked)
			continue;
		if ((*n + 1u) * (size_t)ROW_BYTES_MAX > max_bytes)
			return false;
		s->sent = now;
		s->in_report = true;
		(*n)++;
	}
	return true;
}

bool meter_book_report(
	struct meter_book *b, size_t max_bytes, struct msg_report *head, struct buf *rows, uint32_t *n_rows)
{
	book_look_if_dead(b);
	if (!b->pending) {
		bool all = book_choose_rows(b, max_bytes, n_rows);

		if (*n_rows == 0 && !b->dead)
			return false;
		b->number = meter_file_sent(b->file) + 1;
		meter_file_set_sent(b->file, b->number);
		b->pending = true;
		b->last = b->dead && all;
	}
	*n_rows = book_put_rows(b, rows);
	str_copy(head->boot, sizeof head->boot, meter_file_boot(b->file));
	head->number = b->number;
	head->last = b->last;
	return true;
}

void meter_book_acked(struct meter_book *b, uint64_t stored)
{
	if (!b->pending || stored < b->number)
		return;
	for (uint32_t i = 0; i < b->n_slots; i++) {
		struct book_slot *s = &b->slots[i];

		/* A higher number than ours was stored by someone else: ours was ignored, so it counts for nothing. */
		if (s->in_report && stored == b->number)
			s->acked = s->sent;
		s->in_report = false;
	}
	meter_file_set_sent(b->file, stored);
	b->pending = false;
}

bool meter_book_finished(const struct meter_book *b)
{
	return b->last && !b->pending;
}

void meter_book_again(struct meter_book *b)
{
	for (uint32_t i = 0; i < b->n_slots; i++)
		b->slots[i].acked = b->slots[i].sent = 0;
}

void meter_book_open_slot(struct meter_book *b, uint32_t slot)
{
	b->slots[slot] = (struct book_slot){ .acked = 0 };
	b->n_slots = MAX(b->n_slots, slot + 1);
}

bool meter_book_settled(const struct meter_book *b, uint32_t slot)
{
	return !b->slots[slot].in_report && b->slots[slot].acked == meter_file_activity(b->file, slot);
}
