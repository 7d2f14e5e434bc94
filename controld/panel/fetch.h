/*
 * fetch - threads that ask a panel for pages, several at once, for one who writes them down one after the other.
 *
 * Owner:  the sync. Thread: its own; the fetchers' threads see nothing of it but their pages.
 * Ends:   fetch_close() tells what is under way to stop and joins the threads.
 *
 * No more pages are fetched than are taken: what lies ready is as many as there are threads.
 */
#ifndef PORTWAY_CONTROLD_PANEL_FETCH_H
#define PORTWAY_CONTROLD_PANEL_FETCH_H

#include "common/base/err.h"
#include "common/base/list.h"
#include "controld/panel/panel_call.h"

struct fetch;

#define FETCH_THREADS_MAX 32

struct fetch_page {
	struct list link;
	const struct panel_list *list;
	int64_t parent_id, number;
	/* once it was fetched */
	enum panel_outcome outcome;
	struct panel_page page;
	struct err err;
};

/* call is copied; its stop is the fetchers' own. */
int fetch_open(struct fetch **out, const struct panel_call *call, unsigned threads, struct err *e) MUST_CHECK;
void fetch_close(struct fetch *f); /* takes NULL; with all pages that are in it */

/* 0, or -1 when there is no memory. */
int fetch_put(struct fetch *f, const struct panel_list *l, int64_t parent_id, int64_t number, struct err *e) MUST_CHECK;
/* One that was fetched, to be freed by fetch_page_free(); NULL when none was within that time. */
struct fetch_page *fetch_get(struct fetch *f, uint64_t wait_ms);
void fetch_page_free(struct fetch_page *p);
size_t fetch_pending(struct fetch *f); /* put and not got yet */

#endif
