/*
 * frame_offer - the frames about mappings that lead from an agent's own machine (README.md is the wire spec).
 *
 * Thread: any; no state.
 */
#ifndef PORTWAY_TUNNEL_FRAME_OFFER_H
#define PORTWAY_TUNNEL_FRAME_OFFER_H

#include "common/tunnel/frame.h"

/* What the agent may listen on, and open streams of that mapping for; port of an OPEN is one of these. */
struct frame_offer {
	uint8_t kind; /* enum frame_kind */
	char mapping[FRAME_ID_SIZE];
	char bind[FRAME_ADDR_SIZE]; /* IP literal; "": the agent's choice */
	uint16_t first, last;
};
void frame_offer_put(struct buf *b, const struct frame_offer *o);
int frame_offer_get(struct frame_offer *o, const void *p, size_t n) MUST_CHECK;
void frame_withdraw_put(struct buf *b, const char *mapping);
int frame_withdraw_get(char mapping[FRAME_ID_SIZE], const void *p, size_t n) MUST_CHECK;

#endif
