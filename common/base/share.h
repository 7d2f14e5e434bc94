/*
 * share - how much of something that many use one of them may take, so that none takes it all.
 *
 * Until three quarters are in use everybody takes what there is. From then on only who has less than is left gets more: the
 * greediest stops there, and somebody who has little always finds some. Nothing is set aside for those who do not come.
 */
#ifndef PORTWAY_BASE_SHARE_H
#define PORTWAY_BASE_SHARE_H

#include <stdbool.h>
#include <stdint.h>

/* used: of max, by all; own: of it, by who wants n more. */
static inline bool share_lets(uint64_t max, uint64_t used, uint64_t own, uint64_t n)
{
	uint64_t left = max > used ? max - used : 0;

	return n <= left && (used + n <= max - max / 4 || own + n <= left);
}

#endif
