/*
 * scratch - memory for one object that is being put together from others: taken piece by piece, given back at once.
 *
 * Sticky: once there was no memory every piece is NULL and `failed` is set, so that it is asked once at the end.
 * Thread: its owner's.
 */
#ifndef PORTWAY_CONTROLD_BALANCER_SCRATCH_H
#define PORTWAY_CONTROLD_BALANCER_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>

struct scratch {
	struct scratch_piece *pieces;
	bool failed;
};

/* Zeroed; NULL for n == 0, too. */
void *scratch_take(struct scratch *s, size_t n, size_t size);
/* A copy in lower case (ASCII); "" without memory. */
const char *scratch_lower(struct scratch *s, const char *text);
void scratch_free(struct scratch *s); /* again is fine */

#endif
