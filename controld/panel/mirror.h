/*
 * mirror - what panels have, as it was last read: the table panel_objects.
 *
 * An object is written when it is new or differs from what is kept, and only then. What a panel has no more is marked, and
 * kept for a while: it comes back as it was when the panel has it again.
 *
 * A sync that is begun again goes on where it was, and another one may have been there meanwhile. What that one has written
 * this one does not remove, since it may not have been there yet when this one looked. Which is which is told by the numbers
 * of their beginnings in the change log, not by clocks: they are set, and no two machines agree.
 *
 * Thread: inside a transaction.
 */
#ifndef PORTWAY_CONTROLD_PANEL_MIRROR_H
#define PORTWAY_CONTROLD_PANEL_MIRROR_H

#include "controld/panel/panel.h"
#include "controld/store/store.h"

struct buf;
struct err;

struct mirror_writer {
	const char *panel;
	int64_t sync_seq; /* number of its sync's beginning */
	int64_t now_ms;
};
/* *written: how many were new or had changed. */
int mirror_put(struct db *tx, const struct mirror_writer *w, const struct panel_page *page, size_t *written,
	struct err *e) MUST_CHECK;

/* Numbers that rise. */
struct mirror_ids {
	int64_t *all;
	size_t n, room;
};
void mirror_ids_fini(struct mirror_ids *ids);
int mirror_ids_add(struct mirror_ids *ids, int64_t id, struct err *e) MUST_CHECK;
void mirror_ids_sort(struct mirror_ids *ids); /* each once */

/* Those of a kind that are there and that no sync has written which began later than this one. */
int mirror_live(struct db *db, const char *panel, enum panel_kind kind, int64_t sync_seq, struct mirror_ids *out,
	struct err *e) MUST_CHECK;

struct mirror_removal {
	const char *panel;
	enum panel_kind kind;
	const int64_t *ids;
	size_t n;
	int64_t sync_seq, now_ms; /* what a later one has written stays */
};
int mirror_remove(struct db *tx, const struct mirror_removal *r, size_t *removed, struct err *e) MUST_CHECK;
/* All of panels but these two ("": none): nobody reads them any more. *removed: how many. */
int mirror_retire(
	struct db *tx, const char *panel, const char *other, int64_t now_ms, size_t *removed, struct err *e) MUST_CHECK;
/* Those that were removed before that are forgotten, at most limit. *n: how many. */
int mirror_prune(struct db *tx, int64_t before_ms, unsigned limit, unsigned *n, struct err *e) MUST_CHECK;

struct mirror_filter {
	enum panel_kind kind;
	const char *panel;           /* "": all */
	const char *text;            /* a part of the name, case ignored; "": any */
	int64_t parent_id, owner_id; /* 0: any */
	bool removed;                /* those that are gone; else those that are there */
	const char *after_panel;     /* behind which the page begins: "" and 0 for the first */
	int64_t after_id;
	unsigned limit;
};
#define MIRROR_CURSOR_SIZE 64
/* Prints objects into an array that is open; `last` gets where the page ends, *more whether there is another one. */
int mirror_print(struct db *db, const struct mirror_filter *f, struct buf *out, char last[MIRROR_CURSOR_SIZE],
	bool *more, struct err *e) MUST_CHECK;

struct mirror_counts {
	int64_t total[PANEL_KINDS], active[PANEL_KINDS];
	int64_t owners; /* users that have a server */
};
int mirror_count(struct db *db, struct mirror_counts *out, struct err *e) MUST_CHECK;

/* Servers by their node or their user, those with most first: objects into an array that is open. */
enum mirror_by { MIRROR_BY_NODE, MIRROR_BY_USER };
int mirror_print_servers_by(
	struct db *db, enum mirror_by by, unsigned limit, struct buf *out, struct err *e) MUST_CHECK;

extern const struct sql_table mirror_sql;

#endif
