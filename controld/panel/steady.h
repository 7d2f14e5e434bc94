/*
 * steady - whether the pages of a list were one moment: what a walk has not seen may be gone, or have moved under our feet.
 *
 * What is taken away from a list while it is read moves what comes behind it to pages that were read already, and some of it
 * is never seen. Mostly it shows in the numbers: pages do not agree how many items there are, or there are not as many. If as
 * many were made as taken away, it does not. But a list is in the order of its items' numbers, which rise and are never given
 * again; so an item that was not seen
 *   - and would stand between two items of one page was not there when that page was read: it is gone;
 *   - and would stand between two pages may have crossed from the second to the first after that was read. Both are read once
 *     more: if they are what they were, nothing was taken away before them in between, and it was nowhere.
 * A list in another order is read once more as a whole.
 *
 * Thread: any; pure, but for reading the walk.
 */
#ifndef PORTWAY_CONTROLD_PANEL_STEADY_H
#define PORTWAY_CONTROLD_PANEL_STEADY_H

#include "controld/panel/walk.h"

#include <stdbool.h>
#include <stddef.h>

struct err;
struct panel_page;

/* The pages from `from` on that are of one list and parent: up to where. */
size_t steady_group(const struct walk *w, size_t from);
/* Whether the numbers of such a group fit together. */
int steady_counts(const struct walk *w, size_t from, size_t to, bool *yes, struct err *e) MUST_CHECK;
/* Which pages of a group (doubt[0] is that of `from`) are to be read once more before any of `unseen` may be called gone;
 * the answer is how many. */
size_t steady_doubts(const struct walk *w, size_t from, size_t to, const struct mirror_ids *unseen, bool *doubt);
/* Whether a page that was read once more is what it was. */
bool steady_same(const struct walk_page *before, const struct panel_page *now);

#endif
