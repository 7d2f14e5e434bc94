/*
 * fractal - the envelope that Pterodactyl and Pelican share: {"object": "list", "data": [{"object", "attributes"}], "meta"}.
 *
 * What is included hangs inside of the attributes, as relationships. It is a list; or "null_resource", when the key may not
 * read it or there is none; or it is not there at all, when this panel does not know such an include.
 */
#ifndef PORTWAY_CONTROLD_PANEL_FRACTAL_H
#define PORTWAY_CONTROLD_PANEL_FRACTAL_H

#include "controld/panel/panel.h"
#include "controld/panel/pick.h"

struct fractal_shape;

/* An include whose items are objects of their own. */
struct fractal_include {
	const char *name; /* "databases" */
	const struct fractal_shape *shape;
};

struct fractal_shape {
	enum panel_kind kind;
	const struct pick *picks;
	size_t n_picks;
	/* Ours in the body for the id of what it was read under; NULL: none. */
	const char *parent_as;
	/* The object's other members from its attributes; its body is there already. */
	void (*finish)(struct panel_object *o, const json_t *attributes);
	const struct fractal_include *includes;
	size_t n_includes;
};

/* Of which both panels say the same. */
extern const struct fractal_shape fractal_allocation, fractal_database;

/* A panel_list's read(), with a struct fractal_shape as its shape. */
int fractal_read(const struct panel_list *l, int64_t parent_id, const json_t *answer, struct panel_page *out,
	struct err *e) MUST_CHECK;

#endif
