/*
 * pages - a list of the API read to its end, page by page.
 */
#ifndef PORTWAY_CLIENT_RESOURCE_PAGES_H
#define PORTWAY_CLIENT_RESOURCE_PAGES_H

#include "common/base/macros.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct api;
struct failure;

/* 0 goes on, everything else ends the list. item is borrowed. */
typedef int (*pages_fn)(const json_t *item, void *arg);

struct pages {
	const char *path; /* with its query, without limit and cursor */
	int64_t limit;    /* items in all; 0: every one */
	int64_t page;     /* items asked for at once; 0: 200, which is the most that lists with pages give */
	bool incomplete;  /* afterwards: controld said that there is more than it could gather */
};

/* 0, the function's value, or -1 with *f. */
int pages_each(struct api *a, struct pages *p, pages_fn fn, void *arg, struct failure *f) MUST_CHECK;

#endif
