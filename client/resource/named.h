/*
 * named - which object a word of the command line means: its id, or a name that one object alone has.
 *
 * A word that has the form of an id is one, so ids cost no request and a name cannot hide behind one.
 */
#ifndef PORTWAY_CLIENT_RESOURCE_NAMED_H
#define PORTWAY_CLIENT_RESOURCE_NAMED_H

#include "common/base/macros.h"

#include <stdbool.h>

struct api;
struct failure;
struct resource;

#define NAMED_ID_SIZE 256

/*
 * The id that goes into paths. A word that is neither is left as it is where controld may know better. -1 and *f:
 * EXIT_CONFLICT lists those that share the name.
 */
int named_find(struct api *a, const struct resource *r, const char *word, char id[NAMED_ID_SIZE],
	struct failure *f) MUST_CHECK;
/* "map_01m80r1djz1f2b3c81mv", "17" */
bool named_is_id(const char *word);

#endif
