/*
 * stream_shares - how many streams of one kind are open, and how many of them each user has, so that none has them all.
 *
 * All sessions of a user are one; each API key is one of its own, also when it acts for the same user.
 *
 * Owner: who gives the streams, and gives back each that it took. Thread: any, under the owner's lock.
 */
#ifndef PORTWAY_CONTROLD_REST_STREAM_SHARES_H
#define PORTWAY_CONTROLD_REST_STREAM_SHARES_H

#include "common/base/macros.h"
#include "common/base/map.h"

struct identity;

#define STREAM_SHARES_KEY_SIZE 64

struct stream_shares {
	unsigned n; /* open */
	struct map by_key;
};

enum stream_share { STREAM_SHARE_TAKEN, STREAM_SHARE_ALL_FULL, STREAM_SHARE_OWN_FULL, STREAM_SHARE_NO_MEMORY };

void stream_shares_init(struct stream_shares *s);
void stream_shares_fini(struct stream_shares *s);
/* Whose share it is. */
void stream_shares_key(char dst[STREAM_SHARES_KEY_SIZE], const struct identity *who);
/* One more: of all at most max, of this one at most each. */
enum stream_share stream_shares_take(struct stream_shares *s, const char *key, unsigned max, unsigned each) MUST_CHECK;
void stream_shares_give_back(struct stream_shares *s, const char *key);

#endif
