/*
 * panel - what a hosting panel is to the sync: lists that are walked page by page, and what their items are to us.
 *
 * A driver is one const struct in one file (pterodactyl.c, pelican.c, virtfusion.c): which lists there are, how a page of
 * one is asked for, how its answer is read. It has no state, no clock and no connection; everything it reads is foreign.
 *
 * Owner:  a panel_page belongs to who made it, panel_page_fini() frees it. Thread: any.
 */
#ifndef PORTWAY_CONTROLD_PANEL_PANEL_H
#define PORTWAY_CONTROLD_PANEL_PANEL_H

#include "common/base/macros.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum panel_kind {
	PANEL_LOCATION,
	PANEL_NODE,
	PANEL_ALLOCATION,
	PANEL_NEST,
	PANEL_EGG,
	PANEL_SERVER,
	PANEL_USER,
	PANEL_DATABASE,
	PANEL_KINDS
};
#define PANEL_ALL (BIT(PANEL_KINDS) - 1)

const char *panel_kind_name(enum panel_kind k);   /* "server" */
const char *panel_kind_plural(enum panel_kind k); /* "servers" */
int panel_kind_parse(const char *plural, enum panel_kind *out) MUST_CHECK;

#define PANEL_OBJECTS_MAX 100000     /* in one answer */
#define PANEL_PAGES_MAX   100000     /* of one list */
#define PANEL_TOTAL_MAX   1000000000 /* what a list may say that it has */
#define PANEL_VALUES_MAX  2000000 /* of JSON, in one answer: each takes a hundred bytes and more, however short it is */
#define PANEL_UUID_MAX    63
#define PANEL_NAME_MAX    191

/* One thing that the panel has, as it is kept: `body` is what our API prints of it. */
struct panel_object {
	enum panel_kind kind;
	int64_t id; /* the panel's; unique in its kind */
	char uuid[PANEL_UUID_MAX + 1];
	char name[PANEL_NAME_MAX + 1];
	int64_t parent_id; /* node: location; allocation, server: node; egg: nest; database: server; else 0 */
	int64_t owner_id;  /* server: user; else 0 */
	bool active;       /* server: not suspended; allocation: assigned; node: not in maintenance; else true */
	json_t *body;
};

/* What an answer said. */
struct panel_page {
	struct panel_object *all;
	size_t n, room;
	size_t listed;         /* items of the list itself, not what was included in them */
	size_t failed;         /* items that could not be read */
	int64_t pages, total;  /* of the list as a whole */
	unsigned failed_kinds; /* BIT(kind) of these */
	unsigned missing;      /* BIT(kind): asked for, but this panel does not know how to include it */
	unsigned denied;       /* BIT(kind): the key may not read these */
};

/* A zeroed page is a good one. */
void panel_page_fini(struct panel_page *p);
/* NULL when there is no memory or no room left. Valid until the next one. */
struct panel_object *panel_page_add(struct panel_page *p, enum panel_kind kind);

struct panel_list {
	const char *name;       /* as it is saved and logged */
	const char *path;       /* "%" stands for the parent's id */
	const char *query;      /* "include=...&sort=id", or "" */
	unsigned per_page;      /* at most, because items are large; 0: as the sync wants it */
	unsigned kinds;         /* BIT(kind) of all that it brings */
	enum panel_kind kind;   /* of its items */
	enum panel_kind parent; /* of a list that hangs on each object of another one; else PANEL_KINDS */
	bool unpaged;           /* all at once */
	const void *shape;      /* for read() */
	/* Fills a zeroed page from a parsed answer; -1: this is no such answer. */
	int (*read)(const struct panel_list *l, int64_t parent_id, const json_t *answer, struct panel_page *out,
		struct err *e);
};

struct panel_driver {
	const char *name; /* "pterodactyl" */
	const struct panel_list *lists;
	size_t n;
	const char *page_size;  /* name of the parameter */
	unsigned page_size_max; /* 0: none */
};

extern const struct panel_driver panel_pterodactyl, panel_pelican, panel_virtfusion;
extern const struct panel_driver *const panel_drivers[];
extern const size_t panel_drivers_n;

/* From an answer's bytes to a page: JSON, then the list's own reading. For the sync and for the fuzzer. */
int panel_read(const struct panel_list *l, int64_t parent_id, const void *p, size_t n, struct panel_page *out,
	struct err *e) MUST_CHECK;

#endif
