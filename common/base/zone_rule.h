/*
 * zone_rule - when summer time begins and ends in the years to come: the last line of a TZif file, "CET-1CEST,M3.5.0,M10.5.0/3".
 *
 * Inside zone.c. Pure; seconds, east of Greenwich is positive (the text has it the other way round).
 */
#ifndef PORTWAY_BASE_ZONE_RULE_H
#define PORTWAY_BASE_ZONE_RULE_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stdint.h>

/* A moment of a year by the clocks that hold until it. */
struct zone_moment {
	enum { ZONE_JULIAN, ZONE_DAY, ZONE_WEEKDAY } kind; /* Jn: 1-365, never 29 February; n: 0-365; Mm.w.d */
	int day, month, week;                              /* day: of the year, or of the week from Sunday = 0 */
	int32_t second;                                    /* since midnight; may be days away */
};

struct zone_rule {
	bool has_dst;
	int32_t standard, dst; /* offsets */
	struct zone_moment begin, end;
};

/* 0, or -1 when it is not one. */
int zone_rule_parse(struct zone_rule *r, const char *s) MUST_CHECK;
int32_t zone_rule_offset(const struct zone_rule *r, int64_t utc);

#endif
