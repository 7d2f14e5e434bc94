/*
 * update - MSG_UPDATE, controld's reply to a poll: a delta, a page of a snapshot, nothing new, or "come back later".
 *
 * A decoded update borrows the message's bytes; entries are walked with msg_update_next(), which cannot fail after
 * msg_update_decode() answered 0.
 */
#ifndef PORTWAY_PROTO_UPDATE_H
#define PORTWAY_PROTO_UPDATE_H

#include "common/base/cursor.h"
#include "proto/ask.h"
#include "proto/msg.h"

#include <stdbool.h>

enum object_kind {
	OBJECT_MAPPING = 1,
	OBJECT_CLIENT = 2,
	OBJECT_POOL = 3,
	OBJECT_ROUTE = 4,
	OBJECT_CERT = 5,
	OBJECT_ACME = 6,
	OBJECT_TICKETS = 7,
};

enum update_kind {
	UPDATE_NOTHING = 0,  /* the wait is over; asks may be there */
	UPDATE_DELTA = 1,    /* from `from` to `to` */
	UPDATE_SNAPSHOT = 2, /* one page of all that is this relay's at `to` */
	UPDATE_LATER = 3,    /* poll again after retry_ms */
};

struct update_entry {
	bool gone;    /* delta only: the relay no longer has this object; no body */
	uint8_t kind; /* enum object_kind; an unknown one is refused by id, not an error */
	char id[PROTO_ID_SIZE];
	uint64_t seq;
	const uint8_t *body; /* borrowed */
	size_t body_n;
};

struct msg_update {
	uint8_t kind;               /* enum update_kind */
	struct proto_revision from; /* delta: what it applies to */
	struct proto_revision to;
	uint64_t next_page; /* snapshot: token of the page to ask for; 0: this was the last one, swap */
	uint32_t retry_ms;
	uint32_t n_asks; /* at most ASKS_MAX */
	struct ask asks[ASKS_MAX];
	uint32_t n_entries;
	struct cursor entries; /* for msg_update_next() */
};

/* Writer: begin, entries (already encoded ones may be appended whole with buf_put), end. */
void msg_update_begin(struct buf *b, const struct msg_update *head, size_t *count_at);
void msg_update_put(struct buf *b, uint8_t kind, const char *id, uint64_t seq, const void *body, size_t n);
void msg_update_gone(struct buf *b, uint8_t kind, const char *id, uint64_t seq);
void msg_update_end(struct buf *b, size_t count_at, uint32_t n_entries);

int msg_update_decode(struct msg_update *m, const void *p, size_t n) MUST_CHECK;
/* Copy of the cursor is walked: struct cursor it = m.entries; while (msg_update_next(&it, &entry)) ... */
bool msg_update_next(struct cursor *it, struct update_entry *out);

#endif
