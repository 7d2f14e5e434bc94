/*
 * walk - which pages a sync has written already, and which objects were on them: the table panel_pages.
 *
 * A page's row is written with its objects. So an attempt that comes after one that died reads no page again, and what a
 * complete walk did not see is known however often it was begun. What is written of an object that has not changed is its
 * number in the row of its page, and nothing else.
 *
 * Thread: inside a transaction; a struct walk is its owner's.
 */
#ifndef PORTWAY_CONTROLD_PANEL_WALK_H
#define PORTWAY_CONTROLD_PANEL_WALK_H

#include "controld/panel/mirror.h"
#include "controld/panel/panel.h"
#include "controld/store/store.h"

struct err;

/* Whose walk: the job and the panel. */
struct walk_key {
	const char *job_id, *panel;
};

struct walk_page {
	const struct panel_list *list;
	int64_t parent_id, number;
	int64_t pages, total, listed, failed;
	unsigned failed_kinds, missing, denied;
	size_t objects;
	struct mirror_ids own; /* of the list's own kind, in the order of the page */
};

struct walk {
	struct walk_page *all; /* by list, parent and number */
	size_t n, room;
};
void walk_fini(struct walk *w);

/* What is written of it. Pages of lists that the driver has not are left out. */
int walk_load(struct db *db, const struct walk_key *k, const struct panel_driver *d, struct walk *out,
	struct err *e) MUST_CHECK;
/* NULL: it is not there. */
const struct walk_page *walk_find(const struct walk *w, const struct panel_list *l, int64_t parent_id, int64_t number);

/* What an answer was, and what of it is kept. */
void walk_page_of(struct walk_page *out, const struct panel_list *l, int64_t parent_id, int64_t number,
	const struct panel_page *page);
int walk_put(struct db *tx, const struct walk_key *k, const struct walk_page *p, const struct panel_page *page,
	struct err *e) MUST_CHECK;

/* All ids of a kind that were seen, in order, each once. */
int walk_seen(struct db *db, const struct walk_key *k, enum panel_kind kind, struct mirror_ids *out,
	struct err *e) MUST_CHECK;
/* A list is to be walked again. */
int walk_forget_list(struct db *tx, const struct walk_key *k, const char *list, struct err *e) MUST_CHECK;
int walk_forget(struct db *tx, const char *job_id, struct err *e) MUST_CHECK;

extern const struct sql_table walk_sql;

#endif
