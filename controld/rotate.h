/*
 * rotate - everything in the database that is sealed is sealed with the key of now.
 *
 * Thread: any.
 */
#ifndef PORTWAY_CONTROLD_ROTATE_H
#define PORTWAY_CONTROLD_ROTATE_H

#include "common/base/macros.h"

#include <stddef.h>
#include <stdint.h>

struct err;
struct sealed_column;
struct store;

/* The i-th of all that there are; NULL at the end. */
const struct sealed_column *rotate_column(size_t i);
/* The store has the new key first, and those that were. *n: how many values. Notes it in the change log. */
int rotate_all(struct store *s, uint64_t *n, struct err *e) MUST_CHECK;

#endif
