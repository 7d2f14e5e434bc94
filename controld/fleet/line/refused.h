/*
 * refused - MSG_REFUSED made from an error: what is said, and when the relay may try again.
 */
#ifndef PORTWAY_CONTROLD_FLEET_LINE_REFUSED_H
#define PORTWAY_CONTROLD_FLEET_LINE_REFUSED_H

struct buf;
struct err;

/* An error that may pass asks the relay to come back in a few seconds, spread; any other not to. */
void refused_encode(const struct err *why, struct buf *b);

#endif
