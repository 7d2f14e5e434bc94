/*
 * pick - members out of foreign JSON: those that a table names, of the types that it says, and nothing else.
 *
 * What is missing or of another type becomes null; a text that is too long is cut. So whatever a panel sends, what is kept
 * has one shape, no secrets that we did not ask for, and a bound.
 */
#ifndef PORTWAY_CONTROLD_PANEL_PICK_H
#define PORTWAY_CONTROLD_PANEL_PICK_H

#include "common/base/macros.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define PICK_TEXT_MAX  2048 /* bytes */
#define PICK_ITEMS_MAX 256  /* of an array or an object of texts */

enum pick_type {
	PICK_INT,   /* also a text of digits */
	PICK_BOOL,  /* also 0 and 1 */
	PICK_TEXT,  /* also a number, as a text */
	PICK_TEXTS, /* an array of texts */
	PICK_NAMED, /* an object whose members are texts */
	PICK_PART,  /* an object, by `part` */
};

struct pick {
	const char *name; /* the panel's */
	enum pick_type type;
	const char *as;          /* ours; NULL: the same */
	const struct pick *part; /* of PICK_PART */
	size_t n;
};

/* A new object, or NULL when there is no memory. `from` may be anything. */
json_t *pick(const json_t *from, const struct pick *table, size_t n) MUST_CHECK;
/* A number from 1 on; 0 for anything else. */
int64_t pick_id(const json_t *from, const char *name);
/* A count from 0 on, as a number or a text of digits. */
int pick_count(const json_t *from, const char *name, int64_t *out) MUST_CHECK;
/* The text, cut so that it fits and ends with a whole character; "" for anything else. */
void pick_text(char *dst, size_t size, const json_t *from, const char *name);

#endif
