/*
 * resource - what the API keeps, as the command line names it: path, what can be done with it, what a table of it shows.
 *
 * The rows are the ones that people meet every day. Any other collection of the API is found in /openapi.json and works with
 * a plain table; what may be written is always read there (fields.h), so that it stays true by itself.
 */
#ifndef PORTWAY_CLIENT_RESOURCE_RESOURCE_H
#define PORTWAY_CLIENT_RESOURCE_RESOURCE_H

#include "client/out/cell.h"
#include "common/base/macros.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define RESOURCE_LIST   1u
#define RESOURCE_GET    2u
#define RESOURCE_CREATE 4u
#define RESOURCE_UPDATE 8u
#define RESOURCE_DELETE 16u
#define RESOURCE_CRUD   31u

struct resource {
	const char *name, *plural;
	const char *path;
	unsigned verbs;
	const struct column *columns; /* of a list; ends with a column without title */
	const char *id;               /* the member that names one */
	const char
		*names[2]; /* members that mostly tell one from the others; NULL: none, or the API takes names as ids */
	bool numbered;     /* ids are numbers */
	bool searched;     /* its list takes q, the beginning of a name */
	unsigned page;     /* items of one answer where that is no list with pages; 0: it is one */
	const char *secret; /* a member that is shown once, by create; NULL: none */
	bool settles;       /* relays take a new version up: its status can be waited for */
	const char *summary;
};

/* Ends with a row without name. */
extern const struct resource resource_table[];

/* By its name or plural; NULL when the table has none. */
const struct resource *resource_find(const char *name);

/* One that the API has and the table has not; name is borrowed, and *out holds the rest. 0 or -1. */
struct resource_found {
	struct resource resource;
	char path[96];
};
int resource_discover(struct resource_found *out, const json_t *doc, const char *name) MUST_CHECK;

#endif
