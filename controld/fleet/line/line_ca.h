/*
 * line_ca - the line's part in the change of the fleet's CA (controld/fleet/ca.h): what the listener shows, and relays that
 * are asked for new certificates. Private to the line.
 *
 * Owner: the line. Thread: the line's; some of the work is done on its desk.
 */
#ifndef PORTWAY_CONTROLD_FLEET_LINE_LINE_CA_H
#define PORTWAY_CONTROLD_FLEET_LINE_LINE_CA_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stdint.h>

struct ca_listener;
struct err;
struct line;
struct line_ca_stats;

int line_ca_new(struct line *l, struct err *e) MUST_CHECK;
void line_ca_free(struct line *l);
/* A certificate for the listener, and what it trusts; the caller's. */
int line_ca_listener(struct line *l, struct ca_listener *out, struct err *e) MUST_CHECK;
void line_ca_moved(struct line *l);                 /* the log says that the CAs have changed */
void line_ca_follow(struct line *l);                /* the listener shows them */
bool line_ca_shown(const struct line *l);           /* it does */
void line_ca_came(struct line *l, uint64_t now_ms); /* a node that was offline */
void line_ca_tick(struct line *l, uint64_t now_ms);
void line_ca_stats(const struct line *l, struct line_ca_stats *out);

#endif
